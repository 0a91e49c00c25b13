import { ref } from 'vue'

export type Theme = 'auto' | 'light' | 'dark'
export const theme = ref<Theme>((localStorage.getItem('theme') as Theme | null) ?? 'auto')

export function applyTheme(chosen: Theme = theme.value): void {
  theme.value = chosen
  localStorage.setItem('theme', chosen)
  document.documentElement.dataset.theme = chosen
}
