/** Rows that failed and come again, as long as this worker remembers them. */
import type { Clock } from '../../../core/clock.ts'

interface Failed {
  key: unknown
  attempts: number
  /** Wall-clock time before which it is not delivered again. */
  notBefore: number
}

/** Beyond so many the oldest are forgotten: they are delivered again sooner, and counted anew. */
const MAX_REMEMBERED = 10_000
/** A statement names no more keys than that. */
const MAX_NAMED = 1_000

export class RetryMemory {
  readonly #clock: Clock
  readonly #failed = new Map<string, Failed>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(key: unknown, attempts: number, notBefore: number): void {
    const text = textOf(key)
    this.#failed.delete(text)
    if (this.#failed.size >= MAX_REMEMBERED) this.#failed.delete(this.#failed.keys().next().value!)
    this.#failed.set(text, { key, attempts, notBefore })
  }

  forget(key: unknown): void {
    if (this.#failed.size > 0) this.#failed.delete(textOf(key))
  }

  attempts(key: unknown): number {
    return this.#failed.size === 0 ? 0 : (this.#failed.get(textOf(key))?.attempts ?? 0)
  }

  mustWait(key: unknown): boolean {
    if (this.#failed.size === 0) return false
    const failed = this.#failed.get(textOf(key))
    return failed !== undefined && failed.notBefore > this.#clock.now()
  }

  /** Keys of rows that must wait, as many as a statement may name. */
  waiting(): unknown[] {
    if (this.#failed.size === 0) return []
    const now = this.#clock.now()
    const waiting: unknown[] = []
    for (const { key, notBefore } of this.#failed.values()) {
      if (notBefore <= now) continue
      waiting.push(key)
      if (waiting.length === MAX_NAMED) break
    }
    return waiting
  }

  /** Time until the first of them may come again, in milliseconds, at most `mostMs`. */
  nextInMs(mostMs: number): number {
    const now = this.#clock.now()
    let next = mostMs
    for (const { notBefore } of this.#failed.values()) {
      if (notBefore > now) next = Math.min(next, notBefore - now)
    }
    return next
  }
}

/** @internal A key as text: those of different types differ. */
export function textOf(key: unknown): string {
  return key instanceof Date ? key.toISOString() : `${typeof key} ${String(key)}`
}
