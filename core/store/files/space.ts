/** How much room the disk has, looked at now and then. */
import { statfs } from 'node:fs/promises'
import type { Clock } from '../../clock.ts'

/** How old an answer may be, in milliseconds. */
const FRESH_MS = 1_000

export class Space {
  readonly #folder: string
  readonly #reserveBytes: number
  readonly #clock: Clock
  #freeBytes = Number.POSITIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined

  constructor(folder: string, reserveBytes: number, clock: Clock) {
    this.#folder = folder
    this.#reserveBytes = reserveBytes
    this.#clock = clock
  }

  /** Free bytes, as they were a short time ago less what was taken since. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** Whether so many bytes may be taken, and takes note of it. Has a look soon when the last one is old. */
  allows(bytes: number): boolean {
    if (this.#reserveBytes === 0) return true
    if (this.#clock.monotonic() - this.#lookedAt >= FRESH_MS) this.#lookSoon()
    if (this.#freeBytes - bytes < this.#reserveBytes) return false
    this.#freeBytes -= bytes
    return true
  }

  /** Looks now. */
  async look(): Promise<void> {
    if (this.#reserveBytes === 0) return
    this.#lookSoon()
    await this.#looking
  }

  #lookSoon(): void {
    this.#looking ??= statfs(this.#folder)
      .then(
        ({ bavail, bsize }) => {
          this.#freeBytes = bavail * bsize
        },
        // Where it cannot be asked, a write itself finds out.
        () => {
          this.#freeBytes = Number.POSITIVE_INFINITY
        },
      )
      .finally(() => {
        this.#lookedAt = this.#clock.monotonic()
        this.#looking = undefined
      })
  }
}
