/** The Redis channel: entries of a stream, messages of a list, or what is published. */
import { SignalboxError } from '../../core/errors.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import { endpointOf } from './client.ts'
import { commandError, connectError } from './failure.ts'
import { ListSource } from './list-source.ts'
import type { RedisChannelSettings } from './options.ts'
import { PubSubSource } from './pubsub-source.ts'
import type { Source, SourceContext } from './source.ts'
import { StreamSource } from './stream-source.ts'

/** Reads from one server, Sentinel group or cluster. */
export class RedisChannel implements Channel {
  readonly #options: RedisChannelSettings
  readonly #context: TransportContext
  readonly #closing = new AbortController()
  #state: 'idle' | 'connecting' | 'open' | 'draining' | 'closed' = 'idle'
  #source: Source | undefined
  /** Why nothing comes any more. */
  #failure: Error | undefined

  constructor(options: RedisChannelSettings, context: TransportContext) {
    this.#options = options
    this.#context = context
  }

  async connect(receive: Receive): Promise<void> {
    if (this.#state !== 'idle') throw new SignalboxError('SIGNALBOX_USAGE', 'a channel connects once')
    this.#state = 'connecting'
    const source = this.#sourceOf(receive)
    this.#source = source
    try {
      await source.open()
      if (this.#failure) throw this.#failure
    } catch (error) {
      await source.close()
      if (this.#isClosed()) throw closedMeanwhile(this.endpoint())
      throw connectFailure(error, this.endpoint())
    }
    if (this.#isClosed()) {
      await source.close()
      throw closedMeanwhile(this.endpoint())
    }
    this.#state = 'open'
  }

  async drain(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    await this.#source!.drain()
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#closing.abort()
    await this.#source?.close()
  }

  async ping(): Promise<void> {
    if (this.#state !== 'open' || this.#failure) {
      const why = this.#failure ? `: ${this.#failure.message}` : ''
      throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', `${this.endpoint()} is not connected${why}`)
    }
    try {
      await this.#source!.ping()
    } catch (error) {
      throw commandError(error, this.endpoint())
    }
  }

  endpoint(): string {
    return endpointOf(this.#options)
  }

  #sourceOf(receive: Receive): Source {
    const { stream, list, pubsub, service, target, timeoutMs } = this.#options
    const { log, clock, name } = this.#context
    const handledBy = target ?? `service/${service}`
    const context: SourceContext = {
      options: this.#options,
      receive: message => {
        message.target = handledBy
        message.timeoutMs = timeoutMs
        return receive(message)
      },
      clock,
      log,
      name,
      signal: this.#closing.signal,
      broken: error => this.#broken(error),
    }
    if (stream) return new StreamSource(context, stream)
    if (list) return new ListSource(context, list)
    return new PubSubSource(context, pubsub!)
  }

  #broken(error: Error): void {
    if (this.#failure || this.#isClosed()) return
    this.#failure = error
    // While it connects, connect itself says so.
    if (this.#state !== 'connecting') this.#context.lost(commandError(error, this.endpoint()))
  }

  // The state changes while connect awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

/** A server that was reached and refuses the commands of the channel is not to be tried in vain. */
function connectFailure(error: unknown, endpoint: string): SignalboxError {
  const answered = error instanceof Error && error.name === 'ReplyError'
  return answered ? commandError(error, endpoint) : connectError(error, endpoint)
}

function closedMeanwhile(endpoint: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', `${endpoint}: the channel was closed while it was opening`)
}
