// The languages that Whisper knows, by code. The browser knows their names.
const COMMON = ['zh', 'en', 'yue', 'ja', 'ko', 'es', 'fr', 'de', 'ru', 'pt', 'ar', 'hi']
const OTHERS =
  'af am as az ba be bg bn bo br bs ca cs cy da el et eu fa fi fo gl gu ha haw he hr ht hu hy id is it jw ka kk km kn la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps ro sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo'.split(
    ' ',
  )

/** The common languages first, then the others by name. */
export function spokenLanguages(nameOf: (code: string) => string): { code: string; name: string }[] {
  const named = (code: string) => ({ code, name: nameOf(code) })
  return [...COMMON.map(named), ...OTHERS.map(named).sort((a, b) => a.name.localeCompare(b.name))]
}
