/**
 * A pool of sessions: opened when they are needed, lent to one at a time, closed when they are idle, old or broken.
 * Whoever waits for one may give up at any moment, and nothing is lost then.
 */
import type { AbortSource } from '../../core/abort.ts'

export interface PoolOptions<T> {
  min: number
  max: number
  idleTimeoutMs: number
  open(): Promise<T>
  /** Never rejects. */
  close(item: T): Promise<void>
  isUsable(item: T): boolean
}

interface Waiter<T> {
  resolve(item: T): void
  reject(error: unknown): void
}

/** None was free in time. */
export class PoolTimeout extends Error {}
/** The pool was closed, or whoever waited gave up. */
export class PoolAborted extends Error {}

const LONGEST_SWEEP_MS = 5_000

export class SessionPool<T> {
  readonly #options: PoolOptions<T>
  /** The one that was used last is lent first. */
  readonly #free: { item: T; since: number }[] = []
  readonly #lent = new Set<T>()
  readonly #waiters = new Set<Waiter<T>>()
  /** Sessions on their way: opening or closing. */
  readonly #moving = new Set<Promise<void>>()
  #opening = 0
  #closed = false
  #sweeper: NodeJS.Timeout | undefined

  constructor(options: PoolOptions<T>) {
    this.#options = options
  }

  /** How many there are, and how many of them are lent. */
  get size(): { all: number; lent: number } {
    return { all: this.#free.length + this.#lent.size + this.#opening, lent: this.#lent.size }
  }

  /** Lends one, at most `timeoutMs` later. Rejects with PoolTimeout, PoolAborted, or the error of `open`. */
  acquire(timeoutMs: number, signal?: AbortSource): Promise<T> {
    if (this.#closed || signal?.aborted) return Promise.reject(new PoolAborted('given up'))
    const free = this.takeFree()
    if (free !== undefined) return Promise.resolve(free)
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter<T> = {
        resolve: item => {
          end()
          resolve(item)
        },
        reject: error => {
          end()
          reject(error)
        },
      }
      const onAbort = () => waiter.reject(new PoolAborted('given up'))
      const timer = setTimeout(() => waiter.reject(new PoolTimeout('none was free')), timeoutMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiters.add(waiter)
      this.#grow()
    })
  }

  /** Takes one back; whatever is not lent is left alone. */
  release(item: T): void {
    if (!this.#lent.delete(item)) return
    this.#give(item)
  }

  /** Closes all, also those that are lent. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const waiter of [...this.#waiters]) waiter.reject(new PoolAborted('the pool was closed'))
    for (const { item } of this.#free.splice(0)) this.#dispose(item)
    for (const item of this.#lent) this.#dispose(item)
    this.#lent.clear()
    while (this.#moving.size > 0) await Promise.all(this.#moving)
  }

  /** Lends one that is free; undefined when none is. */
  takeFree(): T | undefined {
    for (let last = this.#free.pop(); last; last = this.#free.pop()) {
      if (this.#options.isUsable(last.item)) {
        this.#lent.add(last.item)
        return last.item
      }
      this.#dispose(last.item)
    }
    return undefined
  }

  /** Hands it to whoever waits longest, or keeps it. */
  #give(item: T): void {
    if (this.#closed || !this.#options.isUsable(item)) {
      this.#dispose(item)
      this.#grow()
      return
    }
    const [waiter] = this.#waiters
    if (waiter) {
      this.#lent.add(item)
      waiter.resolve(item)
      return
    }
    this.#free.push({ item, since: performance.now() })
    this.#sweep()
  }

  /** Opens as many as are waited for and allowed. */
  #grow(): void {
    while (!this.#closed && this.#opening < this.#waiters.size && this.size.all < this.#options.max) {
      this.#opening++
      this.#track(this.#open())
    }
  }

  async #open(): Promise<void> {
    try {
      const item = await this.#options.open()
      this.#opening--
      this.#give(item)
    } catch (error) {
      this.#opening--
      const [waiter] = this.#waiters
      waiter?.reject(error)
      this.#grow()
    }
  }

  #dispose(item: T): void {
    this.#track(this.#options.close(item))
  }

  #track(moving: Promise<void>): void {
    this.#moving.add(moving)
    void moving.finally(() => this.#moving.delete(moving))
  }

  /** Closes what was idle too long, as long as there is something to close. */
  #sweep(): void {
    const { idleTimeoutMs, min } = this.#options
    if (this.#sweeper !== undefined || this.size.all <= min) return
    this.#sweeper = setInterval(
      () => {
        const now = performance.now()
        while (this.size.all > min && this.#free[0] && now - this.#free[0].since >= idleTimeoutMs)
          this.#dispose(this.#free.shift()!.item)
        if (this.#free.length > 0 && this.size.all > min) return
        clearInterval(this.#sweeper)
        this.#sweeper = undefined
      },
      Math.min(idleTimeoutMs, LONGEST_SWEEP_MS),
    ).unref()
  }
}
