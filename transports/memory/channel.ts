import { SignalboxError } from '../../core/errors.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import type { ChannelOptions } from './options.ts'
import { type Consumer, holdQueue, type MemoryQueue, releaseQueue } from './queue.ts'

/** Takes messages from a queue of this thread. */
export class MemoryChannel implements Channel {
  readonly #options: ChannelOptions
  readonly #context: TransportContext
  #state: 'idle' | 'open' | 'draining' | 'closed' = 'idle'
  #queue: MemoryQueue | undefined
  #consumer: Consumer | undefined
  #drained = Promise.withResolvers<void>()

  constructor(options: ChannelOptions, context: TransportContext) {
    this.#options = options
    this.#context = context
  }

  async connect(receive: Receive): Promise<void> {
    if (this.#state !== 'idle') {
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `memory channel ${this.#context.name}: connect is called once`,
      )
    }
    const { maxInFlight, maxAttempts, redeliveryDelayMs } = this.#options
    this.#state = 'open'
    this.#queue = holdQueue(this.#options.queue)
    this.#consumer = {
      receive,
      maxInFlight,
      maxAttempts,
      redeliveryDelayMs,
      clock: this.#context.clock,
      settled: () => this.#checkDrained(),
      inFlight: new Set(),
    }
    this.#queue.attach(this.#consumer)
  }

  async drain(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'draining'
      this.#queue!.pause(this.#consumer!)
      this.#checkDrained()
    }
    if (this.#state === 'draining') await this.#drained.promise
  }

  async close(): Promise<void> {
    const connected = this.#state === 'open' || this.#state === 'draining'
    this.#state = 'closed'
    this.#drained.resolve()
    if (!connected) return
    this.#queue!.detach(this.#consumer!)
    releaseQueue(this.#queue!)
  }

  async ping(): Promise<void> {
    if (this.#state === 'open' || this.#state === 'draining') return
    throw new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `memory channel ${this.#context.name} is ${this.#state}`,
    )
  }

  endpoint(): string {
    return `memory:${this.#options.queue}`
  }

  #checkDrained(): void {
    if (this.#state === 'draining' && this.#consumer!.inFlight.size === 0) this.#drained.resolve()
  }
}
