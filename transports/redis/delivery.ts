/** Deliveries under way: each is tried again until it succeeds, or goes to the dead letters. For streams and lists. */
import { type Backoff, backoffMs } from '../../core/actor/index.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import type { Inbound, Receive } from '../../core/transport.ts'

/** One message that the source keeps until it is settled. */
export interface Delivery {
  /** What the source knows it by, for the log. */
  readonly id: string
  /** How often it was delivered, this time included. */
  attempts: number
  /** Makes the message for the bus. Throws when it cannot be read. */
  message(): Inbound
  /** The source may forget it. */
  settle(): Promise<void>
  /** It goes to the dead letters, then the source may forget it. */
  bury(reason: SignalboxError): Promise<void>
  /** It is about to be delivered again. */
  again?(): Promise<void>
}

export interface DeliverySettings {
  maxInFlight: number
  maxDeliveries: number
  redeliveryDelayMs: number
  maxRedeliveryDelayMs: number
}

/**
 * The deliveries of one channel. A message that waits for its next attempt keeps its place: where everything fails,
 * nothing more is taken, and order is kept with one place only.
 */
export class Deliveries {
  readonly #settings: DeliverySettings
  readonly #receive: Receive
  readonly #clock: Clock
  readonly #log: Logger
  readonly #backoff: Backoff
  readonly #under = new Set<Delivery>()
  /** Those of them that wait for their next attempt. */
  readonly #waiting = new Set<Delivery>()
  readonly #timers = new Set<Timer>()
  /** What the source is being told. */
  readonly #settling = new Set<Promise<void>>()
  #closed = false
  #draining = false
  #room: (() => void) | undefined
  #idle = Promise.withResolvers<void>()

  constructor(settings: DeliverySettings, receive: Receive, clock: Clock, log: Logger) {
    this.#settings = settings
    this.#receive = receive
    this.#clock = clock
    this.#log = log
    const { redeliveryDelayMs: minMs, maxRedeliveryDelayMs: maxMs } = settings
    this.#backoff = { minMs: Math.min(minMs, maxMs), maxMs, factor: 2, jitter: 0.2 }
  }

  /** How many more messages may be taken. */
  get free(): number {
    return this.#settings.maxInFlight - this.#under.size
  }

  /** Those under way. */
  get current(): ReadonlySet<Delivery> {
    return this.#under
  }

  /** Resolves when there is room for a message, or when nothing more is to be taken. */
  async room(): Promise<void> {
    if (this.free > 0 || this.#closed || this.#draining) return
    await new Promise<void>(resolve => {
      this.#room = resolve
    })
  }

  /** Delivers a message now; one that was delivered too often already goes to the dead letters. */
  start(delivery: Delivery): void {
    this.#under.add(delivery)
    const { maxDeliveries } = this.#settings
    if (delivery.attempts <= maxDeliveries) void this.#deliver(delivery)
    else void this.#finish(delivery, exhausted(delivery.attempts - 1))
  }

  /**
   * Resolves when nothing is under way. What waits for its next attempt is left to the source, which keeps it.
   */
  async drain(): Promise<void> {
    this.#draining = true
    this.#wake()
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    for (const delivery of this.#waiting) this.#end(delivery)
    this.#waiting.clear()
    if (this.#under.size > 0) await this.#idle.promise
  }

  /**
   * Nothing more is settled, except what has succeeded already: resolves when the source was told, or could not be.
   * It keeps the rest.
   */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    this.#waiting.clear()
    this.#under.clear()
    this.#wake()
    this.#idle.resolve()
    await Promise.allSettled(this.#settling)
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const error = await this.#attempt(delivery)
    if (this.#closed) return
    if (error !== undefined && this.#mayRepeat(delivery, error)) {
      this.#later(delivery, error, () => this.#repeat(delivery))
    } else await this.#finish(delivery, error)
  }

  async #finish(delivery: Delivery, outcome: SignalboxError | undefined): Promise<void> {
    const settling = outcome === undefined ? delivery.settle() : this.#bury(delivery, outcome)
    this.#settling.add(settling)
    try {
      await settling
      if (!this.#closed) this.#end(delivery)
    } catch (thrown) {
      // The source could not be told. It keeps the message; what the service has done is not done again here.
      if (this.#closed) return
      const error = toSignalboxError(thrown, 'SIGNALBOX_NOT_CONNECTED')
      this.#log.warn({ message: delivery.id, code: error.code, err: error }, 'a message could not be settled')
      this.#later(delivery, error, () => this.#finish(delivery, outcome))
    } finally {
      this.#settling.delete(settling)
    }
  }

  /** The error it failed with, or undefined. */
  async #attempt(delivery: Delivery): Promise<SignalboxError | undefined> {
    try {
      await this.#receive(delivery.message())
      return undefined
    } catch (thrown) {
      return toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    }
  }

  #mayRepeat(delivery: Delivery, error: SignalboxError): boolean {
    return error.retryable && delivery.attempts < this.#settings.maxDeliveries
  }

  async #bury(delivery: Delivery, error: SignalboxError): Promise<void> {
    const { id, attempts } = delivery
    this.#log.warn({ message: id, attempts, code: error.code }, 'a message goes to the dead letters')
    await delivery.bury(error)
  }

  #later(delivery: Delivery, error: SignalboxError, next: () => Promise<void>): void {
    if (this.#draining) {
      this.#end(delivery)
      return
    }
    const delayMs = error.retryAfterMs ?? backoffMs(this.#backoff, delivery.attempts, Math.random)
    this.#waiting.add(delivery)
    const timer = this.#clock.after(Math.min(delayMs, this.#settings.maxRedeliveryDelayMs), () => {
      this.#timers.delete(timer)
      this.#waiting.delete(delivery)
      void next()
    })
    this.#timers.add(timer)
  }

  async #repeat(delivery: Delivery): Promise<void> {
    delivery.attempts++
    try {
      await delivery.again?.()
    } catch (thrown) {
      // The count at the source is one less then; the message is delivered all the same.
      this.#log.debug({ message: delivery.id, err: thrown }, 'an attempt could not be noted')
    }
    if (!this.#closed) await this.#deliver(delivery)
  }

  #end(delivery: Delivery): void {
    this.#under.delete(delivery)
    this.#wake()
    if (this.#draining && this.#under.size === 0) this.#idle.resolve()
  }

  #wake(): void {
    const room = this.#room
    this.#room = undefined
    room?.()
  }
}

/** Whoever had it stopped each time before it was settled. */
function exhausted(times: number): SignalboxError {
  const message = `it was delivered ${times} times and never settled: whoever handled it stopped before`
  return new SignalboxError('SIGNALBOX_WORKER_LOST', message)
}
