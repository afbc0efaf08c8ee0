/** How much work a regular expression may make of a text, seen from the expression alone. */

/**
 * `linear`: in proportion to the text. `polynomial`: harmless for short texts. `unknown`: may be exponential, as
 * `(a+)+$` is. The judgement is on the safe side.
 */
export type PatternCost = 'linear' | 'polynomial' | 'unknown'

/** More repetitions than this count as no bound. */
const SMALL = 16
/** Ways to match that choices of a fixed number may make together. */
const MAX_WAYS = 256
const REPEAT = /\{(\d+)(?:(,)(\d*))?\}/y

export function patternCost(pattern: string): PatternCost {
  let unbounded = 0
  let ways = 1
  let inClass = false
  /** Alternatives of the open groups, the whole expression first. */
  const open = [1]
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern[at]!
    if (c === '\\') {
      // A back-reference, by number or by name.
      if (!inClass && /[1-9k]/.test(pattern[at + 1] ?? '')) return 'unknown'
      at++
    } else if (inClass) inClass = c !== ']'
    else if (c === '[') inClass = true
    else if (c === '|') open[open.length - 1]!++
    else if (c === '(') {
      if (/^\(\?(?:[=!]|<[=!])/.test(pattern.slice(at, at + 4))) return 'unknown'
      open.push(1)
      // What follows the bracket in `(?:` is no quantifier.
      if (pattern[at + 1] === '?') at++
    } else if (c === ')') {
      ways *= open.pop() ?? 1
      // A group that repeats may match in many ways what is inside of it.
      if (repetition(pattern, at + 1)?.repeats) return 'unknown'
    } else {
      const found = repetition(pattern, at)
      if (found === undefined) continue
      if (found.choices > SMALL) unbounded++
      else ways *= found.choices
    }
  }
  ways *= open[0] ?? 1
  if (unbounded > 2 || ways > MAX_WAYS) return 'unknown'
  const anchored = pattern.startsWith('^') && open[0] === 1
  return unbounded === 0 || (unbounded === 1 && anchored) ? 'linear' : 'polynomial'
}

/** The quantifier at this place: whether it repeats, and between how many numbers of times it chooses. */
function repetition(pattern: string, at: number): { repeats: boolean; choices: number } | undefined {
  const c = pattern[at]
  if (c === '*' || c === '+') return { repeats: true, choices: Number.POSITIVE_INFINITY }
  if (c === '?') return { repeats: false, choices: 2 }
  REPEAT.lastIndex = at
  const match = c === '{' ? REPEAT.exec(pattern) : null
  if (match === null) return undefined
  const [, least, comma, most] = match
  const last = comma === undefined ? Number(least) : most === '' ? Number.POSITIVE_INFINITY : Number(most)
  return { repeats: last > 1, choices: last - Number(least) + 1 }
}
