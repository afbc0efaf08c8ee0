/**
 * Decides once for each trace that begins in this thread whether it is kept: by a ratio, by a limit of traces per
 * second, and by whether there is room for its spans. What follows from the trace goes by its `traceparent`.
 */
import { type Clock, systemClock } from '../clock.ts'

/** Traces that began in this thread, by what became of them. */
export interface TraceCounts {
  kept: number
  /** Not chosen by the ratio. */
  ratio: number
  /** More than the limit of traces per second. */
  limit: number
  /** No room: the spans before them were not exported yet. */
  queue: number
}

/** The bucket is filled up in so many parts of a second. */
const PARTS = 10

export class RootSampler {
  readonly counts: TraceCounts = { kept: 0, ratio: 0, limit: 0, queue: 0 }
  readonly #ratio: number
  readonly #maxPerSecond: number
  readonly #clock: Clock
  readonly #isFull: () => boolean
  #tokens: number
  #filling = false

  /**
   * `maxPerSecond` undefined: no limit. A token bucket of one second, refilled in tenths: a burst after a quiet second
   * is kept up to the limit.
   */
  constructor(
    ratio: number,
    maxPerSecond: number | undefined,
    isFull: () => boolean = () => false,
    clock: Clock = systemClock,
  ) {
    this.#ratio = ratio
    this.#maxPerSecond = maxPerSecond ?? Number.POSITIVE_INFINITY
    this.#tokens = this.#maxPerSecond
    this.#isFull = isFull
    this.#clock = clock
  }

  /** Whether the trace that begins now is kept. */
  decide(): boolean {
    const { counts } = this
    // The bucket first: at a high rate it says no, and says it for nothing.
    if (this.#tokens < 1) {
      counts.limit++
      return false
    }
    if (this.#ratio < 1 && Math.random() >= this.#ratio) {
      counts.ratio++
      return false
    }
    if (this.#isFull()) {
      counts.queue++
      return false
    }
    counts.kept++
    if (this.#maxPerSecond !== Number.POSITIVE_INFINITY) this.#take()
    return true
  }

  #take(): void {
    this.#tokens--
    // The clock runs only while the bucket is not full; no look at the time for each message.
    if (!this.#filling) this.#fillSoon()
  }

  #fillSoon(): void {
    this.#filling = true
    this.#clock.after(1_000 / PARTS, () => {
      this.#tokens = Math.min(this.#maxPerSecond, this.#tokens + this.#maxPerSecond / PARTS)
      this.#filling = false
      if (this.#tokens < this.#maxPerSecond) this.#fillSoon()
    })
  }
}
