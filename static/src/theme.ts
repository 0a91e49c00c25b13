import { ref } from 'vue'

export const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const stored = localStorage.getItem('theme') as Theme | null
export const theme = ref<Theme>(stored && THEMES.includes(stored) ? stored : 'auto')

export function setTheme(chosen: Theme = theme.value): void {
  theme.value = chosen
  localStorage.setItem('theme', chosen)
  document.documentElement.dataset.theme = chosen
}

export const nextTheme = (): void => setTheme(THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length])
