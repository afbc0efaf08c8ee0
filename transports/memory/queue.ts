/** The queues of this thread: where memory channels and connections meet by name. */
import type { Clock, Timer } from '../../core/clock.ts'
import { type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Inbound, Outbound, Receive } from '../../core/transport.ts'

/** One message on its way. Exactly one of `succeeded` and `failed` is called, unless it is withdrawn. */
export interface Entry {
  message: Inbound
  attempts: number
  /** Nobody waits for it any more: it is not delivered again. */
  withdrawn: boolean
  /** The queue has taken the message. */
  queued(): void
  succeeded(answer: Outbound): void
  failed(error: SignalboxError): void
}

/** One channel on a queue. */
export interface Consumer {
  receive: Receive
  maxInFlight: number
  maxAttempts: number
  redeliveryDelayMs: number
  clock: Clock
  /** Called after each settlement. */
  settled(): void
  /** Deliveries under way; an entry that is no longer here was taken back, and its outcome does not count. */
  inFlight: Set<Entry>
}

/** First in, first out, with competing consumers; a message leaves when it succeeded or failed for good. */
export class MemoryQueue {
  readonly name: string
  readonly #ready: Entry[] = []
  /** Senders that wait for room, in order. */
  readonly #line: { entry: Entry; maxQueued: number }[] = []
  readonly #delayed = new Map<Entry, Timer>()
  readonly #consumers: Consumer[] = []
  /** Channels and connections that hold this queue. */
  holders = 0

  constructor(name: string) {
    this.name = name
  }

  /** Messages that are not settled yet. */
  get size(): number {
    const inFlight = this.#consumers.reduce((sum, consumer) => sum + consumer.inFlight.size, 0)
    return this.#ready.length + this.#line.length + this.#delayed.size + inFlight
  }

  /** Takes a message, or lets it stand in line while `maxQueued` others wait. */
  offer(entry: Entry, maxQueued: number): void {
    this.#line.push({ entry, maxQueued })
    this.#flow()
  }

  /** Takes a message out that nobody waits for any more. One that is under way stays: its signal tells it. */
  withdraw(entry: Entry): void {
    entry.withdrawn = true
    remove(this.#ready, waiting => waiting === entry)
    remove(this.#line, waiting => waiting.entry === entry)
    this.#delayed.get(entry)?.cancel()
    this.#delayed.delete(entry)
    this.#flow()
  }

  attach(consumer: Consumer): void {
    this.#consumers.push(consumer)
    this.#flow()
  }

  /** Delivers nothing more to a consumer; what it has under way may finish. */
  pause(consumer: Consumer): void {
    consumer.maxInFlight = 0
  }

  /** Removes a consumer; what it had not settled goes back to the front, in order. */
  detach(consumer: Consumer): void {
    remove(this.#consumers, other => other === consumer)
    const unsettled = [...consumer.inFlight].filter(entry => !entry.withdrawn)
    this.#ready.unshift(...unsettled)
    consumer.inFlight.clear()
    this.#flow()
  }

  /** Moves messages on: from the line into the queue, from the queue to consumers, until nothing moves. */
  #flow(): void {
    for (;;) {
      const first = this.#line[0]
      const consumer = this.#ready.length > 0 ? this.#nextConsumer() : undefined
      if (consumer) void this.#deliver(consumer, this.#ready.shift()!)
      else if (first && this.#ready.length < first.maxQueued) {
        this.#line.shift()
        this.#ready.push(first.entry)
        first.entry.queued()
      } else return
    }
  }

  /** The next consumer with capacity, in turn. */
  #nextConsumer(): Consumer | undefined {
    const index = this.#consumers.findIndex(consumer => consumer.inFlight.size < consumer.maxInFlight)
    const [consumer] = index < 0 ? [] : this.#consumers.splice(index, 1)
    if (consumer) this.#consumers.push(consumer)
    return consumer
  }

  async #deliver(consumer: Consumer, entry: Entry): Promise<void> {
    entry.attempts++
    consumer.inFlight.add(entry)
    const attributes = { ...entry.message.attributes, queue: this.name, attempt: entry.attempts }
    try {
      const answer = await consumer.receive({ ...entry.message, attributes })
      if (consumer.inFlight.delete(entry)) entry.succeeded(answer)
    } catch (thrown) {
      if (consumer.inFlight.delete(entry)) this.#failed(consumer, entry, thrown)
    }
    consumer.settled()
    this.#flow()
  }

  #failed(consumer: Consumer, entry: Entry, thrown: unknown): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    if (!error.retryable || entry.withdrawn || entry.attempts >= consumer.maxAttempts) {
      entry.failed(error)
      return
    }
    const timer = consumer.clock.after(error.retryAfterMs ?? consumer.redeliveryDelayMs, () => {
      this.#delayed.delete(entry)
      this.#ready.unshift(entry)
      this.#flow()
    })
    this.#delayed.set(entry, timer)
  }
}

const queues = new Map<string, MemoryQueue>()

/** The queue of a name, made on first use. Each hold needs one {@link releaseQueue}. */
export function holdQueue(name: string): MemoryQueue {
  const queue = queues.get(name) ?? new MemoryQueue(name)
  queues.set(name, queue)
  queue.holders++
  return queue
}

/** Lets go of a queue; one that nobody holds and that keeps no message is forgotten. */
export function releaseQueue(queue: MemoryQueue): void {
  queue.holders--
  if (queue.holders === 0 && queue.size === 0) queues.delete(queue.name)
}

/** How many messages a queue of this thread keeps that are not settled. For tests and for people. */
export function queueSize(name: string): number {
  return queues.get(name)?.size ?? 0
}

function remove<T>(list: T[], matches: (item: T) => boolean): void {
  const index = list.findIndex(matches)
  if (index >= 0) list.splice(index, 1)
}
