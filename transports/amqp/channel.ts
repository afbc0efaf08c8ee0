/** The AMQP channel: takes messages from a queue, settles each after the service did. */
import type { Channel as BrokerChannel } from 'amqplib'
import type { SignalboxError } from '../../core/errors.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import { AmqpLink } from './client.ts'
import { Consumer, type ConsumerContext } from './consumer.ts'
import { closedMeanwhile, notConnected } from './errors.ts'
import type { AmqpChannelSettings } from './options.ts'
import { Publisher } from './publisher.ts'
import { delayQueuesOf, Redelivery } from './redelivery.ts'
import { checkChannel } from './settings.ts'
import { declareTopology, type Step } from './topology.ts'

/** How long the broker may take to confirm a failed message that is moved elsewhere. */
const MOVE_TIMEOUT_MS = 10_000

/** Consumers of one queue over one connection. */
export class AmqpChannel implements Channel {
  readonly #options: AmqpChannelSettings
  readonly #context: TransportContext
  readonly #link: AmqpLink
  readonly #publisher: Publisher
  readonly #consumers: Consumer[] = []
  #closed = false
  #lost = false

  constructor(options: AmqpChannelSettings, context: TransportContext) {
    checkChannel(options)
    this.#options = options
    this.#context = context
    this.#link = new AmqpLink(options, context, error => this.#onLost(error))
    this.#publisher = new Publisher(this.#link, context, {
      timeoutMs: MOVE_TIMEOUT_MS,
      maxInFlight: options.maxInFlight,
      maxInFlightBytes: Number.MAX_SAFE_INTEGER,
      // Only messages under way are moved.
      maxQueued: options.maxInFlight,
    })
  }

  async connect(receive: Receive): Promise<void> {
    const { topology } = this.#options
    const model = await this.#link.open()
    try {
      await declareTopology(model, topology, this.#steps())
      const shared = this.#shared(receive)
      for (const prefetch of this.#prefetches()) {
        const consumer = new Consumer(shared, prefetch)
        this.#consumers.push(consumer)
        await consumer.start(model)
      }
    } catch (error) {
      await this.close()
      throw error
    }
    if (this.#closed) throw closedMeanwhile()
  }

  async drain(): Promise<void> {
    await Promise.all(this.#consumers.map(consumer => consumer.drain()))
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const consumer of this.#consumers) consumer.close()
    this.#publisher.close()
    await this.#link.close()
  }

  async ping(): Promise<void> {
    if (this.#closed || this.#consumers.length === 0) {
      throw notConnected(`AMQP channel ${this.#context.name} is not connected`)
    }
    await this.#link.ping()
  }

  endpoint(): string {
    return `${this.#link.endpoint}#${this.#options.queue}`
  }

  #shared(receive: Receive): ConsumerContext {
    const { service, target } = this.#options
    return {
      settings: this.#options,
      context: this.#context,
      receive,
      redelivery: new Redelivery(this.#options),
      target: target ?? (service === undefined ? undefined : `service/${service}`),
      publisher: this.#publisher,
      frameMaxBytes: this.#link.frameMaxBytes,
      failed: error => this.#onLost(error),
    }
  }

  /** What is declared beside the topology: delay queues, and the queue itself is looked for. */
  #steps(): Step[] {
    const { queue } = this.#options
    const delays = delayQueuesOf(this.#options).map(({ name, delayMs }): Step => {
      const options = {
        durable: true,
        messageTtl: delayMs,
        deadLetterExchange: '',
        deadLetterRoutingKey: queue,
      }
      return {
        what: `delay queue ${name}`,
        run: (channel: BrokerChannel) => channel.assertQueue(name, options),
      }
    })
    return [...delays, { what: `queue ${queue}`, run: channel => channel.checkQueue(queue) }]
  }

  /** `maxInFlight`, shared out. */
  #prefetches(): number[] {
    const { maxInFlight, consumers } = this.#options
    const count = Math.min(consumers, maxInFlight)
    return Array.from({ length: count }, (_, i) => Math.floor((maxInFlight + count - 1 - i) / count))
  }

  #onLost(error: SignalboxError): void {
    if (this.#closed || this.#lost) return
    this.#lost = true
    this.#context.lost(error)
  }
}
