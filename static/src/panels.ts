// The tabs beside a transcript, in their order. Each is a component that gets all it needs from `useReading`. One that is
// not shown first is loaded when it is opened: `defineAsyncComponent(() => import(...))`.
import { type Component } from 'vue'
import JobInfo from './components/JobInfo.vue'
import type { MessageKey } from './i18n/index.ts'

export interface Panel {
  name: string
  label: MessageKey
  component: Component
}

export const PANELS: Panel[] = [{ name: 'info', label: 'info', component: JobInfo }]
