import { createApp } from 'vue'
import App from './App.vue'
import './app.css'
import { loadLanguage } from './i18n/index.ts'
import { loadPage } from './pages.ts'
import { route } from './router.ts'
import { start } from './store.ts'
import { setTheme } from './theme.ts'

setTheme()
start()
// Nothing is shown before it can be read. No top-level await: the loaded parts import from this one.
void Promise.all([loadLanguage(), loadPage(route.value.page)]).then(() => createApp(App).mount('#app'))
