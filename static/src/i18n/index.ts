// The languages of the page, and the one in use. Each is loaded when it is first needed. A switch needs no reload.
import { computed, ref, shallowRef } from 'vue'
import type { MessageKey, Translation } from './translation.ts'

interface Entry {
  name: string // in the language itself
  tag: string // BCP 47: for the page's `lang`, and for the forms of dates and numbers
  load: () => Promise<Translation>
}
export const languages = {
  en: { name: 'English', tag: 'en', load: async () => (await import('./en.ts')).en },
  zh: { name: '中文', tag: 'zh-CN', load: async () => (await import('./zh.ts')).zh },
} satisfies Record<string, Entry>

export type Language = keyof typeof languages
export type { MessageKey } from './translation.ts'

type Values = Record<string, string | number>

const codes = Object.keys(languages) as Language[]

function firstLanguage(): Language {
  const wanted = [localStorage.getItem('language') ?? '', ...navigator.languages]
  const found = wanted.flatMap((tag) => codes.filter((code) => tag === code || tag.startsWith(`${code}-`)))
  return found[0] ?? 'en'
}

export const language = ref<Language>(firstLanguage())
export const tag = computed(() => languages[language.value].tag)

/** Everything that the page says, in the language in use. Set before the page is shown: see `loadLanguage`. */
export const translation = shallowRef() as { value: Translation }

/** Load a language and use it. The page shows the earlier one until then. */
export async function loadLanguage(chosen: Language = language.value): Promise<void> {
  translation.value = await languages[chosen].load()
  language.value = chosen
  document.documentElement.lang = languages[chosen].tag
}

export async function setLanguage(chosen: Language): Promise<void> {
  await loadLanguage(chosen)
  localStorage.setItem('language', chosen)
}

/** The language that the button in the header changes to. */
export const nextLanguage = computed<Language>(() => codes[(codes.indexOf(language.value) + 1) % codes.length]!)

export const isMessageKey = (key: string): key is MessageKey => key in translation.value.messages

export function translate(key: MessageKey, values: Values = {}): string {
  return fill(translation.value.messages[key], values, tag.value)
}

export { translate as t }

const PLURALS = ['zero', 'one', 'two', 'few', 'many', 'other']

/** Fill in values. `{n}` is a value; `{n|time|times}` is the word that goes with it, in the plural forms of the language. */
export function fill(text: string, values: Values, tag: string): string {
  return text.replace(/\{(\w+)((?:\|[^|}]*)*)\}/g, (whole, name: string, forms: string) => {
    const value = values[name]
    if (!forms) return String(value ?? whole)
    const rules = new Intl.PluralRules(tag)
    const used = PLURALS.filter((form) =>
      rules.resolvedOptions().pluralCategories.includes(form as Intl.LDMLPluralRule),
    )
    return forms.split('|')[1 + used.indexOf(rules.select(Number(value)))] ?? whole
  })
}
