/** Waiting for conditions, always with a deadline, never for luck. */
import { setTimeout as sleep } from 'node:timers/promises'

/** How long the suite waits before it calls something broken, in milliseconds. */
export const DEADLINE_MS = Number(process.env.SIGNALBOX_TEST_DEADLINE_MS ?? 10_000)

/** A promise that is settled by hand. */
export interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

/** Makes a promise that is settled by hand; rejecting it unobserved is harmless. */
export function deferred<T = void>(): Deferred<T> {
  const made = Promise.withResolvers<T>()
  made.promise.catch(() => {})
  return made
}

/** Resolves as `promise` does; rejects when that takes longer than `ms`, saying what was awaited. */
export async function within<T>(promise: Promise<T>, what: string, ms: number = DEADLINE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Resolves once `condition` holds; looks again every few milliseconds until `ms` have passed. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms: number = DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(2)
  }
}

/** Runs everything the event loop has ready, a few turns long, so that what must not happen had its chance. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}
