/** The AMQP connection: publishes with confirmation, asks and waits for answers. */
import { type IdSource, idSource } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import { AmqpLink } from './client.ts'
import { closedMeanwhile, notConnected } from './errors.ts'
import { type AmqpMessage, fromOutgoing, publicationOf } from './message.ts'
import type { AmqpConnectionSettings } from './options.ts'
import { Publisher } from './publisher.ts'
import { Requests } from './requests.ts'
import { checkServer } from './settings.ts'
import { declareTopology } from './topology.ts'

const makeCid: IdSource = idSource()

/** A message of a batch that the broker does not have. */
export interface BatchFailure {
  index: number
  code: string
  message: string
}

/** Sends to exchanges of one virtual host. */
export class AmqpConnection implements Connection {
  readonly #options: AmqpConnectionSettings
  readonly #context: TransportContext
  readonly #link: AmqpLink
  readonly #publisher: Publisher
  readonly #requests: Requests
  #closed = false

  constructor(options: AmqpConnectionSettings, context: TransportContext) {
    checkServer(options)
    this.#options = options
    this.#context = context
    this.#link = new AmqpLink(options, context, error => context.lost(error))
    this.#requests = new Requests(options, context)
    this.#publisher = new Publisher(this.#link, context, options)
  }

  async connect(): Promise<void> {
    const model = await this.#link.open()
    try {
      await declareTopology(model, this.#options.topology)
      await this.#publisher.open()
    } catch (error) {
      await this.close()
      throw error
    }
    if (this.#closed) throw closedMeanwhile()
  }

  async close(): Promise<void> {
    this.#closed = true
    const error = notConnected(`AMQP connection ${this.#context.name} was closed`)
    this.#publisher.close()
    this.#requests.failAll(error)
    await this.#link.close()
  }

  async ping(): Promise<void> {
    await this.#link.ping()
  }

  endpoint(): string {
    return this.#link.endpoint
  }

  /**
   * Sends one message; `attributes` are {@link AmqpProperties}. Resolves with an empty payload when the broker has it,
   * or, with the option or attribute `reply`, with the answer. Rejects as {@link publish} and {@link request} do.
   */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const { reply = this.#options.reply } = message.attributes ?? {}
    const outgoing = fromOutgoing(message)
    if (reply === true) return await this.request(outgoing)
    await this.publish(outgoing)
    return { payload: undefined, headers: {}, cid: message.cid ?? '' }
  }

  /**
   * Publishes one message and resolves when the broker has it: on disk, for a persistent message in a durable queue.
   * Waits while too many others are not confirmed or the broker takes no messages. Rejects with
   * SIGNALBOX_MESSAGE_UNROUTABLE when no queue gets it (`mandatory`), SIGNALBOX_BROKER_REFUSED when a queue is full,
   * SIGNALBOX_BROKER_TOPOLOGY when there is no such exchange, SIGNALBOX_MESSAGE_INVALID, SIGNALBOX_OVERLOADED,
   * SIGNALBOX_TIMEOUT_DEADLINE, SIGNALBOX_CANCELLED, and SIGNALBOX_NOT_CONNECTED, which leaves open whether the broker
   * has it.
   */
  async publish(message: AmqpMessage): Promise<void> {
    await this.#publisher.publish(publicationOf(message, this.#options))
  }

  /**
   * Publishes many messages, in their order, and resolves when the broker has them all; `defaults` are for those that
   * do not say otherwise. Rejects with the first error; `details.failed` lists every message that failed
   * ({@link BatchFailure}), the others are published.
   */
  async publishBatch(messages: readonly AmqpMessage[], defaults: AmqpMessage = {}): Promise<void> {
    const outcomes = await Promise.allSettled(
      messages.map(message =>
        this.publish({
          ...defaults,
          ...message,
          ...(defaults.headers && { headers: { ...defaults.headers, ...message.headers } }),
        }),
      ),
    )
    const failed = outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected'
        ? [{ index, error: toSignalboxError(outcome.reason, 'SIGNALBOX_CONNECT_FAILED') }]
        : [],
    )
    if (failed.length === 0) return
    const { error } = failed[0]!
    throw new SignalboxError(
      error.code,
      `${failed.length} of ${messages.length} messages failed; the first: ${error.message}`,
      {
        cause: error,
        retryable: failed.every(one => one.error.retryable),
        details: {
          failed: failed.map(
            ({ index, error: { code, message } }): BatchFailure => ({ index, code, message }),
          ),
        },
      },
    )
  }

  /**
   * Publishes one message with `replyTo` and resolves with the answer. The message expires when nobody waits for its
   * answer any more, unless `expirationMs` says otherwise. Rejects as {@link publish} does, with the error that the
   * other side answers with, or with SIGNALBOX_TIMEOUT_DEADLINE.
   */
  async request(message: AmqpMessage): Promise<Outbound> {
    const { signal, timeoutMs = this.#options.timeoutMs } = message
    if (this.#closed || !this.#link.isOpen) throw notConnected('the connection is not open')
    if (!this.#requests.listening) await this.#requests.listen(await this.#publisher.open())
    const waiting = this.#requests.wait(message.cid ?? makeCid())
    const { answer, correlationId, replyTo, giveUp } = waiting
    const onAbort = () =>
      giveUp(new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal?.reason }))
    const timer = this.#context.clock.after(timeoutMs, () =>
      giveUp(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `no answer within ${timeoutMs} ms`)),
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    const expirationMs = message.expirationMs ?? this.#options.expirationMs ?? timeoutMs
    try {
      const sent = this.publish({ ...message, timeoutMs, expirationMs, correlationId, replyTo })
      sent.catch(giveUp)
      return await answer
    } catch (error) {
      giveUp(error as SignalboxError)
      throw error
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
