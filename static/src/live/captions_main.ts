// The captions view is a page without the frame: it is shown over a picture, or on a beamer.
import { createApp } from 'vue'
import { loadLanguage } from '../i18n/index.ts'
import CaptionsPage from '../pages/CaptionsPage.vue'
import { lookOf } from './captions.ts'

export async function showCaptions(id: string | null): Promise<void> {
  const look = lookOf(location.search)
  document.documentElement.dataset.theme = look.theme
  await loadLanguage()
  createApp(CaptionsPage, { id, look }).mount('#app')
}
