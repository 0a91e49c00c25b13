// Parts of the page of a transcript that it needs only behind its text: menus, what is marked, find, what saving says. They are
// fetched as soon as the page is there, before somebody asks for one, so that they are there without a network as well.
import { computed, defineAsyncComponent, type ComputedRef } from 'vue'
import { preferences } from '../preferences.ts'
import { state } from '../store.ts'
import { useReading } from './reading.ts'

export type Parts = typeof import('./behind_text.ts')

/** Load once. Without a network it rejects, and the next call tries again. */
function once<Loaded>(load: () => Promise<Loaded>): () => Promise<Loaded> {
  let loading: Promise<Loaded> | undefined
  const failed = (error: unknown): never => {
    loading = undefined
    throw error
  }
  return () => (loading ??= load().catch(failed))
}
export const loadParts = once(() => import('./behind_text.ts'))
const loadNotes = once(() => import('../components/edit/NotesPanel.vue'))
const loadExport = once(() => import('../components/ExportDialog.vue'))
/** Load what takes keys and is opened by one, as soon as somebody is there: then it is open before the next key. */
export function loadForKeys(): void {
  if (!navigator.onLine) return
  for (const load of [loadParts, loadNotes, loadExport]) void load().catch(() => undefined)
}

type ComponentName = 'FindSteps' | 'KeyStrip' | 'LineMenu' | 'MarkedText' | 'PlayerMenu' | 'ReviewTools' | 'SaveChip'
const part = <Name extends ComponentName>(name: Name): Parts[Name] =>
  defineAsyncComponent(async () => (await loadParts())[name]) as Parts[Name]

export const ExportDialog = defineAsyncComponent(loadExport)
export const NotesPanel = defineAsyncComponent(loadNotes)
export const FindSteps = part('FindSteps')
export const KeyStrip = part('KeyStrip')
export const LineMenu = part('LineMenu')
export const MarkedText = part('MarkedText')
export const PlayerMenu = part('PlayerMenu')
export const ReviewTools = part('ReviewTools')
export const SaveChip = part('SaveChip')

/** Whether something is marked in the text now: then a view has `MarkedText`. */
export function useIsMarked(): ComputedRef<boolean> {
  const { id, session } = useReading()
  return computed(
    () =>
      preferences.doubts ||
      (state.value.marks[id]?.length ?? 0) > 0 ||
      session.operations.value.some(({ op }) => op === 'mark'),
  )
}
