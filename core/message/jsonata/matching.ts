/** Functions that take a regular expression or a function that matches, and regular expressions as values. */
import { patternCost } from '../validate/pattern-cost.ts'
import { TimeUp, timeBoxed } from '../validate/time-box.ts'
import { MAX_MATCH_MS } from '../validate/watched.ts'
import { checkLength, MAX_TEXT, remainingMs, spend } from './budget.ts'
import { invoke } from './call.ts'
import { JsonataError } from './error.ts'
import { sequence } from './sequence.ts'
import type { Callable } from './values.ts'

interface Match {
  match: string
  start: number
  end: number
  groups: unknown[]
  next: Callable
}

/** What can take exponential time: a repetition or a choice inside a repetition, and back references. */
const MAY_EXPLODE = /[+*}|][^)]*\)+[+*{?]|\([^)]*[+*|][^)]*\)+[+*{]|\\[1-9]|[+*][^)]*[+*]/
/** Shorter texts are matched soon, whatever the expression. */
const SHORT_TEXT = 20
/** Shorter ones are when the time grows with the square of the length, at most. */
const SQUARE_TEXT = 8_192
const REPETITION = /[+*]|\{\d+,\}/g
const ENDS_REPEATING = /(?:[+*]|\{\d+,\})\??$/

/** Longest text that is matched without a time limit. */
function unwatchedLength(source: string): number {
  const cost = patternCost(source)
  if (MAY_EXPLODE.test(source) || cost === 'unknown') return SHORT_TEXT
  const repetitions = source.match(REPETITION)?.length ?? 0
  // What begins to repeat at a place and has nothing after it does not go back.
  if (cost === 'linear' || (repetitions === 1 && ENDS_REPEATING.test(source) && !source.includes('|'))) {
    return Number.POSITIVE_INFINITY
  }
  return repetitions <= 1 ? SQUARE_TEXT : SHORT_TEXT
}

/** A regular expression as the function that JSONata makes of it. */
export function matcher(pattern: RegExp): Callable {
  const most = unwatchedLength(pattern.source)
  const exec = (at: RegExp, text: string) => (text.length > most ? execWithin(at, text) : at.exec(text))
  const from = (text: string, at: RegExp, index: number): Match | undefined => {
    spend(1)
    at.lastIndex = index
    const found = exec(at, text)
    if (found === null) return undefined
    const end = at.lastIndex
    const next = () => {
      if (end >= text.length) return undefined
      const following = from(text, at, end)
      // It would never get any further.
      if (following?.match === '') throw new JsonataError('D1004', pattern.source)
      return following
    }
    return {
      match: found[0],
      start: found.index,
      end: found.index + found[0].length,
      groups: found.slice(1),
      next,
    }
  }
  const made: Callable = (text: unknown, index?: unknown) =>
    from(String(text), new RegExp(pattern), typeof index === 'number' ? index : 0)
  made.arity = 2
  return made
}

/** Stopped when the time of the run is up, or that of one match. */
function execWithin(pattern: RegExp, text: string): RegExpExecArray | null {
  const { lastIndex } = pattern
  try {
    return timeBoxed(Math.min(remainingMs(), MAX_MATCH_MS), () => {
      pattern.lastIndex = lastIndex
      return RegExp.prototype.exec.call(pattern, text)
    })
  } catch (error) {
    if (error instanceof TimeUp) throw new JsonataError('D1012')
    throw error
  }
}

/** What the package makes its regular expressions of: they are stopped as those of compiled expressions are. */
export class WatchedRegExp extends RegExp {
  override exec(text: string): RegExpExecArray | null {
    return text.length > unwatchedLength(this.source) ? execWithin(this, text) : super.exec(text)
  }
}

function matchOf(callable: Callable, args: unknown[]): Match | undefined {
  const result = invoke(callable, args, null) as Match | undefined
  if (
    result &&
    typeof result.start !== 'number' &&
    !Array.isArray(result.groups) &&
    typeof result.next !== 'function'
  ) {
    throw new JsonataError('T1010')
  }
  return result
}

/** The matches in order, at most `limit`. */
function* matchesOf(callable: Callable, text: string, limit = Number.POSITIVE_INFINITY): Generator<Match> {
  let found = limit > 0 ? matchOf(callable, [text]) : undefined
  for (let count = 0; found !== undefined && count < limit; count++) {
    yield found
    if (count + 1 < limit) found = matchOf(found.next, [])
  }
}

export function contains(text: string | undefined, token: string | Callable | undefined): unknown {
  if (text === undefined || token === undefined) return undefined
  return typeof token === 'string' ? text.includes(token) : matchOf(token, [text]) !== undefined
}

export function match(text: string | undefined, pattern: Callable, limit?: number): unknown {
  if (text === undefined) return undefined
  if (limit !== undefined && limit < 0) throw new JsonataError('D3040', limit)
  const results = sequence()
  for (const found of matchesOf(pattern, text, limit)) {
    results.push({ match: found.match, index: found.start, groups: found.groups })
  }
  return results
}

export function split(text: string | undefined, separator: string | Callable, limit?: number): unknown {
  if (text === undefined) return undefined
  if (limit !== undefined && limit < 0) throw new JsonataError('D3020', limit)
  if (limit !== undefined && limit <= 0) return []
  if (typeof separator === 'string') return text.split(separator, limit)
  const parts: string[] = []
  let start = 0
  for (const found of matchesOf(separator, text, limit)) {
    parts.push(text.substring(start, found.start))
    start = found.end
  }
  if (limit === undefined || parts.length < limit) parts.push(text.substring(start))
  return parts
}

export function replace(
  text: string | undefined,
  pattern: string | Callable,
  replacement: string | Callable,
  limit?: number,
): unknown {
  if (text === undefined) return undefined
  if (pattern === '') throw new JsonataError('D3010')
  if (limit !== undefined && limit < 0) throw new JsonataError('D3011', limit)
  if (limit !== undefined && limit <= 0) return text
  return typeof pattern === 'string'
    ? replaceText(text, pattern, replacement, limit)
    : replaceMatches(text, pattern, replacement, limit)
}

function replaceText(text: string, pattern: string, replacement: string | Callable, limit?: number): string {
  let result = ''
  let position = 0
  let count = 0
  for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, position)) {
    if (limit !== undefined && count >= limit) break
    result += text.substring(position, at) + String(replacement)
    checkLength(result.length, MAX_TEXT)
    position = at + pattern.length
    count++
  }
  return result + text.substring(position)
}

function replaceMatches(
  text: string,
  pattern: Callable,
  replacement: string | Callable,
  limit?: number,
): string {
  let result = ''
  let position = 0
  for (const found of matchesOf(pattern, text, limit)) {
    const inserted =
      typeof replacement === 'string' ? substitute(replacement, found) : invoke(replacement, [found], null)
    if (typeof inserted !== 'string') throw new JsonataError('D3012', inserted)
    result += text.substring(position, found.start) + inserted
    checkLength(result.length, MAX_TEXT)
    position = found.start + found.match.length
  }
  return result + text.substring(position)
}

/** `$0` is the match, `$1` its first group, `$$` a dollar; as many digits as there can be groups. */
function substitute(template: string, { match: whole, groups }: Match): string {
  let result = ''
  let position = 0
  for (let at = template.indexOf('$'); at >= 0 && position < template.length; ) {
    result += template.substring(position, at)
    position = at + 1
    const following = template.charAt(position)
    if (following === '$') {
      result += '$'
      position++
    } else if (following === '0') {
      result += whole
      position++
    } else {
      const index = groupNumber(template, position, groups.length)
      if (Number.isNaN(index)) result += '$'
      else {
        result += groups[index - 1] ?? ''
        position += String(index).length
      }
    }
    at = template.indexOf('$', position)
  }
  return result + template.substring(position)
}

function groupNumber(template: string, position: number, groups: number): number {
  const digits = groups === 0 ? 1 : Math.floor(Math.log10(groups)) + 1
  const index = Number.parseInt(template.substring(position, position + digits), 10)
  if (digits === 1 || index <= groups) return index
  return Number.parseInt(template.substring(position, position + digits - 1), 10)
}
