// Files out of a drop, a paste or a choice; folders are walked to the bottom.
import { ref } from 'vue'
import { ask } from './api.ts'
import { addLink, isLink } from './recording_links.ts'
import { t } from './i18n/index.ts'
import { explain } from './i18n/problems.ts'
import { looksLikeMedia } from './media.ts'
import { notify } from './notices.ts'
import { add } from './uploads.ts'

export const over = ref(false) // something is held over the page

async function walk(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed))]
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const found: File[] = []
  for (;;) { // a reader gives at most a hundred at a time
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed))
    if (!some.length) return found.filter(looksLikeMedia)
    for (const each of some.sort((a, b) => a.name.localeCompare(b.name))) found.push(...await walk(each))
  }
}

async function taken(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null) // must be asked before the event is over
  if (!entries.some((entry) => entry?.isDirectory)) return [...data.files]
  return (await Promise.all(entries.filter((entry) => entry !== null).map(walk))).flat()
}

/** Takes drops and pastes anywhere on the page; `then` is called when something came. */
export function watchDrops(then: () => void): void {
  const take = async (data: DataTransfer | null) => {
    const files = data ? await taken(data) : []
    if (!files.length) return
    add(files)
    then()
  }
  document.addEventListener('dragover', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return
    event.preventDefault()
    over.value = true
  })
  document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) over.value = false })
  document.addEventListener('drop', (event) => {
    if (!over.value) return
    event.preventDefault()
    over.value = false
    void take(event.dataTransfer)
  })
  document.addEventListener('paste', (event) => {
    const text = event.clipboardData?.getData('text').trim() ?? ''
    const typing = event.target instanceof Element && event.target.closest('input, textarea')
    if (typing || !isLink(text)) return void take(event.clipboardData)
    void addLink(text).then((answer) => {
      if (answer.ok) notify(t('link_taken', { name: answer.value.name }), t('undo'), () => void ask('DELETE', `/api/jobs/${answer.value.id}?for_good=true`))
      else notify(explain(answer.problem).what)
    })
    then()
  })
}
