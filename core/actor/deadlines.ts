/** Deadlines of asks: added and removed at every message, so without a timer or a heap operation for each. */
import type { Clock } from '../clock.ts'

/** Deadlines are kept in buckets of this many milliseconds; one may pass late by that much, never early. */
export const TICK_MS = 10

/** Buckets left empty by removals that may stay until their time comes, beside one for each entry. */
const MAX_EMPTY_BUCKETS = 4_096

/** Something that expires. Entries are links of their bucket's list, so that removing one costs nothing. */
export abstract class Expiring {
  deadline = 0
  #next: Expiring | undefined
  #previous: Expiring | undefined
  #bucket: Bucket | undefined

  /** Called once when the deadline has passed and the entry was not removed before. */
  abstract expire(): void

  static link(entry: Expiring, bucket: Bucket): void {
    entry.#bucket = bucket
    entry.#previous = undefined
    entry.#next = bucket.first
    if (bucket.first) bucket.first.#previous = entry
    bucket.first = entry
  }

  /** False when the entry was in no bucket. */
  static unlink(entry: Expiring): boolean {
    const bucket = entry.#bucket
    if (bucket === undefined) return false
    if (entry.#previous) entry.#previous.#next = entry.#next
    else bucket.first = entry.#next
    if (entry.#next) entry.#next.#previous = entry.#previous
    entry.#bucket = entry.#next = entry.#previous = undefined
    return true
  }
}

interface Bucket {
  first: Expiring | undefined
}

export class Deadlines {
  readonly #clock: Clock
  readonly #buckets = new Map<number, Bucket>()
  /** The last bucket that was looked at. */
  #passed: number
  #size = 0
  #ticking = false
  #lastTick = -1
  #lastBucket: Bucket = { first: undefined }

  constructor(clock: Clock) {
    this.#clock = clock
    this.#passed = Math.floor(clock.monotonic() / TICK_MS)
  }

  get size(): number {
    return this.#size
  }

  /** Registers an entry at its `deadline`, milliseconds on the monotonic clock. */
  add(entry: Expiring): void {
    const tick = Math.max(Math.ceil(entry.deadline / TICK_MS), this.#passed + 1)
    if (tick !== this.#lastTick) this.#lastBucket = this.#bucketOf(tick)
    Expiring.link(entry, this.#lastBucket)
    this.#size++
    if (!this.#ticking) this.#tick()
  }

  /** Takes an entry out again. Harmless when it is not in. */
  remove(entry: Expiring): void {
    if (Expiring.unlink(entry)) this.#size--
  }

  #bucketOf(tick: number): Bucket {
    let bucket = this.#buckets.get(tick)
    if (!bucket) {
      bucket = { first: undefined }
      this.#buckets.set(tick, bucket)
    }
    this.#lastTick = tick
    return bucket
  }

  /** Looks again when the next bucket is due. With nothing to wait for the timer ends, and the buckets go. */
  #tick(): void {
    this.#ticking = true
    const now = this.#clock.monotonic()
    this.#clock.after((Math.floor(now / TICK_MS) + 1) * TICK_MS - now, () => {
      this.#ticking = false
      this.#expireUntil(Math.floor(this.#clock.monotonic() / TICK_MS))
      this.#dropEmpty()
      if (this.#size > 0 && !this.#ticking) this.#tick()
    })
  }

  #expireUntil(now: number): void {
    const first = this.#passed + 1
    // From here on, so that a deadline added by an entry that expires never falls into a bucket behind us.
    this.#passed = Math.max(now, this.#passed)
    if (now - first > this.#buckets.size) {
      for (const tick of [...this.#buckets.keys()].sort((a, b) => a - b)) if (tick <= now) this.#expire(tick)
    } else {
      for (let tick = first; tick <= now; tick++) this.#expire(tick)
    }
  }

  #expire(tick: number): void {
    const bucket = this.#buckets.get(tick)
    if (!bucket) return
    this.#buckets.delete(tick)
    if (tick === this.#lastTick) this.#lastTick = -1
    while (bucket.first) {
      const entry = bucket.first
      this.remove(entry)
      entry.expire()
    }
  }

  #dropEmpty(): void {
    if (this.#size > 0 && this.#buckets.size <= this.#size + MAX_EMPTY_BUCKETS) return
    for (const [tick, bucket] of this.#buckets) if (bucket.first === undefined) this.#buckets.delete(tick)
    this.#lastTick = -1
  }
}
