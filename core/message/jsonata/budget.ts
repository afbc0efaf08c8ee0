/** What a running expression may use up. Expressions run to their end without a pause, so one set is enough. */
import { JsonataError } from './error.ts'

/** Steps between two looks at the clock. */
const REFUEL_STEPS = 4096

/** The longest array that an expression may build. */
export const MAX_ITEMS = 10_000_000
/** The longest text that an expression may build, in UTF-16 units. */
export const MAX_TEXT = 1 << 26

let fuel = REFUEL_STEPS
let deadlineMs = Number.POSITIVE_INFINITY
let startedMs = 0

/** Counts work. Throws D1012 when the time is up. */
export function spend(steps: number): void {
  fuel -= steps
  if (fuel < 0) refuel()
}

function refuel(): void {
  fuel = REFUEL_STEPS
  if (performance.now() > deadlineMs) throw new JsonataError('D1012')
}

/** Runs work within a time limit; a run within a run has what is left of the outer one. */
export function within<T>(timeoutMs: number, work: () => T): T {
  const outerDeadline = deadlineMs
  const outerStart = startedMs
  deadlineMs = Math.min(outerDeadline, performance.now() + timeoutMs)
  startedMs = 0
  try {
    return work()
  } finally {
    deadlineMs = outerDeadline
    startedMs = outerStart
  }
}

/** The time that `$now()` and `$millis()` give: the same throughout a run. Milliseconds since the epoch. */
export function runTimeMs(): number {
  startedMs ||= Date.now()
  return startedMs
}

/** Milliseconds until the time is up. */
export function remainingMs(): number {
  return Math.max(1, Math.ceil(deadlineMs - performance.now()))
}

/** Throws D2015 for an array or text that would be too long. */
export function checkLength(length: number, max: number): void {
  if (length > max) throw new JsonataError('D2015', length)
}
