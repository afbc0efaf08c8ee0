/** Slows down those who guess, by exponential waits. Memory is bounded however many names are tried. */
import type { Clock } from '../clock.ts'
import { BoundedMap } from './bounded-map.ts'

export interface ThrottleLimits {
  /** Failures before the first wait. */
  freeFailures: number
  /** The first wait in milliseconds; each further failure doubles it. */
  firstWaitMs: number
  /** The longest wait in milliseconds. */
  maxWaitMs: number
  /** Failures are forgotten this long after the last one, in milliseconds. */
  forgetAfterMs: number
  /** How many keys are watched; the one used least recently is forgotten first. */
  maxEntries: number
}

interface Failures {
  count: number
  lastAt: number
  waitUntil: number
}

/** Counts failures by key and says how long a key must wait. */
export class Throttle {
  readonly #limits: ThrottleLimits
  readonly #clock: Clock
  readonly #failures: BoundedMap<Failures>

  constructor(limits: ThrottleLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#failures = new BoundedMap(limits.maxEntries)
  }

  /** How many keys are watched. */
  get size(): number {
    return this.#failures.size
  }

  /** How long the key must still wait, in milliseconds; 0: not at all. */
  waitMs(key: string): number {
    const known = this.#known(key)
    return known === undefined ? 0 : Math.max(0, Math.ceil(known.waitUntil - this.#clock.monotonic()))
  }

  /** Counts a failure. */
  failed(key: string): void {
    const { freeFailures, firstWaitMs, maxWaitMs } = this.#limits
    const now = this.#clock.monotonic()
    const count = (this.#known(key)?.count ?? 0) + 1
    const excess = count - freeFailures
    const wait = excess < 0 ? 0 : Math.min(maxWaitMs, firstWaitMs * 2 ** Math.min(excess, 30))
    this.#failures.set(key, { count, lastAt: now, waitUntil: now + wait })
  }

  /** Forgets the failures of a key. */
  succeeded(key: string): void {
    this.#failures.delete(key)
  }

  #known(key: string): Failures | undefined {
    const known = this.#failures.get(key)
    if (known === undefined) return undefined
    const isOver = known.lastAt + this.#limits.forgetAfterMs <= this.#clock.monotonic()
    if (!isOver || known.waitUntil > this.#clock.monotonic()) return known
    this.#failures.delete(key)
    return undefined
  }
}
