// What two lists of words have in common. The service does the same (editing/difference.py), to the same result.

/** A larger table is not made: words between the common beginning and the common end then count as replaced. */
const MAX_CELLS = 250_000

/** `old.slice(first, last)` became `new.slice(from, to)`. */
export interface Hunk {
  first: number
  last: number
  from: number
  to: number
}
type Pair = [old: number, now: number]

/** The positions of a longest common subsequence, ascending. Of several it is the one that begins first. */
export function pairs(old: string[], now: string[]): Pair[] {
  const shorter = Math.min(old.length, now.length)
  let head = 0
  while (head < shorter && old[head] === now[head]) head += 1
  let tail = 0
  while (tail < shorter - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1
  const found: Pair[] = []
  for (let at = 0; at < head; at += 1) found.push([at, at])
  for (const [one, other] of longest(old.slice(head, old.length - tail), now.slice(head, now.length - tail)))
    found.push([head + one, head + other])
  for (let at = tail; at > 0; at -= 1) found.push([old.length - at, now.length - at])
  return found
}

/** What changed, in order. Between two hunks there is at least one common word. */
export function hunks(old: string[], now: string[]): Hunk[] {
  const found: Hunk[] = []
  let one = 0
  let other = 0
  for (const [first, second] of [...pairs(old, now), [old.length, now.length]] as Pair[]) {
    if (first > one || second > other) found.push({ first: one, last: first, from: other, to: second })
    one = first + 1
    other = second + 1
  }
  return found
}

/** A text in parts that another text has, and parts that it has not. */
export function differing(other: string[], words: string[]): { text: string; changed: boolean }[] {
  const parts: { text: string; changed: boolean }[] = []
  const add = (from: number, to: number, changed: boolean) => {
    if (to > from) parts.push({ text: words.slice(from, to).join(''), changed })
  }
  let at = 0
  for (const { from, to } of hunks(other, words)) {
    add(at, from, false)
    add(from, to, true)
    at = to
  }
  add(at, words.length, false)
  return parts
}

function longest(old: string[], now: string[]): Pair[] {
  if (!old.length || !now.length || old.length * now.length > MAX_CELLS) return []
  const width = now.length + 1
  const lengths = new Uint16Array((old.length + 1) * width) // of the longest common subsequence of both rests
  const length = (one: number, other: number): number => lengths[one * width + other]!
  for (let one = old.length - 1; one >= 0; one -= 1)
    for (let other = now.length - 1; other >= 0; other -= 1)
      lengths[one * width + other] =
        old[one] === now[other]
          ? length(one + 1, other + 1) + 1
          : Math.max(length(one + 1, other), length(one, other + 1))
  const found: Pair[] = []
  let one = 0
  let other = 0
  while (one < old.length && other < now.length) {
    if (old[one] === now[other]) found.push([one++, other++])
    else if (length(one + 1, other) >= length(one, other + 1)) one += 1
    else other += 1
  }
  return found
}
