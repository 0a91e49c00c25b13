import { createApp } from 'vue'
import App from './App.vue'
import './app.css'
import { start } from './store.ts'
import { setTheme } from './theme.ts'

setTheme()
createApp(App).mount('#app')
start()
