/** One consumer on a channel of its own: takes messages, settles each of them once. */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { Timer } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Inbound, Outbound, Receive, TransportContext } from '../../core/transport.ts'
import { readBody } from './body.ts'
import { brokerError } from './errors.ts'
import { attributesOf, cidOf, headersOf } from './inbound.ts'
import type { AmqpChannelSettings } from './options.ts'
import type { Publisher } from './publisher.ts'
import { MOVE_RETRY_MS, type Redelivery, reasonHeaders, sendOnProperties } from './redelivery.ts'
import { answersTo, errorReply, type Reply, successReply } from './reply.ts'
import { checkTable } from './table.ts'

/** What the consumers of one channel share. */
export interface ConsumerContext {
  readonly settings: AmqpChannelSettings
  readonly context: TransportContext
  readonly receive: Receive
  readonly redelivery: Redelivery
  readonly target: string | undefined
  /** Largest frame that the connection allows, in bytes. */
  readonly frameMaxBytes: number
  /** Sends failed messages on. */
  readonly publisher: Publisher
  /** The consumer cannot go on. */
  failed(error: SignalboxError): void
}

export class Consumer {
  readonly #shared: ConsumerContext
  readonly #prefetch: number
  #channel: Channel | undefined
  #tag: string | undefined
  #state: 'open' | 'draining' | 'closed' = 'open'
  #inFlight = 0
  #onIdle: (() => void) | undefined
  /** Messages that wait to be given back. */
  readonly #held = new Map<ConsumeMessage, Timer>()

  constructor(shared: ConsumerContext, prefetch: number) {
    this.#shared = shared
    this.#prefetch = prefetch
  }

  async start(model: ChannelModel): Promise<void> {
    const { settings } = this.#shared
    const what = `consuming ${settings.queue}`
    let cause: Error | undefined
    try {
      const channel = await model.createChannel()
      channel.on('error', error => {
        cause = error
      })
      channel.on('close', () => {
        // When it is the connection that ends, it says why itself, right after its channels.
        queueMicrotask(() => this.#fail(brokerError(cause ?? new Error('the channel closed'), what)))
      })
      this.#channel = channel
      await channel.prefetch(this.#prefetch)
      const { consumerTag } = await channel.consume(settings.queue, message => this.#onMessage(message), {
        arguments: settings.consumerArguments,
        ...(settings.consumerPriority !== undefined && { priority: settings.consumerPriority }),
      })
      this.#tag = consumerTag
    } catch (error) {
      throw brokerError(error as Error, what)
    }
  }

  /** Takes no more messages and resolves when those under way are settled; those that wait go back at once. */
  async drain(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    const idle = new Promise<void>(resolve => {
      this.#onIdle = resolve
    })
    const cancelled = this.#cancel()
    for (const message of [...this.#held.keys()]) this.#giveBack(message)
    await cancelled
    if (this.#inFlight > 0) await idle
  }

  /** Settles nothing any more: the broker takes back what is under way when the connection ends. */
  close(): void {
    this.#state = 'closed'
    for (const timer of this.#held.values()) timer.cancel()
    this.#held.clear()
    this.#onIdle?.()
  }

  async #cancel(): Promise<void> {
    if (this.#tag === undefined) return
    try {
      await this.#channel!.cancel(this.#tag)
    } catch (error) {
      // Without the channel there is no consumer either.
      this.#shared.context.log.debug({ err: error }, 'the consumer could not be cancelled')
    }
  }

  #onMessage(message: ConsumeMessage | null): void {
    if (message === null) {
      const why = `the broker cancelled the consumer of ${this.#shared.settings.queue}: was the queue deleted?`
      this.#fail(new SignalboxError('SIGNALBOX_BROKER_TOPOLOGY', why, { retryable: true }))
    } else if (this.#state === 'open') {
      this.#inFlight++
      void this.#handle(message)
    } else this.#settle(channel => channel.nack(message, false, true))
  }

  async #handle(message: ConsumeMessage): Promise<void> {
    const { redelivery, receive } = this.#shared
    const attempt = redelivery.attemptOf(message)
    try {
      const reading = this.#read(message, attempt)
      const answer = await receive(reading instanceof Promise ? await reading : reading)
      if (message.fields.redelivered) redelivery.forget(message)
      this.#succeeded(message, answer)
    } catch (thrown) {
      await this.#failed(message, attempt, toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED'))
    }
  }

  #read(message: ConsumeMessage, attempt: number): Inbound | Promise<Inbound> {
    const { settings, target } = this.#shared
    const { contentType, contentEncoding } = message.properties
    const payload = readBody(message.content, contentType, contentEncoding, settings)
    const { headers, others } = headersOf(message)
    const inbound: Inbound = {
      payload,
      headers,
      attributes: attributesOf(message, settings.queue, attempt, others),
      timeoutMs: settings.timeoutMs,
      bytes: message.content.length,
    }
    if (target !== undefined) inbound.target = target
    const cid = cidOf(message)
    if (cid !== undefined) inbound.cid = cid
    if (headers.traceparent !== undefined) inbound.traceparent = headers.traceparent
    if (!(payload instanceof Promise)) return inbound
    return payload.then(value => {
      inbound.payload = value
      return inbound
    })
  }

  #succeeded(message: ConsumeMessage, answer: Outbound): void {
    const { settings, context } = this.#shared
    let reply: Reply | undefined
    if (message.properties.replyTo !== undefined && answersTo(message, settings.replies)) {
      try {
        reply = successReply(message, answer)
      } catch (thrown) {
        // The service has done its work: doing it again would not mend its answer.
        const error = toSignalboxError(thrown, 'SIGNALBOX_CODEC_UNENCODABLE')
        context.log.error({ err: error, code: error.code }, 'an answer cannot be sent')
        reply = errorReply(message, error)
      }
    }
    this.#done(channel => {
      if (reply) this.#reply(channel, message, reply)
      channel.ack(message)
    })
  }

  async #failed(message: ConsumeMessage, attempt: number, error: SignalboxError): Promise<void> {
    const { redelivery, settings, context } = this.#shared
    if (this.#state === 'closed') return this.#done(() => {})
    const verdict = redelivery.judge(message, attempt, error)
    const { queue } = settings
    const { messageId } = message.properties
    if (verdict.act === 'requeue') return this.#hold(message, verdict.delayMs)
    if (verdict.act === 'delay') {
      const headers = { 'x-signalbox-attempts': verdict.attempts }
      return await this.#sendOn(message, '', verdict.queue, headers)
    }
    if (verdict.final) {
      context.log.error(
        { queue, messageId, attempt, code: error.code, err: error },
        'a message failed for good',
      )
      if (message.properties.replyTo !== undefined && answersTo(message, settings.replies)) {
        // Whoever asked knows now; nobody else has to look after it.
        return this.#done(channel => {
          this.#reply(channel, message, errorReply(message, error))
          channel.ack(message)
        })
      }
    }
    if (verdict.act === 'discard') this.#done(channel => channel.ack(message))
    else if (verdict.act === 'reject') this.#done(channel => channel.nack(message, false, false))
    else {
      const { exchange, routingKey } = settings.failed
      await this.#sendOn(message, exchange, routingKey, reasonHeaders(error, attempt, queue))
    }
  }

  /** Publishes a failed message elsewhere; it leaves this queue only when the broker has it there. */
  async #sendOn(
    message: ConsumeMessage,
    exchange: string,
    routingKey: string,
    headers: Record<string, unknown>,
  ): Promise<void> {
    const { publisher, context, settings } = this.#shared
    try {
      const options = sendOnProperties(message, headers)
      await publisher.publish({ exchange, routingKey, content: message.content, options })
      this.#done(channel => channel.ack(message))
    } catch (error) {
      context.log.error(
        { queue: settings.queue, exchange, routingKey, err: error },
        'a message cannot be moved',
      )
      this.#hold(message, MOVE_RETRY_MS)
    }
  }

  #reply(channel: Channel, message: ConsumeMessage, reply: Reply): void {
    const send = ({ routingKey, content, options }: Reply) => {
      checkTable(options.headers, this.#shared.frameMaxBytes)
      channel.publish('', routingKey, content, options)
    }
    try {
      send(reply)
    } catch (cause) {
      const text = `the answer cannot be written: ${(cause as Error).message}`
      const error = new SignalboxError('SIGNALBOX_ANSWER_INVALID', text, { cause })
      this.#shared.context.log.error({ err: error, code: error.code }, 'an answer cannot be sent')
      send(errorReply(message, error))
    }
  }

  #hold(message: ConsumeMessage, delayMs: number): void {
    this.#held.set(
      message,
      this.#shared.context.clock.after(delayMs, () => this.#giveBack(message)),
    )
    if (delayMs === 0 || this.#state !== 'open') this.#giveBack(message)
  }

  #giveBack(message: ConsumeMessage): void {
    this.#held.get(message)?.cancel()
    this.#held.delete(message)
    this.#done(channel => channel.nack(message, false, true))
  }

  /** The last act on a message. */
  #done(settle: (channel: Channel) => void): void {
    this.#inFlight--
    this.#settle(settle)
    if (this.#inFlight === 0) this.#onIdle?.()
  }

  #settle(settle: (channel: Channel) => void): void {
    if (this.#state === 'closed') return
    try {
      settle(this.#channel!)
    } catch (error) {
      // The channel broke meanwhile: the broker delivers again what was not settled.
      this.#shared.context.log.debug({ err: error }, 'a message was not settled')
    }
  }

  #fail(error: SignalboxError): void {
    if (this.#state === 'closed') return
    this.#shared.failed(error)
  }
}
