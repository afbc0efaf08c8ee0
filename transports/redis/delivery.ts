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

/** A message that the source is told of, and how it ended. */
interface Told {
  delivery: Delivery
  outcome: SignalboxError | undefined
}

/** How many times as many as may be under way may wait for the source to be told. */
const MAX_SETTLING = 4

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
  /** What the source is being told, by the promise of its answer: it may be told of many at once. */
  readonly #telling = new Map<Promise<void>, Told[]>()
  /** How many deliveries that is. */
  #settling = 0
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
    const { maxInFlight } = this.#settings
    // A server that is slow to hear of successes gets no more to keep.
    return this.#settling < MAX_SETTLING * maxInFlight ? maxInFlight - this.#under.size : 0
  }

  /** Those under way. */
  get current(): ReadonlySet<Delivery> {
    return this.#under
  }

  /** Resolves when there is room for a message, or when nothing more is to be taken. */
  async room(): Promise<void> {
    while (this.free <= 0 && !this.#closed && !this.#draining) {
      await new Promise<void>(resolve => {
        this.#room = resolve
      })
    }
  }

  /** Delivers a message now; one that was delivered too often already goes to the dead letters. */
  start(delivery: Delivery): void {
    this.#under.add(delivery)
    if (delivery.attempts <= this.#settings.maxDeliveries) this.#deliver(delivery)
    else this.#finish(delivery, exhausted(delivery.attempts - 1))
  }

  /**
   * Resolves when nothing is under way. What waits for its next attempt is left to the source, which keeps it.
   */
  async drain(): Promise<void> {
    this.#draining = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    for (const delivery of this.#waiting) this.#under.delete(delivery)
    this.#waiting.clear()
    this.#changed()
    await this.#idle.promise
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
    this.#changed()
    this.#idle.resolve()
    await Promise.allSettled(this.#telling.keys())
  }

  #deliver(delivery: Delivery): void {
    const succeeded = () => {
      if (!this.#closed) this.#finish(delivery, undefined)
    }
    const failed = (thrown: unknown) => {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      if (this.#closed) return
      if (this.#mayRepeat(delivery, error)) this.#later(delivery, error, () => void this.#repeat(delivery))
      else this.#finish(delivery, error)
    }
    try {
      this.#receive(delivery.message()).then(succeeded, failed)
    } catch (unreadable) {
      failed(unreadable)
    }
  }

  /** Tells the source. Its place is free by then: the next message may come while the source is being told. */
  #finish(delivery: Delivery, outcome: SignalboxError | undefined): void {
    const telling = outcome === undefined ? delivery.settle() : this.#bury(delivery, outcome)
    this.#under.delete(delivery)
    this.#settling++
    const told = this.#telling.get(telling)
    if (told) told.push({ delivery, outcome })
    else this.#watch(telling, [{ delivery, outcome }])
    this.#changed()
  }

  #watch(telling: Promise<void>, told: Told[]): void {
    this.#telling.set(telling, told)
    const end = () => {
      this.#telling.delete(telling)
      this.#settling -= told.length
      this.#changed()
    }
    telling.then(end, thrown => {
      for (const { delivery, outcome } of told) this.#notTold(delivery, outcome, thrown)
      end()
    })
  }

  /** The source keeps the message. What the service has done is not done again here. */
  #notTold(delivery: Delivery, outcome: SignalboxError | undefined, thrown: unknown): void {
    if (this.#closed) return
    const error = toSignalboxError(thrown, 'SIGNALBOX_NOT_CONNECTED')
    this.#log.warn({ message: delivery.id, code: error.code, err: error }, 'a message could not be settled')
    this.#under.add(delivery)
    this.#later(delivery, error, () => this.#finish(delivery, outcome))
  }

  #mayRepeat(delivery: Delivery, error: SignalboxError): boolean {
    return error.retryable && delivery.attempts < this.#settings.maxDeliveries
  }

  async #bury(delivery: Delivery, error: SignalboxError): Promise<void> {
    const { id, attempts } = delivery
    this.#log.warn({ message: id, attempts, code: error.code }, 'a message goes to the dead letters')
    await delivery.bury(error)
  }

  #later(delivery: Delivery, error: SignalboxError, next: () => void): void {
    if (this.#draining) {
      this.#under.delete(delivery)
      this.#changed()
      return
    }
    const delayMs = error.retryAfterMs ?? backoffMs(this.#backoff, delivery.attempts, Math.random)
    this.#waiting.add(delivery)
    const timer = this.#clock.after(Math.min(delayMs, this.#settings.maxRedeliveryDelayMs), () => {
      this.#timers.delete(timer)
      this.#waiting.delete(delivery)
      next()
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
    if (!this.#closed) this.#deliver(delivery)
  }

  /** There may be room, or nothing left. */
  #changed(): void {
    const room = this.#room
    this.#room = undefined
    room?.()
    if (this.#draining && this.#under.size === 0 && this.#settling === 0) this.#idle.resolve()
  }
}

/** Whoever had it stopped each time before it was settled. */
function exhausted(times: number): SignalboxError {
  const message = `it was delivered ${times} times and never settled: whoever handled it stopped before`
  return new SignalboxError('SIGNALBOX_WORKER_LOST', message)
}
