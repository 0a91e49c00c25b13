// The tabs beside a transcript, in their order. Each is a component that gets all it needs from `useReading`. It is loaded
// when it is opened, also the first one: the text comes before.
import { defineAsyncComponent, type Component } from 'vue'
import { NotesPanel } from './edit/parts.ts'
import type { MessageKey } from './i18n/index.ts'

export interface Panel {
  name: string
  label: MessageKey
  component: Component
}

export const PANELS: Panel[] = [
  {
    name: 'speakers',
    label: 'speaker_list',
    component: defineAsyncComponent(() => import('./components/edit/SpeakerPanel.vue')),
  },
  { name: 'notes', label: 'notes', component: NotesPanel },
  {
    name: 'history',
    label: 'edit_history',
    component: defineAsyncComponent(() => import('./components/edit/HistoryPanel.vue')),
  },
  { name: 'info', label: 'info_tab', component: defineAsyncComponent(() => import('./components/JobInfo.vue')) },
]
