// The languages of the page, and the one in use. A switch needs no reload.
import { computed, ref, watchEffect } from 'vue'
import { en } from './en.ts'
import type { MessageKey, Translation } from './translation.ts'
import { zh } from './zh.ts'

export const languages = { en, zh } satisfies Record<string, Translation>

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

/** Everything that the page says, in the language in use. */
export const translation = computed<Translation>(() => languages[language.value])

watchEffect(() => {
  document.documentElement.lang = translation.value.tag
})

export function setLanguage(chosen: Language): void {
  language.value = chosen
  localStorage.setItem('language', chosen)
}

/** The language that the button in the header changes to. */
export const nextLanguage = computed<Language>(() => codes[(codes.indexOf(language.value) + 1) % codes.length]!)

export const isMessageKey = (key: string): key is MessageKey => key in en.messages

export function translate(key: MessageKey, values: Values = {}): string {
  return fill(translation.value.messages[key], values, translation.value.tag)
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
