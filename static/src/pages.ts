// The pages. The list comes with the frame; each other page is loaded when it is first opened.
import { shallowReactive, type Component } from 'vue'
import TranscriptsPage from './pages/TranscriptsPage.vue'
import type { Route } from './router.ts'

type Name = Exclude<Route['page'], 'missing'>

const LOADERS: Record<Exclude<Name, 'transcripts'>, () => Promise<{ default: Component }>> = {
  transcript: () => import('./pages/TranscriptPage.vue'),
  models: () => import('./pages/ModelsPage.vue'),
  system: () => import('./pages/StatusPage.vue'),
  settings: () => import('./pages/SettingsPage.vue'),
  record: () => import('./pages/LivePage.vue'),
}
export const pages = shallowReactive<Partial<Record<Route['page'], Component>>>({ transcripts: TranscriptsPage })

/** Load a page if it is not loaded yet. Raises `TypeError` if the service does not have it any more or does not answer. */
export async function loadPage(name: Route['page']): Promise<void> {
  if (name === 'missing' || name === 'transcripts' || pages[name]) return
  pages[name] = (await LOADERS[name]()).default
}
