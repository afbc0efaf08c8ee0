/** PostgreSQL: each notification is a message. Nothing keeps them: who does not listen does not get them. */
import { type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Inbound, Receive, TransportContext } from '../../core/transport.ts'
import type { SqlChannelSettings } from './channel-options.ts'
import type { Database } from './database.ts'
import { targetOf } from './poll/source.ts'

export class Listener {
  readonly #database: Database
  readonly #settings: SqlChannelSettings
  readonly #context: TransportContext
  readonly #receive: Receive
  readonly #waiting: Inbound[] = []
  #inFlight = 0
  #draining = false
  #idle = Promise.withResolvers<void>()
  #flow: ((on: boolean) => void) | undefined
  #flowing = true

  constructor(database: Database, settings: SqlChannelSettings, context: TransportContext, receive: Receive) {
    this.#database = database
    this.#settings = settings
    this.#context = context
    this.#receive = receive
  }

  async start(): Promise<void> {
    const { channels } = this.#settings.listen!
    const { flow } = await this.#database.listen(channels, (channel, payload) =>
      this.#arrived(channel, payload),
    )
    this.#flow = flow
  }

  /** Takes no more; resolves when what is under way is settled. What waits has been taken, so it is delivered. */
  async drain(): Promise<void> {
    this.#draining = true
    this.#checkIdle()
    await this.#idle.promise
  }

  #arrived(channel: string, text: string): void {
    if (this.#draining) return
    this.#waiting.push(this.#message(channel, text))
    this.#next()
  }

  #message(channel: string, text: string): Inbound {
    const target = targetOf(this.#settings)
    return {
      payload: text,
      headers: {},
      attributes: { destination: channel, channel },
      timeoutMs: this.#settings.serviceTimeoutMs,
      bytes: Buffer.byteLength(text),
      ...(target !== undefined && { target }),
    }
  }

  /** The socket is read no further while as many messages as allowed are under way. */
  #next(): void {
    while (this.#waiting.length > 0 && this.#inFlight < this.#settings.maxInFlight) {
      this.#inFlight++
      void this.#deliver(this.#waiting.shift()!)
    }
    const flowing = this.#waiting.length === 0
    if (flowing !== this.#flowing) this.#flow?.(flowing)
    this.#flowing = flowing
  }

  async #deliver(message: Inbound): Promise<void> {
    try {
      if (this.#settings.listen!.format === 'json') message.payload = JSON.parse(message.payload as string)
      await this.#receive(message)
    } catch (thrown) {
      const error: SignalboxError = toSignalboxError(thrown, 'SIGNALBOX_FORMAT_INVALID')
      const data = { channel: this.#context.name, code: error.code, err: error }
      this.#context.log.error(data, 'a notification failed; nothing keeps it')
    } finally {
      this.#inFlight--
      this.#next()
      this.#checkIdle()
    }
  }

  #checkIdle(): void {
    if (this.#draining && this.#inFlight === 0 && this.#waiting.length === 0) this.#idle.resolve()
  }
}
