import { ref } from 'vue'

export const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const kept = localStorage.getItem('theme') as Theme | null
export const theme = ref<Theme>(kept && THEMES.includes(kept) ? kept : 'auto')

export function applyTheme(chosen: Theme = theme.value): void {
  theme.value = chosen
  localStorage.setItem('theme', chosen)
  document.documentElement.dataset.theme = chosen
}

export const nextTheme = (): void => applyTheme(THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length])
