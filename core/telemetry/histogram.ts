/**
 * Latencies in fixed log-linear buckets: eight to each power of two of microseconds, so that a value is known to
 * within an eighth, from 1 us to 71 minutes, in 240 counters. Recording allocates nothing.
 */

const BUCKETS = 240
const MAX_US = 2 ** 32 - 1

/** Upper bounds, in seconds, of the coarse buckets that are exported: powers of four of microseconds. */
export const EXPORT_BOUNDS: readonly number[] = Array.from({ length: 11 }, (_, i) => 4 ** (i + 3) / 1e6)
const EXPORT_ENDS = EXPORT_BOUNDS.map(seconds => indexOf(Math.round(seconds * 1e6)))

/** Plain data of a histogram: pairs of bucket and count in a flat list, empty buckets left out. */
export interface HistogramSnapshot {
  count: number
  sumMs: number
  maxMs: number
  buckets: number[]
}

export class Histogram {
  count = 0
  sumMs = 0
  maxMs = 0
  readonly #counts = new Float64Array(BUCKETS)

  /** Counts one latency, in milliseconds. A negative one or NaN counts as 0. */
  record(ms: number): void {
    const valid = Math.max(0, ms || 0)
    this.count++
    this.sumMs += valid
    if (valid > this.maxMs) this.maxMs = valid
    // A bucket holds (lower, upper], as the `le` of an exported bucket says.
    const us = Math.ceil(valid * 1000) - 1
    this.#counts[indexOf(Math.min(MAX_US, Math.max(0, us)))]!++
  }

  /** The latency in milliseconds that this share (0 to 1) of the records did not exceed; 0 when there is none. */
  percentile(share: number): number {
    if (this.count === 0) return 0
    let left = Math.ceil(this.count * share)
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#counts[i]!
      if (left <= 0) return Math.min(this.maxMs, lowerOf(i + 1) / 1000)
    }
    return this.maxMs
  }

  snapshot(): HistogramSnapshot {
    const buckets: number[] = []
    for (let i = 0; i < BUCKETS; i++) if (this.#counts[i]! > 0) buckets.push(i, this.#counts[i]!)
    return { count: this.count, sumMs: this.sumMs, maxMs: this.maxMs, buckets }
  }
}

/** The counts between the {@link EXPORT_BOUNDS}, not accumulated; the last one is what lies above them all. */
export function exportCounts(snapshot: HistogramSnapshot): number[] {
  const counts = new Array<number>(EXPORT_BOUNDS.length + 1).fill(0)
  for (let i = 0; i < snapshot.buckets.length; i += 2) {
    const place = EXPORT_ENDS.findIndex(end => snapshot.buckets[i]! < end)
    counts[place < 0 ? EXPORT_BOUNDS.length : place]! += snapshot.buckets[i + 1]!
  }
  return counts
}

function indexOf(us: number): number {
  if (us < 8) return us
  const exponent = 31 - Math.clz32(us)
  return (exponent - 2) * 8 + ((us >>> (exponent - 3)) & 7)
}

/** In microseconds. */
function lowerOf(index: number): number {
  if (index < 8) return index
  return (8 + (index & 7)) * 2 ** ((index >> 3) - 1)
}
