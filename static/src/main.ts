import { createApp } from 'vue'
import App from './App.vue'
import './app.css'
import { start } from './store.ts'
import { applyTheme } from './theme.ts'

applyTheme()
createApp(App).mount('#app')
start()
