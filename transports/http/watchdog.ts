/** Cuts what goes on too slowly: one timer for all bodies and answers under way, none while there are none. */
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'

/** Something that must make progress. */
export interface Watched {
  /** Called from time to time with the monotonic time in milliseconds. */
  check(nowMs: number): void
}

/** Checks all that is registered, every `periodMs`. */
export class Watchdog {
  readonly #clock: Clock
  readonly #periodMs: number
  readonly #watched = new Set<Watched>()
  #armed = false

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock
    this.#periodMs = periodMs
  }

  add(watched: Watched): void {
    this.#watched.add(watched)
    if (this.#armed) return
    this.#armed = true
    this.#clock.after(this.#periodMs, this.#sweep)
  }

  delete(watched: Watched): void {
    this.#watched.delete(watched)
  }

  readonly #sweep = (): void => {
    const now = this.#clock.monotonic()
    for (const watched of this.#watched) watched.check(now)
    this.#armed = this.#watched.size > 0
    if (this.#armed) this.#clock.after(this.#periodMs, this.#sweep)
  }
}

/** How fast a body must arrive. */
export interface BodySpeed {
  watchdog: Watchdog
  /** 0: any speed will do. */
  minBytesPerSecond: number
  graceMs: number
}

/** Calls `tooSlow` when a request body arrives more slowly than it must. Time in which we paused it does not count. */
export abstract class BodyGuard implements Watched {
  protected readonly request: IncomingMessage
  protected received = 0
  readonly #speed: BodySpeed
  #windowStartMs = -1
  #windowBytes = 0

  constructor(request: IncomingMessage, speed: BodySpeed) {
    this.request = request
    this.#speed = speed
    if (speed.minBytesPerSecond > 0) speed.watchdog.add(this)
  }

  protected abstract fail(error: Error): void

  protected unwatch(): void {
    this.#speed.watchdog.delete(this)
  }

  check(nowMs: number): void {
    const { minBytesPerSecond, graceMs } = this.#speed
    if (this.#windowStartMs < 0 || this.request.isPaused()) {
      this.#restart(nowMs)
      return
    }
    const elapsedMs = nowMs - this.#windowStartMs
    if (elapsedMs < graceMs) return
    const arrived = this.received - this.#windowBytes
    if (arrived * 1000 >= minBytesPerSecond * elapsedMs) {
      this.#restart(nowMs)
      return
    }
    this.fail(
      new SignalboxError(
        'SIGNALBOX_REQUEST_TIMEOUT',
        `the body arrives more slowly than ${minBytesPerSecond} bytes per second`,
      ),
    )
  }

  #restart(nowMs: number): void {
    this.#windowStartMs = nowMs
    this.#windowBytes = this.received
  }
}
