import { idSource } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import type { ConnectionOptions } from './options.ts'
import { type Entry, holdQueue, type MemoryQueue, releaseQueue } from './queue.ts'

const nextCid = idSource()

/** Puts messages into a queue of this thread. Payloads go by reference: do not change one after sending it. */
export class MemoryConnection implements Connection {
  readonly #options: ConnectionOptions
  readonly #context: TransportContext
  #state: 'idle' | 'open' | 'closed' = 'idle'
  #queue: MemoryQueue | undefined
  /** Ends the sends under way, each with its reason. */
  readonly #pending = new Set<(reason: SignalboxError) => void>()

  constructor(options: ConnectionOptions, context: TransportContext) {
    this.#options = options
    this.#context = context
  }

  async connect(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `memory connection ${this.#context.name}: connect is called once`,
      )
    }
    this.#state = 'open'
    this.#queue = holdQueue(this.#options.queue)
  }

  /**
   * Sends one message. With `reply`, resolves with the answer; otherwise with an empty payload as soon as the
   * queue has taken it. Waits while the queue is full. Rejects with SIGNALBOX_TIMEOUT_DEADLINE,
   * SIGNALBOX_CANCELLED, SIGNALBOX_NOT_CONNECTED, or the error of the service.
   */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const queue = this.#opened()
    if (message.signal?.aborted) throw cancelled(message.signal)
    const cid = message.cid ?? nextCid()
    const gone = new AbortController()
    const { promise, resolve, reject } = Promise.withResolvers<Outbound>()
    const entry = this.#entry(message, cid, gone.signal, resolve, reject)
    const giveUp = (reason: SignalboxError) => {
      queue.withdraw(entry)
      gone.abort(reason)
      reject(reason)
    }
    const onAbort = () => giveUp(cancelled(message.signal!))
    const timeoutMs = message.timeoutMs ?? this.#options.timeoutMs
    const timer = this.#context.clock.after(timeoutMs, () => giveUp(late(this.#options.queue, timeoutMs)))
    message.signal?.addEventListener('abort', onAbort, { once: true })
    this.#pending.add(giveUp)
    queue.offer(entry, this.#options.maxQueued)
    try {
      return await promise
    } finally {
      timer.cancel()
      message.signal?.removeEventListener('abort', onAbort)
      this.#pending.delete(giveUp)
    }
  }

  async ping(): Promise<void> {
    this.#opened()
  }

  async close(): Promise<void> {
    const connected = this.#state === 'open'
    this.#state = 'closed'
    if (!connected) return
    const reason = new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `memory connection ${this.#context.name} was closed`,
    )
    for (const giveUp of this.#pending) giveUp(reason)
    releaseQueue(this.#queue!)
  }

  endpoint(): string {
    return `memory:${this.#options.queue}`
  }

  #entry(
    message: OutgoingMessage,
    cid: string,
    signal: AbortSignal,
    resolve: (answer: Outbound) => void,
    reject: (error: SignalboxError) => void,
  ): Entry {
    const { reply } = this.#options
    const headers = lowerCase(message.headers ?? {})
    return {
      message: {
        payload: message.payload,
        headers,
        attributes: { ...message.attributes },
        cid,
        ...(reply && { signal }),
      },
      attempts: 0,
      withdrawn: false,
      queued: () => {
        if (!reply) resolve({ payload: undefined, headers: {}, cid })
      },
      succeeded: resolve,
      failed: reject,
    }
  }

  #opened(): MemoryQueue {
    if (this.#state === 'open') return this.#queue!
    throw new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `memory connection ${this.#context.name} is ${this.#state}`,
    )
  }
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function cancelled(signal: AbortSignal): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal.reason })
}

function late(queue: string, timeoutMs: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_TIMEOUT_DEADLINE',
    `memory queue ${queue}: no answer within ${timeoutMs} ms`,
  )
}
