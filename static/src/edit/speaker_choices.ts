// What can be chosen as the speaker of a line: a speaker who is there, a new one, another name for the one who speaks.
import { t } from '../i18n/index.ts'
import { speakerActs, type Scope } from './speaker_acts.ts'
import type { Face } from './speakers.ts'
import type { Speaking } from './speaking.ts'

export interface Wanted {
  line: string
  scope: Scope
  typed: string
}
export interface Choice {
  key: string
  text: string
  face?: Face
  act(): void
}

export function choicesOf(speaking: Speaking, { line, scope, typed }: Wanted): Choice[] {
  const { choose, make } = speakerActs(speaking)
  const faces = speaking.faces.value
  const now = speaking.faceOf(line)
  const name = typed.trim()
  const key = name.toLocaleLowerCase()
  const found: Choice[] = faces
    .filter((face) => !key || face.name.toLocaleLowerCase().includes(key))
    .filter((face) => scope !== 'all' || face.id !== now?.id)
    .map((face) => ({
      key: face.id,
      text: scope === 'all' ? t('merge_into', { name: face.name }) : face.name,
      face,
      act: () => choose(line, scope, face.id),
    }))
  if (!key && now)
    found.push({
      key: 'none',
      text: t(speaking.automatic.value ? 'speaker_as_found' : 'speaker_none'),
      act: () => choose(line, scope, null),
    })
  if (!name || faces.some((face) => face.name.toLocaleLowerCase() === key)) return found
  const added: Choice = { key: 'make', text: t('make_speaker', { name }), act: () => make(line, scope, name) }
  if (!now) return [...found, added]
  const text = t('rename_to', { name: now.name, to: name })
  const renamed: Choice = { key: 'rename', text, act: () => make(line, 'all', name) }
  if (scope === 'all') return [...found, renamed]
  return [...found, ...(now.named ? [added, renamed] : [renamed, added])]
}

/** Make a line of each turn of a line. */
export const splitTurns = (speaking: Speaking, line: string): void => speakerActs(speaking).split(line)
