/** Publishes with confirmation: in order, within limits, each message with an outcome of its own. */
import type { ConfirmChannel, Message, Options } from 'amqplib'
import { type IdSource, idSource, type Timer } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { TransportContext } from '../../core/transport.ts'
import { type AmqpLink, blockedError } from './client.ts'
import { brokerError, notConnected } from './errors.ts'
import { Returns } from './returns.ts'
import { checkTable } from './table.ts'

/** A message for {@link Publisher.publish}. */
export interface Publication {
  exchange: string
  routingKey: string
  content: Buffer
  options: Options.Publish
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

export interface PublisherLimits {
  timeoutMs: number
  maxInFlight: number
  maxInFlightBytes: number
  maxQueued: number
}

/** One publication between `publish` and its outcome. */
interface Entry extends Publication {
  state: 'queued' | 'sent' | 'settled'
  resolve(): void
  reject(error: SignalboxError): void
  timer: Timer
  stopListening: (() => void) | undefined
}

const makeId: IdSource = idSource()

/**
 * The channel is opened by the first publication and again after the broker closed it: a mistake in one message (an
 * exchange that is not there) closes the channel, and must not stop the others for longer than that.
 */
export class Publisher {
  readonly #link: AmqpLink
  readonly #context: TransportContext
  readonly #limits: PublisherLimits
  readonly #queue: Entry[] = []
  readonly #sent = new Returns<Entry>()
  #inFlight = 0
  #inFlightBytes = 0
  #channel: ConfirmChannel | undefined
  #opening: Promise<ConfirmChannel> | undefined
  /** False while the socket takes no more. */
  #writable = true
  /** Why the channel ended. */
  #cause: Error | undefined
  #closed = false

  constructor(link: AmqpLink, context: TransportContext, limits: PublisherLimits) {
    this.#link = link
    this.#context = context
    this.#limits = limits
    link.onUnblocked = () => this.#pump()
  }

  /** The channel, opened when it is not, so that what is wrong with it shows at once. */
  async open(): Promise<ConfirmChannel> {
    if (this.#channel !== undefined) return this.#channel
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    const channel = await this.#opening
    this.#pump()
    return channel
  }

  /**
   * Resolves when the broker has taken the message. Rejects with SIGNALBOX_MESSAGE_UNROUTABLE (`mandatory`),
   * SIGNALBOX_BROKER_REFUSED, SIGNALBOX_BROKER_TOPOLOGY, SIGNALBOX_MESSAGE_INVALID, SIGNALBOX_OVERLOADED,
   * SIGNALBOX_TIMEOUT_DEADLINE, SIGNALBOX_CANCELLED, or SIGNALBOX_NOT_CONNECTED, which leaves open whether the broker
   * has it.
   */
  publish(publication: Publication): Promise<void> {
    const { signal, timeoutMs = this.#limits.timeoutMs } = publication
    if (this.#closed || !this.#link.isOpen) return Promise.reject(notConnected('the connection is not open'))
    if (signal?.aborted) return Promise.reject(cancelled(signal))
    if (this.#queue.length >= this.#limits.maxQueued) return Promise.reject(this.#tooMany())
    return new Promise((resolve, reject) => {
      const entry: Entry = {
        ...publication,
        // By it a message that comes back is known.
        options: { ...publication.options, messageId: publication.options.messageId ?? makeId() },
        state: 'queued',
        resolve,
        reject,
        timer: this.#context.clock.after(timeoutMs, () => this.#giveUp(entry, this.#late(entry, timeoutMs))),
        stopListening: undefined,
      }
      if (signal) {
        const onAbort = () => this.#giveUp(entry, cancelled(signal))
        signal.addEventListener('abort', onAbort, { once: true })
        entry.stopListening = () => signal.removeEventListener('abort', onAbort)
      }
      this.#queue.push(entry)
      this.#pump()
    })
  }

  /** Fails what is under way. */
  close(): void {
    this.#closed = true
    const error = notConnected('the connection was closed')
    for (const entry of this.#queue.splice(0)) this.#settle(entry, error)
    for (const entry of this.#sent.all()) this.#settle(entry, error)
  }

  /** Publishes what waits, as far as broker, socket and limits allow. */
  #pump(): void {
    if (this.#queue.length === 0 || this.#closed) return
    const channel = this.#channel
    if (channel === undefined) {
      if (this.#opening === undefined) this.open().catch(error => this.#failQueue(error))
      return
    }
    let count = 0
    while (count < this.#queue.length && this.#mayPublish()) this.#send(channel, this.#queue[count++]!)
    if (count > 0) this.#queue.splice(0, count)
  }

  #mayPublish(): boolean {
    return (
      this.#writable &&
      this.#link.blocked === undefined &&
      this.#inFlight < this.#limits.maxInFlight &&
      this.#inFlightBytes < this.#limits.maxInFlightBytes
    )
  }

  #send(channel: ConfirmChannel, entry: Entry): void {
    const { exchange, routingKey, content, options } = entry
    try {
      checkTable(options.headers, this.#link.frameMaxBytes)
      this.#writable = channel.publish(exchange, routingKey, content, options, error =>
        this.#confirmed(entry, error as Error | null),
      )
    } catch (error) {
      this.#settle(entry, publishError(error as Error))
      return
    }
    entry.state = 'sent'
    this.#inFlight++
    this.#inFlightBytes += content.length
    this.#sent.add(entry)
  }

  #confirmed(entry: Entry, error: Error | null): void {
    this.#inFlight--
    this.#inFlightBytes -= entry.content.length
    const returned = this.#sent.remove(entry)
    if (error !== null) this.#settle(entry, this.#refusal(entry, error))
    else this.#settle(entry, returned && unroutable(entry, returned))
    this.#pump()
  }

  /** Why a message that was sent was not taken: its own fault, or the end of the channel that it was sent on. */
  #refusal(entry: Entry, error: Error): SignalboxError {
    if (error.message === 'message nacked') {
      return new SignalboxError(
        'SIGNALBOX_BROKER_REFUSED',
        `the broker did not take the message for ${to(entry)}`,
      )
    }
    const cause = this.#cause
    if (cause && isFaultOf(entry, cause)) return faultError(entry, cause)
    const why = cause?.message ?? 'the connection ended'
    return notConnected(`nobody knows whether the broker has the message for ${to(entry)}: ${why}`, cause)
  }

  async #open(): Promise<ConfirmChannel> {
    try {
      const channel = await this.#link.model.createConfirmChannel()
      this.#cause = undefined
      channel.on('error', error => {
        this.#cause = error
      })
      channel.on('close', () => this.#ended(channel))
      channel.on('return', message => this.#returned(message))
      channel.on('drain', () => {
        this.#writable = true
        this.#pump()
      })
      this.#writable = true
      this.#channel = channel
      return channel
    } catch (error) {
      throw brokerError(error as Error, 'a channel for sending')
    }
  }

  #ended(channel: ConfirmChannel): void {
    if (this.#channel !== channel) return
    this.#channel = undefined
    // When it is the connection that ends, the link knows only after its channels.
    queueMicrotask(() => {
      if (this.#closed || !this.#link.isOpen) return
      this.#context.log.warn({ err: this.#cause }, 'the broker closed the channel for sending')
      this.#pump()
    })
  }

  #returned(message: Message): void {
    if (!this.#sent.returned(message)) {
      this.#context.log.debug({ fields: message.fields }, 'a message came back that nobody waits for')
    }
  }

  #failQueue(error: SignalboxError): void {
    for (const entry of this.#queue.splice(0)) this.#settle(entry, error)
  }

  #giveUp(entry: Entry, error: SignalboxError): void {
    if (entry.state === 'queued') {
      const at = this.#queue.indexOf(entry)
      if (at >= 0) this.#queue.splice(at, 1)
    }
    this.#settle(entry, error)
  }

  #settle(entry: Entry, error: SignalboxError | undefined): void {
    if (entry.state === 'settled') return
    entry.state = 'settled'
    entry.timer.cancel()
    entry.stopListening?.()
    if (error) entry.reject(error)
    else entry.resolve()
  }

  #late(entry: Entry, timeoutMs: number): SignalboxError {
    const { blocked } = this.#link
    const why =
      blocked !== undefined
        ? `the broker takes no messages at the moment: ${blocked}`
        : entry.state === 'queued'
          ? 'it was not sent, too many others wait'
          : 'nobody knows whether the broker has it'
    const text = `the message for ${to(entry)} was not confirmed within ${timeoutMs} ms; ${why}`
    return new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', text)
  }

  #tooMany(): SignalboxError {
    const { blocked } = this.#link
    if (blocked !== undefined) return blockedError(blocked)
    const text = `more than ${this.#limits.maxQueued} messages wait to be sent`
    return new SignalboxError('SIGNALBOX_OVERLOADED', text)
  }
}

function to({ exchange, routingKey }: Publication): string {
  return exchange === '' ? `queue '${routingKey}'` : `exchange '${exchange}', routing key '${routingKey}'`
}

function unroutable(entry: Entry, { fields }: Message): SignalboxError {
  const { replyText, replyCode } = fields as { replyText?: string; replyCode?: number }
  const { exchange, routingKey } = entry
  return new SignalboxError(
    'SIGNALBOX_MESSAGE_UNROUTABLE',
    `no queue gets the message for ${to(entry)} (${replyText ?? 'returned'})`,
    { details: { exchange, routingKey, replyCode } },
  )
}

/** The broker closes a channel without saying for which message, but it names what is wrong with it. */
function isFaultOf({ exchange, content, options }: Entry, cause: Error): boolean {
  const { message } = cause
  if (message.includes(`exchange '${exchange}'`)) return true
  if (options.userId !== undefined && message.includes(`'${options.userId}'`)) return true
  return message.includes(`message size ${content.length} `)
}

function faultError(entry: Entry, cause: Error): SignalboxError {
  if (!cause.message.includes('message size ')) return brokerError(cause, `the message for ${to(entry)}`)
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the broker refuses the message: ${cause.message}`, {
    cause,
  })
}

/** What amqplib throws before it sends anything. */
function publishError(error: Error): SignalboxError {
  if (error instanceof SignalboxError) return error
  if (error.name === 'IllegalOperationError') return notConnected('the channel is closing', error)
  const text = `the message cannot be written: ${error.message}`
  return new SignalboxError('SIGNALBOX_MESSAGE_INVALID', text, { cause: error })
}

function cancelled(signal: AbortSignal): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal.reason })
}
