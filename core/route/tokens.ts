/** Buckets of tokens, for the throttles of a node (the generic cell rate algorithm: one number for each bucket). */
import type { Clock } from '../clock.ts'
import type { TokenRate } from './compiling.ts'

const MAX_BUCKETS = 10_000

export class TokenBuckets {
  readonly #clock: Clock
  /** When the next token is there at the latest, by bucket. */
  readonly #full = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes a token: milliseconds to wait for it, or -1 when it would be longer than `maxWaitMs`; none is taken then. */
  take(bucket: string, { limit, perMs, burst, maxWaitMs }: TokenRate): number {
    const now = this.#clock.monotonic()
    const each = perMs / limit
    const tat = Math.max(now, this.#full.get(bucket) ?? now)
    const waitMs = Math.max(0, tat - each * (burst - 1) - now)
    if (waitMs > maxWaitMs) return -1
    if (!this.#full.has(bucket) && this.#full.size >= MAX_BUCKETS) this.#forget(now)
    this.#full.set(bucket, tat + each)
    return waitMs
  }

  /** Buckets that are full are as good as new ones. */
  #forget(now: number): void {
    for (const [bucket, tat] of this.#full) if (tat <= now) this.#full.delete(bucket)
  }
}
