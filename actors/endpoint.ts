/** What channels and connections have in common: opened with backoff, watched, opened again when they break. */
import { type Backoff, backoffMs } from '../core/actor/index.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import { type SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { TransportContext } from '../core/transport.ts'

/**
 *   connecting -> open -> waiting -> connecting ...      (any) -> closed -> connecting, by `open`
 */
export type EndpointState = 'connecting' | 'open' | 'waiting' | 'closed'

/** One life of an endpoint, from connect to close. */
export interface EndpointInstance {
  connect(): Promise<void>
  close(): Promise<void>
}

export interface EndpointOptions<Instance extends EndpointInstance> {
  name: string
  create: (context: TransportContext) => Instance
  log: Logger
  clock: Clock
  random: Random
  /** Pauses between attempts, unless an error says how long to wait itself. Default 100 ms, doubling, to 30 s. */
  backoff?: Backoff
}

const RECONNECT: Backoff = { minMs: 100, maxMs: 30_000, factor: 2, jitter: 0.3 }

export class Endpoint<Instance extends EndpointInstance> {
  state: EndpointState = 'closed'
  lastError: SignalboxError | undefined
  instance: Instance | undefined
  readonly #options: EndpointOptions<Instance>
  /** Failed attempts in a row. */
  #attempt = 0
  /** The present life; whatever belongs to another one is over. */
  #life: AbortController | undefined
  #timer: Timer | undefined
  #draining = false
  #first = Promise.withResolvers<SignalboxError | undefined>()
  #opened = Promise.withResolvers<void>()

  constructor(options: EndpointOptions<Instance>) {
    this.#options = options
  }

  /**
   * Opens it, and goes on trying until it is closed. Resolves with the outcome of the first attempt: the error, or
   * undefined when it is open or was closed meanwhile.
   */
  open(): Promise<SignalboxError | undefined> {
    if (this.state !== 'closed') return this.#first.promise
    this.#first = Promise.withResolvers()
    this.#opened = Promise.withResolvers()
    this.#draining = false
    this.#attempt = 0
    void this.#connect()
    return this.#first.promise
  }

  /** Resolves when it is open. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /** Runs `drain` on what is open, and opens nothing any more. */
  async drain(drain: (instance: Instance) => Promise<void>): Promise<void> {
    this.#draining = true
    if (this.state === 'open' && this.instance) await drain(this.instance)
    // What is not open has taken nothing that it would have to finish.
    else await this.close()
  }

  /** Closes it; `open` may follow. Idempotent. */
  async close(): Promise<void> {
    const { instance } = this
    const life = this.#life
    this.state = 'closed'
    this.#timer?.cancel()
    this.#life = undefined
    this.instance = undefined
    life?.abort()
    this.#first.resolve(undefined)
    await instance?.close()
  }

  async #connect(): Promise<void> {
    const { create, name, log, clock } = this.#options
    const life = new AbortController()
    this.#life = life
    this.state = 'connecting'
    const lost = (error: Error) => void this.#lost(life, error)
    try {
      const instance = create({ name, log, clock, signal: life.signal, lost })
      this.instance = instance
      await instance.connect()
      if (this.#life !== life) return
      this.state = 'open'
      this.lastError = undefined
      this.#attempt = 0
      this.#first.resolve(undefined)
      this.#opened.resolve()
    } catch (error) {
      await this.#lost(life, error)
    }
  }

  /** This life is over; the next one begins after a pause. */
  async #lost(life: AbortController, thrown: unknown): Promise<void> {
    if (this.#life !== life) return
    const pause = new AbortController()
    this.#life = pause
    this.state = 'waiting'
    const error = toSignalboxError(thrown, 'SIGNALBOX_CONNECT_FAILED')
    this.lastError = error
    const { instance } = this
    this.instance = undefined
    life.abort(error)
    this.#first.resolve(error)
    await this.#closeInstance(instance)
    if (this.#life === pause) this.#retry(error)
  }

  #retry(error: SignalboxError): void {
    const { name, log, clock, random, backoff = RECONNECT } = this.#options
    if (this.#draining) {
      this.state = 'closed'
      return
    }
    this.#attempt++
    const delayMs = error.retryAfterMs ?? backoffMs(backoff, this.#attempt, random)
    log.warn(
      { endpoint: name, code: error.code, err: error, retryInMs: Math.round(delayMs) },
      'endpoint is not connected',
    )
    this.#timer = clock.after(delayMs, () => void this.#connect())
  }

  async #closeInstance(instance: Instance | undefined): Promise<void> {
    try {
      await instance?.close()
    } catch (error) {
      this.#options.log.warn({ endpoint: this.#options.name, err: error }, 'close failed')
    }
  }
}
