// Writes words in the place of others: the spaces and marks around them stay as they are there. Pure.
import type { TimedWord } from './timed_words.ts'
import { isSpoken, isUnspaced } from './words.ts'

/** A part of the text of a line. */
export interface Piece {
  line: string
  text: string // with the spaces before it
}

/** A word that began a line, behind another one. */
export const spaced = (raw: string): string => (isUnspaced(raw[0]!) ? raw : ` ${raw}`)

/** New words where old ones stood here. The marks around them, and a capital, stay as they are here if they differ. */
export function inTheirPlace(here: TimedWord[], went: TimedWord[], came: TimedWord[]): Piece[] {
  const texts = came.map(({ text }) => text)
  if (here.some(({ text }, nth) => text !== went[nth]!.text)) fitMarks(texts, here, went)
  return texts.map((text, nth) => {
    const { line, raw } = here[Math.min(Math.floor((nth * here.length) / texts.length), here.length - 1)]!
    const source = came[nth]!.first ? (nth ? spaced(text) : raw) : came[nth]!.raw
    return { line, text: source.slice(0, source.length - source.trimStart().length) + text }
  })
}

function fitMarks(texts: string[], here: TimedWord[], went: TimedWord[]): void {
  if (!texts.length) return
  const [lead, core] = marksOf(texts[0]!)
  if (!core) return
  const [leadHere, coreHere] = marksOf(here[0]!.text)
  const [leadThere, coreThere] = marksOf(went[0]!.text)
  const isCapital = coreHere[0] !== coreThere[0] && coreHere[0] === coreThere[0]?.toUpperCase()
  const rest = texts[0]!.slice(lead.length)
  texts[0] = (leadHere === leadThere ? lead : leadHere) + (isCapital ? rest[0]!.toUpperCase() + rest.slice(1) : rest)
  const last = texts.at(-1)!
  const [, , trail] = marksOf(last)
  const [, , trailHere] = marksOf(here.at(-1)!.text)
  const [, , trailThere] = marksOf(went.at(-1)!.text)
  if (trailHere !== trailThere) texts[texts.length - 1] = last.slice(0, last.length - trail.length) + trailHere
}

/** The marks before a word, the word, and the marks behind it. */
export function marksOf(text: string): [string, string, string] {
  const characters = [...text]
  const [first, last] = [characters.findIndex(isSpoken), characters.findLastIndex(isSpoken)]
  if (first < 0) return ['', '', text]
  const cut = (from: number, to?: number) => characters.slice(from, to).join('')
  return [cut(0, first), cut(first, last + 1), cut(last + 1)]
}
