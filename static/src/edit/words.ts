// Cuts a text into words as the model writes them. The service does the same (editing/splitting.py), to the same result.

/** Code points of the scripts that write no spaces between words: Thai to Burmese, Khmer, kana, Han. */
const UNSPACED =
  /[\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\u{20000}-\u{3ffff}]/u
/** Marks that need no space behind them. */
const WIDE_MARK = /[\u3001-\u303f\uff01-\uff65]/
const SPOKEN = /[\p{L}\p{N}\p{M}\p{Sc}%&+]/u
const COMBINING = /\p{M}/u
const OPENING = '“«([{（【「『《〈¿¡'

/** A test of one character. Its answers are kept: a text has few characters, again and again. */
function kept(test: RegExp): (character: string) => boolean {
  const known = new Map<string, boolean>()
  return (character) => {
    let answer = known.get(character)
    if (answer === undefined) known.set(character, (answer = test.test(character)))
    return answer
  }
}
export const isSpoken = kept(SPOKEN)
export const isUnspaced = kept(UNSPACED)
const isCombining = kept(COMBINING)
const isWideMark = kept(WIDE_MARK)
const isSpace = kept(/\s/)

function ends(word: string, last: string, character: string): boolean {
  if (!last || isCombining(character)) return false
  if (isSpoken(character)) {
    const before = word.at(-1)!
    return isUnspaced(character) || isUnspaced(last) || (isWideMark(before) && !isSpoken(before))
  }
  return isSpace(character) || OPENING.includes(character)
}

const ASCII = /^[\x00-\x7f]*$/ // eslint-disable-line no-control-regex
/** A word of a text in ASCII, by the same rules, and five times as fast. */
const ASCII_WORD = /[^0-9A-Za-z%&+$]*[0-9A-Za-z%&+$][^\s([{]*/g

/** The words of a text, each with the spaces before it and its marks. Joined they are the text. */
export function splitWords(text: string): string[] {
  if (!ASCII.test(text)) return split(text)
  const words: string[] = text.match(ASCII_WORD) ?? []
  const rest = text.slice(words.reduce((sum, word) => sum + word.length, 0)) // marks behind the last word
  if (!words.length) return text ? [text] : []
  words[words.length - 1] += rest
  return words
}

function split(text: string): string[] {
  const words: string[] = []
  let word = ''
  let last = '' // the last letter or number of `word`
  for (const character of text) {
    if (ends(word, last, character)) {
      words.push(word)
      word = last = ''
    }
    word += character
    if (isSpoken(character) && !isCombining(character)) last = character
  }
  if (word && (last || !words.length)) words.push(word)
  else if (word) words[words.length - 1] += word // marks behind the last word
  return words
}

/** What two words must share to be the same word: letters and numbers, without case, width and marks. */
export function wordKey(word: string): string {
  if (ASCII.test(word)) return word.toLowerCase().replace(/[^0-9a-z%&+$]+/g, '') || word.toLowerCase().trim()
  const normal = word.normalize('NFKC').toLowerCase()
  return [...normal].filter(isSpoken).join('') || normal.trim()
}

/** What stands between two texts that become one: nothing beside a script without spaces, else a space. */
export function joint(before: string, after: string): string {
  const end = [...before].filter(isSpoken).at(-1)
  const begin = [...after].find(isSpoken)
  return end && begin && isUnspaced(end) && isUnspaced(begin) ? '' : ' '
}
