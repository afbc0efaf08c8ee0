/**
 * Time, chance and identity as values that are handed in, so that supervisors, deadlines and backoff are
 * tested without waiting and a simulation can be repeated from its seed.
 */
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'

/** A timer that can be cancelled; cancelling twice is harmless. */
export interface Timer {
  cancel(): void
}

/** Where the bus gets the time from. */
export interface Clock {
  /** Wall-clock time, milliseconds since the epoch. May jump; use it for what people see. */
  now(): number
  /** Milliseconds from an arbitrary start, never going back. Intervals and deadlines are measured with it. */
  monotonic(): number
  /** Calls `run` once after `ms` milliseconds. The timer keeps no process alive. */
  after(ms: number, run: () => void): Timer
}

/** Uniform numbers in [0, 1). */
export type Random = () => number

/** Makes an identifier that is unique within the cluster. */
export type IdSource = () => string

/** The real clock. */
export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  after(ms, run) {
    const handle = setTimeout(run, ms).unref()
    return { cancel: () => clearTimeout(handle) }
  },
}

/**
 * Identifiers of a random 72-bit prefix and a counter: unique in a cluster without a call into the random
 * number generator for each, which would cost more than the message that carries it.
 */
export function idSource(prefix: string = randomBytes(9).toString('base64url')): IdSource {
  let count = 0
  return () => prefix + (count++).toString(36)
}

/** A seeded random source (mulberry32): the same seed gives the same numbers. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A clock that moves only when told to. */
export class TestClock implements Clock {
  #now: number
  #timers: { at: number; order: number; run: () => void }[] = []
  #order = 0

  constructor(startMs = 0) {
    this.#now = startMs
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(ms: number, run: () => void): Timer {
    const timer = { at: this.#now + ms, order: this.#order++, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      },
    }
  }

  /** How many timers are waiting. */
  get pending(): number {
    return this.#timers.length
  }

  /** Moves time on by `ms`, running every timer that falls due, in order, at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers
        .filter(timer => timer.at <= end)
        .sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (!next) break
      this.#timers = this.#timers.filter(timer => timer !== next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
    }
    this.#now = end
  }
}
