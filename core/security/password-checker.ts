/** Checks passwords without paying for the hash at every request, and without letting a flood of them in. */
import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { BoundedMap } from './bounded-map.ts'
import { type PasswordHash, verifyPassword } from './passwords.ts'

export interface PasswordCheckerOptions {
  /** How long a password that was right is not hashed again, in milliseconds. */
  cacheTtlMs: number
  /** How many right passwords are remembered. Default 1,000. */
  maxCached?: number
  /** How many hashes run at the same time; each takes a thread of the pool and its memory. Default 2. */
  maxConcurrent?: number
  /** How many more may wait; above that checks are refused with SIGNALBOX_OVERLOADED. Default 64. */
  maxWaiting?: number
}

/**
 * Remembers passwords that were right for a short time, by HMAC under a key that exists in this process only:
 * nobody gets passwords out of its memory more cheaply than out of the hashes. Wrong ones are never remembered.
 */
export class PasswordChecker {
  readonly #key = randomBytes(32)
  readonly #right: BoundedMap<number>
  readonly #running = new Map<string, Promise<boolean>>()
  readonly #waiting: (() => void)[] = []
  readonly #clock: Clock
  readonly #cacheTtlMs: number
  readonly #maxConcurrent: number
  readonly #maxWaiting: number
  #active = 0

  constructor(options: PasswordCheckerOptions, clock: Clock) {
    this.#right = new BoundedMap(options.maxCached ?? 1_000)
    this.#cacheTtlMs = options.cacheTtlMs
    this.#maxConcurrent = options.maxConcurrent ?? 2
    this.#maxWaiting = options.maxWaiting ?? 64
    this.#clock = clock
  }

  /** Whether the password is right for this user. Equal checks at the same time share one hash. */
  async check(user: string, hash: PasswordHash, password: string): Promise<boolean> {
    const key = this.#keyOf('user', user, hash, password)
    const until = this.#right.get(key)
    if (until !== undefined && until > this.#clock.monotonic()) return true
    const isRight = await this.#verify(key, hash, password)
    if (isRight && this.#cacheTtlMs > 0) this.#right.set(key, this.#clock.monotonic() + this.#cacheTtlMs)
    return isRight
  }

  /** The same work for a user that does not exist, so that the time tells nothing. Always false. */
  async decoy(user: string, hash: PasswordHash, password: string): Promise<false> {
    await this.#verify(this.#keyOf('decoy', user, hash, password), hash, password)
    return false
  }

  /** A number below `count` that is always the same for a name and tells nothing about it. */
  pick(name: string, count: number): number {
    return createHmac('sha256', this.#key).update(`pick\0${name}`).digest().readUInt32BE() % count
  }

  #keyOf(kind: string, user: string, hash: PasswordHash, password: string): string {
    const text = JSON.stringify([kind, user, hash.hash.toString('hex'), password])
    return createHmac('sha256', this.#key).update(text).digest('base64')
  }

  #verify(key: string, hash: PasswordHash, password: string): Promise<boolean> {
    let running = this.#running.get(key)
    if (running === undefined) {
      running = this.#gated(() => verifyPassword(hash, password)).finally(() => this.#running.delete(key))
      this.#running.set(key, running)
    }
    return running
  }

  async #gated(work: () => Promise<boolean>): Promise<boolean> {
    if (this.#active < this.#maxConcurrent) this.#active++
    else await this.#turn()
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#active--
      else next()
    }
  }

  /** Resolves with the place of one that has finished. */
  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'too many passwords are being checked', {
        retryAfterMs: 1_000,
      })
    }
    return new Promise(resolve => this.#waiting.push(resolve))
  }
}
