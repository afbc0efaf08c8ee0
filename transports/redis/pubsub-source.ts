/** Messages of a subscription. At most once: Redis forgets what it has published. */
import type { Redis } from 'ioredis'
import type { Timer } from '../../core/clock.ts'
import { toSignalboxError } from '../../core/errors.ts'
import type { OpenClient } from './client.ts'
import type { PubSubSettings } from './options.ts'
import { readPayload } from './payload.ts'
import { openSourceClient, type Source, type SourceContext } from './source.ts'

interface Published {
  channel: string
  pattern?: string
  bytes: Buffer
}

/** Subscribes to channels and patterns. */
export class PubSubSource implements Source {
  readonly #context: SourceContext
  readonly #settings: PubSubSettings
  /** What came with the last read beyond the room there is; the socket rests until it is empty. */
  readonly #waiting: Published[] = []
  #link: OpenClient | undefined
  #timer: Timer | undefined
  #inFlight = 0
  #stopped = false
  #idle = Promise.withResolvers<void>()

  constructor(context: SourceContext, settings: PubSubSettings) {
    this.#context = context
    this.#settings = settings
  }

  async open(): Promise<void> {
    const { channels = [], patterns = [] } = this.#settings
    const { keyPrefix } = this.#context.options
    this.#link = await openSourceClient(this.#context, { singleNode: true })
    const client = this.#client
    client.on('messageBuffer', (channel: Buffer, bytes: Buffer) => {
      this.#published({ channel: this.#named(channel), bytes })
    })
    client.on('pmessageBuffer', (pattern: Buffer | string, channel: Buffer, bytes: Buffer) => {
      this.#published({ channel: this.#named(channel), pattern: this.#named(pattern), bytes })
    })
    if (channels.length > 0) await client.subscribe(...channels.map(name => keyPrefix + name))
    if (patterns.length > 0) await client.psubscribe(...patterns.map(name => escaped(keyPrefix) + name))
    this.#pingLater()
  }

  async drain(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#link?.close()
    if (this.#inFlight > 0 || this.#waiting.length > 0) await this.#idle.promise
  }

  async close(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#waiting.length = 0
    this.#link?.close()
    this.#idle.resolve()
  }

  async ping(): Promise<void> {
    // The answer of a link that is not read would wait behind the messages.
    if (!this.#client.stream.isPaused()) await this.#client.ping()
  }

  get #client(): Redis {
    return this.#link!.client as Redis
  }

  #published(message: Published): void {
    if (this.#stopped) return
    this.#waiting.push(message)
    this.#pump()
    if (this.#waiting.length > 0) this.#client.stream.pause()
  }

  #pump(): void {
    const { maxInFlight } = this.#context.options
    while (this.#waiting.length > 0 && this.#inFlight < maxInFlight)
      void this.#deliver(this.#waiting.shift()!)
    if (this.#waiting.length === 0 && !this.#stopped) this.#client.stream.resume()
    if (this.#stopped && this.#waiting.length === 0 && this.#inFlight === 0) this.#idle.resolve()
  }

  async #deliver({ channel, pattern, bytes }: Published): Promise<void> {
    const { receive, options, log } = this.#context
    this.#inFlight++
    try {
      const attributes = { destination: channel, channel, ...(pattern !== undefined && { pattern }) }
      await receive({ ...readPayload(bytes, options), attributes })
    } catch (thrown) {
      const { code } = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      log.warn({ channel, code }, 'a published message was not handled; it is not delivered again')
    }
    this.#inFlight--
    this.#pump()
  }

  #named(bytes: Buffer | string): string {
    const name = bytes.toString()
    const { keyPrefix } = this.#context.options
    for (const prefix of [keyPrefix, escaped(keyPrefix)])
      if (name.startsWith(prefix)) return name.slice(prefix.length)
    return name
  }

  /** A subscription is silent while nothing is published: only an answer tells that the server is there. */
  #pingLater(): void {
    if (this.#stopped) return
    this.#timer = this.#context.clock.after(this.#settings.pingIntervalMs, () => {
      this.ping().then(
        () => this.#pingLater(),
        error => {
          if (!this.#stopped) this.#context.broken(error as Error)
        },
      )
    })
  }
}

/** A prefix as a pattern that matches itself. */
function escaped(prefix: string): string {
  return prefix.replaceAll(/[\\*?[\]^]/g, '\\$&')
}
