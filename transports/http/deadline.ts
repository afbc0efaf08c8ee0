import type { Clock, Timer } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'

/** Everything that ends a request early, as one signal whose reason is the typed error. */
export class Deadline {
  readonly #clock: Clock
  readonly #endsAt: number
  readonly #controller = new AbortController()
  readonly #timer: Timer
  readonly #release: (() => void)[] = []

  /**
   * `caller` cancels (SIGNALBOX_CANCELLED), `closing` closes the connection (its reason is the error), and after
   * `timeoutMs` the request is too late (SIGNALBOX_TIMEOUT_DEADLINE). Dispose when the request is over.
   */
  constructor(clock: Clock, timeoutMs: number, what: string, closing: AbortSignal, caller?: AbortSignal) {
    this.#clock = clock
    this.#endsAt = clock.monotonic() + timeoutMs
    this.#timer = clock.after(timeoutMs, () => {
      const message = `${what}: no answer within ${timeoutMs} ms`
      this.#controller.abort(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', message))
    })
    this.#follow(closing, () => closing.reason as SignalboxError)
    if (caller) {
      const cause = () => ({ cause: caller.reason as unknown })
      this.#follow(caller, () => new SignalboxError('SIGNALBOX_CANCELLED', `${what}: cancelled`, cause()))
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get remainingMs(): number {
    return this.#endsAt - this.#clock.monotonic()
  }

  /** The time limit no longer counts, cancellation still does: for a body that is read as a stream. */
  stopTimer(): void {
    this.#timer.cancel()
  }

  dispose(): void {
    this.#timer.cancel()
    for (const release of this.#release) release()
    this.#release.length = 0
  }

  /** Resolves after `ms`; rejects with the reason when the request ends before. */
  pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#clock.after(ms, resolve)
    return this.race(promise).finally(() => timer.cancel())
  }

  /** Settles as `work` does, or rejects with the reason as soon as the request ends; `work` itself goes on. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(this.signal.reason)
      if (this.signal.aborted) onAbort()
      this.signal.addEventListener('abort', onAbort, { once: true })
      work.then(resolve, reject).finally(() => this.signal.removeEventListener('abort', onAbort))
    })
  }

  #follow(signal: AbortSignal, reason: () => SignalboxError): void {
    const onAbort = () => this.#controller.abort(reason())
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#release.push(() => signal.removeEventListener('abort', onAbort))
  }
}
