// The captions view: what its address asks for, and how the text of a session is laid out. Pure.
import { beginnings, isTight } from '../edit/paragraphs.ts'
import { lineId } from '../transcript_text.ts'
import type { Job, Segment } from '../types.ts'

/** How captions look, as their address says. A value that makes no sense counts as absent. */
export interface Look {
  theme: 'dark' | 'light' // of the ground: letters are light on a dark one
  size: string // of the letters, in CSS
  lines: number // 0: as many as there is room for
  align: 'start' | 'center'
  color: string // of the letters, '' as the theme says
  ground: string // behind everything, '': nothing, what is below shines through
  box: string // behind the words, '': nothing
  hide: number // seconds without a new word after which the text goes, 0: it stays
  drafts: boolean
}

const SIZE = /^(\d{1,3}(?:\.\d+)?)(px|vh|vw|)$/
const COLOR = /^([\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i
const MOST_LINES = 50
const MOST_HIDE_S = 3_600

/** Return the look that the query of an address asks for. */
export function lookOf(search: string): Look {
  const query = new URLSearchParams(search)
  const asked = (name: string) => query.get(name) ?? ''
  const color = (name: string) => (COLOR.test(asked(name)) ? `#${asked(name)}` : '')
  const number = (name: string, most: number) => Math.max(0, Math.min(most, Number(asked(name)) || 0))
  const [, size, unit] = SIZE.exec(asked('size')) ?? []
  return {
    theme: asked('theme') === 'light' ? 'light' : 'dark',
    size: Number(size) ? `${size}${unit || 'px'}` : '7vh',
    lines: Math.floor(number('lines', MOST_LINES)),
    align: asked('align') === 'center' ? 'center' : 'start',
    color: color('color'),
    ground: color('ground'),
    box: color('box'),
    hide: number('hide', MOST_HIDE_S),
    drafts: asked('drafts') !== '0',
  }
}

/** The newest session into which somebody may still speak. Null: there is none. */
export function openSession(jobs: readonly Job[]): string | null {
  const open = jobs.filter(({ live }) => live && !live.ended).map(({ id }) => id)
  return open.sort().at(-1) ?? null // ids sort by the time when they were made
}

export interface Paragraph {
  key: string
  pieces: { key: string; text: string; language: string | null }[] // with the space before each
}

/** The last paragraphs of a text. A line that is added changes the last one only, so that only this line is announced. */
export function paragraphsOf(lines: readonly Segment[], most: number): Paragraph[] {
  const passages = lines.map(({ start, end, text, speaker }, at) => {
    const speaks = at > 0 && speaker !== lines[at - 1]!.speaker
    return { start, end, text, speaks, gap: false }
  })
  const cuts = beginnings(passages)
  return cuts.slice(-most).map((begin, nth, last) => {
    const pieces = lines.slice(begin, last[nth + 1]).map((line, at) => {
      const text = line.text.trim()
      const space = at === 0 || isTight(lines[begin + at - 1]!.text) ? '' : ' '
      return { key: lineId(line), text: space + text, language: line.language }
    })
    return { key: pieces[0]!.key, pieces }
  })
}
