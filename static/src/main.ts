import { createApp } from 'vue'
import App from './App.vue'
import './app.css'
import { loadLanguage } from './i18n/index.ts'
import { loadPage } from './pages.ts'
import { ROOT } from './root.ts'
import { CAPTIONS, route } from './router.ts'
import { start } from './store.ts'
import { setTheme } from './theme.ts'

const [page, id] = location.pathname.slice(ROOT.length + 1).split('/')
start()
// Nothing is shown before it can be read. No top-level await: the loaded parts import from this one.
if (page === CAPTIONS) void import('./live/captions_main.ts').then(({ showCaptions }) => showCaptions(id || null))
else {
  setTheme()
  void Promise.all([loadLanguage(), loadPage(route.value.page)]).then(() => createApp(App).mount('#app'))
}
