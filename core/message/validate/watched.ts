/** Regular expressions and other checks of texts that are stopped when a text makes them backtrack without end. */
import { type PatternCost, patternCost } from './pattern-cost.ts'
import { timeBoxed } from './time-box.ts'

/** Longest time for one text. */
export const MAX_MATCH_MS = 100

/** Texts up to this length are matched without a time limit. */
export const UNWATCHED: Readonly<Record<PatternCost, number>> = {
  linear: 100_000,
  polynomial: 200,
  unknown: -1,
}

/** The check, stopped after {@link MAX_MATCH_MS}: then it throws SIGNALBOX_FORMAT_LIMIT. */
export function watched(test: (text: string) => boolean, cost: PatternCost): (text: string) => boolean {
  return text => (text.length > UNWATCHED[cost] ? timeBoxed(MAX_MATCH_MS, () => test(text)) : test(text))
}

/** How ajv makes its regular expressions: with {@link watched} tests. */
export const watchedRegExp = Object.assign(
  (pattern: string, flags: string): RegExp => {
    const expression = new RegExp(pattern, flags)
    const test = watched(text => expression.test(text), patternCost(pattern))
    return Object.assign(new RegExp(pattern, flags), { test })
  },
  // Only for code that ajv writes to files, which it does not here.
  { code: 'undefined' },
)

/** The check of a format of texts, as ajv has it; undefined for those of numbers, which are cheap. */
export function formatTest(format: unknown): ((text: string) => boolean) | undefined {
  if (format instanceof RegExp) return text => format.test(text)
  if (typeof format === 'function') return format as (text: string) => boolean
  if (typeof format !== 'object' || format === null) return undefined
  const { type, validate } = format as { type?: string; validate?: unknown }
  return type === 'number' ? undefined : formatTest(validate)
}
