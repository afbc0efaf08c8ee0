/** Requests and their answers: a queue for answers, found by correlation id. */
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { type IdSource, idSource } from '../../core/clock.ts'
import { fromWire, SignalboxError, type WireError } from '../../core/errors.ts'
import type { Outbound, TransportContext } from '../../core/transport.ts'
import { readBody } from './body.ts'
import { brokerError, notConnected } from './errors.ts'
import { ERROR_HEADER, headersOf, STATUS_HEADER } from './inbound.ts'
import type { AmqpConnectionSettings } from './options.ts'

const DIRECT = 'amq.rabbitmq.reply-to'

const makeId: IdSource = idSource()

interface Pending {
  cid: string
  resolve(answer: Outbound): void
  reject(error: SignalboxError): void
}

/** A request that waits. */
export interface Waiting {
  correlationId: string
  replyTo: string
  answer: Promise<Outbound>
  /** Ends the wait; an answer that comes later is dropped. */
  giveUp(error: SignalboxError): void
}

export class Requests {
  readonly #settings: AmqpConnectionSettings
  readonly #context: TransportContext
  readonly #pending = new Map<string, Pending>()
  #replyTo: string | undefined
  #listeningOn: { channel: ConfirmChannel; ready: Promise<void> } | undefined

  constructor(settings: AmqpConnectionSettings, context: TransportContext) {
    this.#settings = settings
    this.#context = context
  }

  /** Whether answers can come: nothing is consumed before the first request. */
  get listening(): boolean {
    return this.#replyTo !== undefined
  }

  /**
   * Takes answers by this channel: direct reply-to wants requests and answers on the same one. Rejects with
   * SIGNALBOX_NOT_CONNECTED, SIGNALBOX_BROKER_TOPOLOGY, SIGNALBOX_CONNECT_REFUSED_CREDENTIALS.
   */
  async listen(channel: ConfirmChannel): Promise<void> {
    if (this.#listeningOn?.channel !== channel) {
      this.#listeningOn = { channel, ready: this.#consume(channel) }
    }
    await this.#listeningOn.ready
  }

  async #consume(channel: ConfirmChannel): Promise<void> {
    channel.on('close', () => {
      this.#replyTo = undefined
      this.failAll(notConnected('the channel for answers ended'))
    })
    try {
      let replyTo = DIRECT
      if (this.#settings.replyQueue === 'exclusive') {
        const options = { exclusive: true, autoDelete: true, durable: false }
        replyTo = (await channel.assertQueue('', options)).queue
      }
      await channel.consume(replyTo, message => void this.#onAnswer(message), { noAck: true })
      this.#replyTo = replyTo
    } catch (error) {
      throw brokerError(error as Error, 'a queue for answers')
    }
  }

  /** Waits for an answer from now on. */
  wait(cid: string): Waiting {
    if (this.#replyTo === undefined) throw notConnected('the channel for answers is not open')
    const correlationId = makeId()
    const { promise, resolve, reject } = Promise.withResolvers<Outbound>()
    this.#pending.set(correlationId, { cid, resolve, reject })
    return {
      correlationId,
      replyTo: this.#replyTo,
      answer: promise,
      giveUp: error => this.#take(correlationId)?.reject(error),
    }
  }

  failAll(error: SignalboxError): void {
    for (const correlationId of [...this.#pending.keys()]) this.#take(correlationId)?.reject(error)
  }

  async #onAnswer(message: ConsumeMessage | null): Promise<void> {
    if (message === null) {
      // The next request makes another one.
      this.#replyTo = undefined
      this.#listeningOn = undefined
      return this.failAll(notConnected('the broker deleted the queue for answers'))
    }
    const { correlationId } = message.properties
    const pending = typeof correlationId === 'string' ? this.#take(correlationId) : undefined
    if (pending === undefined) {
      // It came too late, or to the wrong address.
      this.#context.log.debug({ correlationId }, 'an answer that nobody waits for')
      return
    }
    try {
      pending.resolve(await this.#read(message, pending.cid))
    } catch (thrown) {
      pending.reject(thrown as SignalboxError)
    }
  }

  async #read(message: ConsumeMessage, cid: string): Promise<Outbound> {
    const { contentType, contentEncoding } = message.properties
    const { headers } = headersOf(message)
    const failed = headers[ERROR_HEADER]
    // An error is read as what it is, however this connection reads answers.
    const settings = failed === undefined ? this.#settings : { ...this.#settings, format: 'auto' as const }
    const payload = await readBody(message.content, contentType, contentEncoding, settings)
    if (failed !== undefined) throw errorOf(failed, payload)
    const status = Number(headers[STATUS_HEADER])
    return { payload, headers, cid, ...(status >= 100 && status <= 599 && { status }) }
  }

  #take(correlationId: string): Pending | undefined {
    const pending = this.#pending.get(correlationId)
    this.#pending.delete(correlationId)
    return pending
  }
}

/** The error that an answer tells of; its code is known even when its body is not. */
function errorOf(code: string, payload: unknown): SignalboxError {
  const wire = (payload as { error?: Partial<WireError> } | null | undefined)?.error
  if (typeof wire?.code !== 'string' || typeof wire.message !== 'string') return new SignalboxError(code)
  const { status, retryable, retryAfterMs, details } = wire
  return fromWire({
    code: wire.code,
    message: wire.message,
    ...(typeof status === 'number' && { status }),
    ...(typeof retryable === 'boolean' && { retryable }),
    ...(typeof retryAfterMs === 'number' && { retryAfterMs }),
    ...(typeof details === 'object' && details !== null && { details }),
  })
}
