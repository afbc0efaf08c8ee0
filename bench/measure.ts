/** How benchmarks measure: rounds that alternate between the subjects, medians, and a short mode for tests. */

/** Set by `npm run bench -- --quick`: one short round of everything, to see that it runs. */
export const QUICK = process.env.SIGNALBOX_BENCH_QUICK === '1'
/** Measured rounds of each subject. */
export const ROUNDS = QUICK ? 1 : 5
/** The first rounds only warm up. */
export const WARM_UPS = QUICK ? 0 : 1
/** How long one subject runs in one round. */
export const ROUND_MS = QUICK ? 20 : 200

/** Performs `count` operations. */
export type Subject = (count: number) => unknown

/**
 * Runs each subject in turn, round after round, so that a slow moment of the machine hits all alike. Returns the
 * medians, in operations per second.
 */
export async function race(subjects: Record<string, Subject>, batch = 2048): Promise<Record<string, number>> {
  return medians(subjects, subject => rate(subject, batch))
}

/** Measures each entry in turn, `rounds` times after one that warms up, and returns the median of each. */
export async function medians<T>(
  entries: Record<string, T>,
  measure: (entry: T, name: string) => number | Promise<number>,
  rounds = ROUNDS,
): Promise<Record<string, number>> {
  const lists = new Map<string, number[]>(Object.keys(entries).map(name => [name, []]))
  for (let round = 0; round < WARM_UPS + rounds; round++) {
    for (const [name, entry] of Object.entries(entries)) {
      const value = await measure(entry, name)
      if (round >= WARM_UPS) lists.get(name)!.push(value)
    }
  }
  return Object.fromEntries([...lists].map(([name, list]) => [name, median(list)]))
}

async function rate(subject: Subject, batch: number): Promise<number> {
  globalThis.gc?.({ type: 'minor' })
  const start = performance.now()
  let count = 0
  let now = start
  while (now - start < ROUND_MS) {
    await subject(batch)
    count += batch
    now = performance.now()
  }
  return (count / (now - start)) * 1000
}

/** The middle value; of an even number of values the upper one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

/** Calls `run` `count` times in all, `lanes` at the same time. */
export async function inFlight(lanes: number, count: number, run: () => Promise<unknown>): Promise<void> {
  const each = count / lanes
  const lane = async () => {
    for (let i = 0; i < each; i++) await run()
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/** Bytes on the heap that are still in use. Needs `node --expose-gc`. */
export function heapBytes(): number {
  if (!globalThis.gc) throw new Error('memory is measured with node --expose-gc: use npm run bench')
  globalThis.gc()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}
