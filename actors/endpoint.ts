/** What channels and connections have in common: opened with backoff, watched, opened again when they break. */
import { type Backoff, backoffMs } from '../core/actor/index.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import { type SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { TransportContext } from '../core/transport.ts'

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
  backoff?: Backoff
}

const RECONNECT: Backoff = { minMs: 100, maxMs: 30_000, factor: 2, jitter: 0.3 }

export class Endpoint<Instance extends EndpointInstance> {
  state: EndpointState = 'connecting'
  lastError: SignalboxError | undefined
  instance: Instance | undefined
  readonly #options: EndpointOptions<Instance>
  #attempt = 0
  #life: AbortController | undefined
  #timer: Timer | undefined
  readonly #first = Promise.withResolvers<void>()

  constructor(options: EndpointOptions<Instance>) {
    this.#options = options
    this.#first.promise.catch(() => {})
  }

  /** Opens it. Resolves when it is open for the first time; rejects when trying again is of no use. */
  open(): Promise<void> {
    void this.#connect()
    return this.#first.promise
  }

  /** Closes it for good. Idempotent. */
  async close(): Promise<void> {
    this.state = 'closed'
    this.#timer?.cancel()
    this.#life?.abort()
    const instance = this.instance
    this.instance = undefined
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
      if (this.#life !== life || life.signal.aborted) return
      this.state = 'open'
      this.lastError = undefined
      this.#attempt = 0
      this.#first.resolve()
    } catch (error) {
      await this.#lost(life, error)
    }
  }

  /** This life is over; the next one begins after a pause, unless trying again is of no use. */
  async #lost(life: AbortController, thrown: unknown): Promise<void> {
    if (this.#life !== life || this.state === 'closed') return
    this.#life = undefined
    const error = toSignalboxError(thrown, 'SIGNALBOX_CONNECT_FAILED')
    this.lastError = error
    const instance = this.instance
    this.instance = undefined
    life.abort(error)
    await instance
      ?.close()
      .catch(late => this.#options.log.warn({ endpoint: this.#options.name, err: late }, 'close failed'))
    if ((this.state as EndpointState) === 'closed') return
    this.state = 'waiting'
    if (!error.retryable && this.#attempt === 0) this.#first.reject(error)
    const delayMs = error.retryAfterMs ?? backoffMs(RECONNECT, ++this.#attempt, this.#options.random)
    this.#options.log.warn(
      { endpoint: this.#options.name, code: error.code, err: error, retryInMs: Math.round(delayMs) },
      'endpoint is not connected',
    )
    this.#timer = this.#options.clock.after(delayMs, () => void this.#connect())
  }
}
