// Finds a phrase in the lines of a text, as people read it. The service does the same (editing/matching.py), to the same result.
import { isLongEnough, type Hit, type Phrase } from './hits.ts'
import { isUnspaced, joint } from './words.ts'

/** Traditional characters with the simplified ones that they count as. */
export type Variants = ReadonlyMap<string, string>

const QUOTES: Record<string, string> = { '\u00a0': ' ', '\u3000': ' ', ς: 'σ' }
for (const mark of '‘’‚‛ʼ') QUOTES[mark] = "'"
for (const mark of '“”„‟') QUOTES[mark] = '"'
const QUOTE = new RegExp(`[${Object.keys(QUOTES).join('')}]`, 'g')
const WIDE = /[\uff01-\uffee]/
const NARROW_ONE = /[\uff01-\uff5e]/g // one character of full width is one of ASCII
const OTHER_WIDE = /[\uff5f-\uffee]/ // also those that are composed
const COMPOSED = /[\p{M}\u1160-\u11ff]/u
const LETTER = /[^\n][\p{M}\uff9e\uff9f\u1160-\u11ff]*|\n/gu
const ASCII = /^[\x00-\x7f]*$/ // eslint-disable-line no-control-regex
const JOINS = /[\p{L}\p{N}\p{M}_]/u

/** A text as it is compared, and where each of its characters was: -1 within a letter. Null: nothing moved. */
interface Folded {
  text: string
  places: number[] | null
}

const withVariants = (text: string, variants?: Variants): string =>
  variants ? text.replace(/[\u3400-\u9fff]/g, (one) => variants.get(one) ?? one) : text

function foldLetter(letter: string, phrase: Phrase, variants?: Variants): string {
  const normal = letter.normalize(WIDE.test(letter) ? 'NFKC' : 'NFC')
  const cased = phrase.case ? normal : normal.toLowerCase()
  return withVariants(
    cased.replace(QUOTE, (mark) => QUOTES[mark]!),
    variants,
  )
}

function fold(text: string, phrase: Phrase, variants?: Variants): Folded {
  if (ASCII.test(text)) return { text: phrase.case ? text : text.toLowerCase(), places: null }
  if (!COMPOSED.test(text) && !OTHER_WIDE.test(text) && text.normalize('NFC') === text) {
    const narrow = text.replace(NARROW_ONE, (one) => String.fromCharCode(one.charCodeAt(0) - 0xfee0))
    const cased = phrase.case ? narrow : narrow.toLowerCase()
    if (cased.length === text.length)
      return {
        text: withVariants(
          cased.replace(QUOTE, (mark) => QUOTES[mark]!),
          variants,
        ),
        places: null,
      }
  }
  let folded = ''
  const places: number[] = []
  for (const { 0: letter, index } of text.matchAll(LETTER)) {
    const part = foldLetter(letter, phrase, variants)
    for (let unit = 0; unit < part.length; unit += 1) places.push(unit ? -1 : index)
    folded += part
  }
  places.push(text.length)
  return { text: folded, places }
}

/** Whether a find is only a part of a word. */
function isPart(text: string, first: number, last: number): boolean {
  const joins = (character: string | undefined) =>
    character !== undefined && JOINS.test(character) && !isUnspaced(character)
  return [first, last].some((at) => {
    if (at === 0 || at === text.length) return false
    return joins([...text.slice(Math.max(0, at - 2), at)].at(-1)) && joins([...text.slice(at, at + 2)][0])
  })
}

function placesIn({ text, places }: Folded, wanted: string, whole: boolean): [from: number, to: number][] {
  const found: [number, number][] = []
  let first = text.indexOf(wanted)
  while (first >= 0) {
    const last = first + wanted.length
    const from = places ? places[first]! : first
    const to = places ? places[last]! : last
    const counts = from >= 0 && to >= 0 && !(whole && isPart(text, first, last))
    if (counts) found.push([from, to])
    first = text.indexOf(wanted, counts ? last : first + 1)
  }
  return found
}

/** Begin and end of each find in a text, in order. No two overlap. */
export function occurrences(text: string, phrase: Phrase, variants?: Variants): [from: number, to: number][] {
  const wanted = fold(phrase.text.trim(), phrase, variants).text
  return wanted ? placesIn(fold(text, phrase, variants), wanted, phrase.whole ?? false) : []
}

/** A line as it is shown and searched. */
interface Line {
  text: string
}

/** Finds phrases in lines. It keeps each line as it is compared: of ten hours, that takes longer than the search. */
export class Finder {
  private kept = new WeakMap<Line, { folded: Folded; of: string }>()
  private options = ''

  /**
   * Every place of a phrase, with those over the edge of two lines. A text without it is searched for its words, as the
   * list of transcripts does.
   */
  find(lines: readonly Line[], phrase: Phrase, variants?: Variants): Hit[] {
    const hits = this.findExactly(lines, phrase, variants)
    const words = [...new Set(phrase.text.trim().split(/\s+/))]
    if (hits.length || words.length < 2) return hits
    const each = words.flatMap((text) => this.findExactly(lines, { ...phrase, text }, variants))
    each.sort((a, b) => a.segment - b.segment || a.from - b.from || b.to - a.to)
    const apart = each.filter((hit, at) => {
      const before = each[at - 1]
      return !before || before.segment !== hit.segment || before.to <= hit.from
    })
    return apart.map((hit) => ({ ...hit, part: true }))
  }

  private findExactly(lines: readonly Line[], phrase: Phrase, variants?: Variants): Hit[] {
    if (!isLongEnough(phrase.text)) return []
    const options = `${phrase.case ?? false} ${variants !== undefined}`
    if (options !== this.options) this.kept = new WeakMap()
    this.options = options
    const wanted = fold(phrase.text.trim(), phrase, variants).text
    const hits: Hit[] = []
    let before: Folded | null = null
    lines.forEach((line, segment) => {
      const now = this.folded(line, phrase, variants)
      if (before) this.addOver(hits, segment - 1, before, now, wanted, phrase.whole ?? false)
      for (const [from, to] of placesIn(now, wanted, phrase.whole ?? false)) hits.push({ segment, from, to })
      before = now
    })
    return hits
  }

  private folded(line: Line, phrase: Phrase, variants?: Variants): Folded {
    const known = this.kept.get(line)
    if (known && known.of === line.text) return known.folded
    const folded = fold(line.text.trim(), phrase, variants)
    this.kept.set(line, { folded, of: line.text })
    return folded
  }

  /** Add a find that begins in one line and ends in the next. */
  private addOver(hits: Hit[], segment: number, one: Folded, other: Folded, wanted: string, whole: boolean): void {
    if (wanted.length < 2) return
    const tail = one.text.slice(1 - wanted.length)
    const head = other.text.slice(0, wanted.length - 1)
    const skipped = one.text.length - tail.length
    for (const between of wanted.includes(' ') ? [' ', ''] : ['']) {
      if (between !== joint(tail, head)) continue
      const text = tail + between + head
      for (let first = text.indexOf(wanted); first >= 0; first = text.indexOf(wanted, first + 1)) {
        const last = first + wanted.length - tail.length - between.length // in the next line
        if (first >= tail.length || last <= 0 || (whole && isPart(text, first, first + wanted.length))) continue
        const from = one.places ? one.places[skipped + first]! : skipped + first
        const over = other.places ? other.places[last]! : last
        const end = one.places ? one.places.at(-1)! : one.text.length
        const previous = hits.at(-1)
        if (from < 0 || over < 0 || (previous?.segment === segment && previous.to > from)) continue
        hits.push({ segment, from, to: end, over })
        return
      }
    }
  }
}
