// What is looked for in a text, and where it was found. What finds it (find.ts) is loaded with the first search.

export interface Phrase {
  text: string
  case?: boolean // upper and lower case differ
  whole?: boolean // whole words only, in scripts that have spaces between words
}

/** A find in a line, by the place of the line in the text. */
export interface Hit {
  segment: number
  from: number
  to: number
  over?: number // it goes on over so many characters of the next line
  part?: true // only a word of the phrase is there, as the whole phrase is nowhere
}

/** The stretches of lines that a find has: the line, and its first and last character. */
export function stretchesOf({ segment, from, to, over }: Hit): (readonly [number, number, number])[] {
  const first = [segment, from, to] as const
  return over ? [first, [segment + 1, 0, over]] : [first]
}

/** Whether a phrase is long enough to look for: two characters, or one Chinese character. */
export const isLongEnough = (phrase: string): boolean => phrase.trim().length > 1 || /\p{Script=Han}/u.test(phrase)
