/** What the code of a mapping is linked with, as `R`. */
import { ALL, compare, listOf, property, walk } from './walk.ts'

/** A value that is missing or was refused. */
export interface Problem {
  /** The path of the source from the input on, with the positions of lists: `lines[3].price`. */
  source: string
  /** JSON Pointer of the target. */
  target: string
  /** Why the value was refused; undefined: it is missing. */
  reason?: string
}

/** Longer lists help nobody. */
const MAX_PROBLEMS = 1_000

export const RUNTIME = { ALL, compare, holds, isIn, listOf, lookup, missing, property, refused, walk }

function missing(list: Problem[], source: string, target: string): void {
  if (list.length < MAX_PROBLEMS) list.push({ source, target })
}

function refused(list: Problem[], source: string, target: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  if (list.length < MAX_PROBLEMS) list.push({ source, target, reason })
}

/** A path as a condition: something is there, and it is not false or empty. */
function holds(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return false
  return !Array.isArray(value) || value.length > 0
}

function isIn(value: unknown, list: readonly unknown[]): boolean {
  return list.some(item => compare(value, item, '='))
}

function lookup(table: ReadonlyMap<string, unknown>, value: unknown): unknown {
  const isKey = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  return isKey ? table.get(String(value)) : undefined
}
