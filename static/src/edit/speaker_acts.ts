// What people change about the speakers of a transcript. It is loaded with what asks for it.
import { request } from '../api.ts'
import { t } from '../i18n/index.ts'
import { notify } from '../notices.ts'
import { fetchSpeakers } from '../store.ts'
import { lineId } from '../transcript_text.ts'
import type { SpeakerList } from '../types.ts'
import { newId } from './changes.ts'
import { characters } from './cutting.ts'
import { turnOffsets, untilChange } from './speakers.ts'
import type { Speaking } from './speaking.ts'

/** To which lines a choice applies. `all`: wherever the speaker of the line speaks. */
export type Scope = 'line' | 'from' | 'all'

export function speakerActs({ session, byId, resolve, turns, faceOf, assign, counting, problem, speakers }: Speaking) {
  const { lines, perform, undo } = session
  const indexOf = (line: string): number => lines.value.findIndex((one) => lineId(one) === line)

  function linesOf(line: string, scope: 'line' | 'from'): string[] {
    const at = indexOf(line)
    if (at < 0) return []
    return lines.value.slice(at, scope === 'line' ? at + 1 : untilChange(turns.value, at)).map(lineId)
  }
  /** Make a line of each turn of a line. */
  function split(id: string): void {
    const at = indexOf(id)
    const line = lines.value[at]
    if (!line) return
    const [, ...cuts] = turnOffsets(line.text, line.words, turns.value[at]!) // from the last one on, so that places stay
    const version = line.version ?? 0
    const acts = cuts.reverse().map((cut, nth) => {
      const place = { at: characters(line.text.slice(0, cut)), new: newId() }
      return { op: 'split', id, v: version + nth, ...place } as const
    })
    if (acts.length) perform(acts)
  }
  /** Take one speaker for another. Null: they are two again. */
  function merge(speaker: string, into: string | null): void {
    const [from, to] = [byId.value.get(speaker), into && byId.value.get(into)]
    if (!from || speaker === into) return
    perform([{ op: 'join_speakers', id: speaker, into }])
    if (to) notify(t('speakers_merged', { name: from.name, into: to.name }), t('undo'), undo)
  }
  function choose(line: string, scope: Scope, speaker: string | null): void {
    const now = faceOf(line)
    if (scope !== 'all' || !now) return assign(linesOf(line, scope === 'all' ? 'line' : scope), speaker)
    if (speaker) return merge(now.id, speaker)
    const own = lines.value.filter((one) => one.speaker && resolve.value(one.speaker) === now.id)
    assign(own.map(lineId), null)
  }
  /** Give lines a new speaker; with the scope `all`, the speaker of a line another name. */
  function make(line: string, scope: Scope, name: string): void {
    const now = faceOf(line)
    if (scope === 'all' && now) return rename(now.id, name)
    const made = newId()
    perform([
      { op: 'name_speaker', id: made, name },
      { op: 'speaker', ids: linesOf(line, scope === 'all' ? 'line' : scope), speaker: made },
    ])
  }
  function rename(speaker: string, name: string): void {
    if (name.trim() !== speakers.value.find((one) => one.id === speaker)?.name)
      perform([{ op: 'name_speaker', id: speaker, name: name.trim() }])
  }
  function add(name: string): void {
    perform([{ op: 'name_speaker', id: newId(), name: name.trim() }])
  }
  function remove(speaker: string): void {
    const own = lines.value.filter((one) => one.speaker === speaker).map(lineId)
    const ofLines = own.length ? [{ op: 'speaker', ids: own, speaker: null } as const] : []
    perform([...ofLines, { op: 'remove_speaker', id: speaker }])
  }
  /** Have the service count the speakers of a job anew. */
  async function count(job: string, wanted: number | 'auto'): Promise<void> {
    counting.value = true
    const answer = await request<SpeakerList>('POST', `/api/jobs/${job}/speakers`, { speakers: wanted })
    problem.value = answer.ok ? null : answer.problem
    await fetchSpeakers(job)
    counting.value = false
  }
  return { split, merge, choose, make, rename, add, remove, count }
}
