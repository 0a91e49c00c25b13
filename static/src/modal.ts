// A dialog that is open as long as its component is there.
import { onMounted, useTemplateRef } from 'vue'

/**
 * Open the dialog of the component, which is its `dialog` ref. Returns what closes it. The focus is back, and `closed` has been
 * told, before the next key arrives: the browser's own event of it comes a task later.
 */
export function useModal(closed: () => void): () => void {
  const dialog = useTemplateRef<HTMLDialogElement>('dialog')
  onMounted(() => dialog.value?.showModal())
  return () => {
    dialog.value?.close()
    closed()
  }
}
