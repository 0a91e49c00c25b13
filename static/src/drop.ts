// Files from a drop or a paste anywhere on the page. Folders are read with all that is in them.
import { ref } from 'vue'
import { request } from './api.ts'
import { t } from './i18n/index.ts'
import { explain } from './i18n/problems.ts'
import { looksLikeMedia } from './media.ts'
import { notify } from './notices.ts'
import { isLink, submitLink } from './recording_links.ts'
import { addUploads } from './uploads.ts'

export const dragging = ref(false) // files are held over the page

async function filesIn(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile)
    return [await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed))]
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const files: File[] = []
  for (;;) {
    // a reader returns at most a hundred entries at a time
    const entries = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed))
    if (!entries.length) return files.filter(looksLikeMedia)
    for (const each of entries.sort((a, b) => a.name.localeCompare(b.name))) files.push(...(await filesIn(each)))
  }
}

async function filesOf(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null) // before the event is over
  if (!entries.some((entry) => entry?.isDirectory)) return [...data.files]
  return (await Promise.all(entries.filter((entry) => entry !== null).map(filesIn))).flat()
}

/** Upload what is dropped or pasted anywhere on the page. `onAdded` is called when there is something new. */
export function watchDrops(onAdded: () => void): void {
  const uploadFiles = async (data: DataTransfer | null) => {
    const files = data ? await filesOf(data) : []
    if (!files.length) return
    addUploads(files)
    onAdded()
  }
  const fetchLink = async (url: string) => {
    const answer = await submitLink(url)
    if (!answer.ok) return notify(explain(answer.problem).what)
    const undo = () => void request('DELETE', `/api/jobs/${answer.value.id}?for_good=true`)
    notify(t('link_taken', { name: answer.value.name }), t('undo'), undo)
  }
  document.addEventListener('dragover', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return
    event.preventDefault()
    dragging.value = true
  })
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) dragging.value = false
  })
  document.addEventListener('drop', (event) => {
    if (!dragging.value) return
    event.preventDefault()
    dragging.value = false
    void uploadFiles(event.dataTransfer)
  })
  document.addEventListener('paste', (event) => {
    const text = event.clipboardData?.getData('text').trim() ?? ''
    const typing = event.target instanceof Element && event.target.closest('input, textarea, [contenteditable]')
    if (typing || !isLink(text)) return void uploadFiles(event.clipboardData)
    void fetchLink(text)
    onAdded()
  })
}
