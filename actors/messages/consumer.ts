/**
 * The actor that hands the messages of a queue or subscription to a service. One runs in every worker: it takes as
 * many as it may handle at once, settles those that succeeded, and tells of those that did not.
 */
import type { ActorContext, ActorSpec, AskOptions } from '../../core/actor/behaviour.ts'
import { recorder } from '../../core/audit/recorder.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Origin } from '../../core/service/invocation.ts'
import type { Failure } from '../../core/store/messages/message.ts'
import type { Lease } from '../../core/store/messages/message-log.ts'
import type { Caller } from '../../core/telemetry/connection-view.ts'
import { meterOf } from '../../core/telemetry/meters.ts'
import type { Connection } from '../../core/transport.ts'
import { auditDead, auditDelivery, deliveryAddress } from './auditing.ts'
import { type MessageContent, unpackContent } from './content.ts'
import { type DeliveredMessage, type LogKind, type LogRequest, opsAddress } from './protocol.ts'
import { deliveryWatch } from './tailing.ts'

export interface ConsumerConfig {
  /** Name of the queue, or of the subscription. */
  name: string
  kind: LogKind
  /** Name of the queue or topic. */
  log: string
  subscription: string
  /** Who handles the messages: an actor, e.g. `service/orders.book`, or whatever a connection leads to. */
  target: string | { connection: string; attributes: Record<string, unknown> }
  /** How many messages a worker handles at once. */
  prefetch: number
  /** How long one message may take; the lease is longer. */
  timeoutMs: number
}

export interface ConsumerPlace {
  /** Names this worker to the queue, so that what it had is delivered elsewhere when it is lost. */
  place: string
  worker: string
  clock: Clock
  connection: (name: string, caller: Caller) => Connection
}

/** How long a consumer waits for messages before it asks again. */
const WAIT_MS = 30_000
const RETRY_MS = { first: 100, most: 5_000 }
const LEASE_RESERVE_MS = 5_000

export function consumerActor(config: ConsumerConfig, place: ConsumerPlace): ActorSpec {
  let consumer: Consumer | undefined
  return {
    concurrency: 1,
    shutdownMs: config.timeoutMs,
    behaviour: () => ({
      started: context => {
        consumer = new Consumer(config, place, context)
        consumer.begin()
      },
      receive: () => undefined,
      stopped: () => consumer?.drain(),
      inspect: () => ({
        target: typeof config.target === 'string' ? config.target : `connection ${config.target.connection}`,
        ...consumer?.inspect(),
        ...meterOf('consumer', config.name).inspect(),
      }),
    }),
  }
}

class Consumer {
  readonly #config: ConsumerConfig
  readonly #place: ConsumerPlace
  readonly #context: ActorContext
  readonly #ops: string
  /** As the audit log names the two ends of a delivery. */
  readonly #address: string
  readonly #to: string
  readonly #leaseMs: number
  #stopping = false
  #taking: { abort: AbortController; done: Promise<void> } | undefined
  #active = 0
  #failures = 0
  #lastError: string | undefined
  #settling: Lease[] = []
  #pause: Timer | undefined
  readonly #idle: (() => void)[] = []

  constructor(config: ConsumerConfig, place: ConsumerPlace, context: ActorContext) {
    this.#config = config
    this.#place = place
    this.#context = context
    this.#ops = opsAddress(config.kind, config.log)
    this.#address = deliveryAddress(config.kind, config.log, config.subscription)
    this.#to = typeof config.target === 'string' ? config.target : `connection/${config.target.connection}`
    this.#leaseMs = config.timeoutMs + LEASE_RESERVE_MS
  }

  begin(): void {
    this.#take()
  }

  inspect(): Record<string, unknown> {
    return { active: this.#active, ...(this.#lastError && { lastError: this.#lastError }) }
  }

  /** Takes nothing more and resolves when what it has is settled. */
  async drain(): Promise<void> {
    this.#stopping = true
    this.#pause?.cancel()
    this.#taking?.abort.abort()
    await this.#taking?.done
    while (this.#active > 0) await new Promise<void>(resolve => this.#idle.push(resolve))
  }

  #take(): void {
    const room = this.#config.prefetch - this.#active
    if (this.#stopping || this.#taking || room < Math.max(1, this.#config.prefetch >> 1)) return
    const abort = new AbortController()
    this.#taking = { abort, done: this.#takeUpTo(room, abort.signal) }
  }

  async #takeUpTo(room: number, signal: AbortSignal): Promise<void> {
    try {
      const { subscription } = this.#config
      const { place: consumer } = this.#place
      const leaseMs = this.#leaseMs
      const max = Math.min(room, 1_000)
      const request: LogRequest = { op: 'take', subscription, max, consumer, leaseMs, waitMs: WAIT_MS }
      const taken = (await this.#ask(request, { timeoutMs: 2 * WAIT_MS, signal })) as DeliveredMessage[]
      this.#failures = 0
      this.#lastError = undefined
      this.#taking = undefined
      for (const message of taken) void this.#handle(message)
      this.#take()
    } catch (thrown) {
      this.#taking = undefined
      if (this.#stopping) return
      const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      this.#lastError = `${error.code}: ${error.message}`
      const pauseMs = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** this.#failures++)
      if (this.#failures === 5) {
        this.#context.log.warn(
          { consumer: this.#config.name, code: error.code, err: error },
          'cannot take messages',
        )
      }
      this.#pause = this.#place.clock.after(pauseMs, () => this.#take())
    }
  }

  async #handle(message: DeliveredMessage): Promise<void> {
    this.#active++
    const meter = meterOf('consumer', this.#config.name)
    const startedAt = meter.begin()
    const lease = { seq: message.seq, lease: message.lease }
    let content: MessageContent = { payload: undefined }
    const delivered = () => ({ address: this.#address, to: this.#to, message, content, startedAt })
    const { kind, log } = this.#config
    const told = deliveryWatch(`${kind}/${log}`, this.#to, message.content.length)
    try {
      content = unpackContent(message.content)
      await this.#deliver(message, content)
      meter.end(startedAt)
      if (recorder) auditDelivery(delivered())
      told?.(content.cid)
      this.#settle(lease)
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      meter.end(startedAt, error.code)
      if (recorder) auditDelivery({ ...delivered(), error })
      told?.(content.cid, error)
      const state = await this.#fail(content, lease, error)
      if (state === 'dead' && recorder) auditDead({ ...delivered(), error })
    } finally {
      this.#active--
      if (this.#active === 0) for (const resolve of this.#idle.splice(0)) resolve()
      this.#take()
    }
  }

  #deliver(message: DeliveredMessage, content: MessageContent): Promise<unknown> {
    const { payload, cid, trace, identity } = content
    const { kind, name, log, target, timeoutMs } = this.#config
    const { seq, attempt, publishedAt, id, key, priority } = message
    const attributes = {
      [kind]: log,
      seq,
      attempt,
      publishedAt,
      priority,
      ...(id && { id }),
      ...(key && { key }),
    }
    const { headers } = message
    if (typeof target !== 'string') {
      const { connection } = target
      const known = { ...target.attributes }
      const given = id === undefined ? headers : { ...headers, 'message-id': id }
      const outgoing = {
        payload,
        headers: given,
        attributes: known,
        timeoutMs,
        ...(cid !== undefined && { cid }),
      }
      return this.#place.connection(connection, { cid, trace, from: this.#to }).send(outgoing)
    }
    const origin: Origin = { channel: { transport: kind, name, attributes }, identity }
    return this.#context.ask(target, payload, { cid, trace, headers, origin, timeoutMs })
  }

  /** Those of one turn go together. */
  #settle(lease: Lease): void {
    this.#settling.push(lease)
    if (this.#settling.length > 1) return
    this.#active++
    setImmediate(() => {
      const leases = this.#settling
      this.#settling = []
      this.#ask({ op: 'settle', subscription: this.#config.subscription, leases })
        .catch(thrown => this.#report(thrown, 'a message could not be settled and is delivered again'))
        .finally(() => {
          this.#active--
          if (this.#active === 0) for (const resolve of this.#idle.splice(0)) resolve()
          // Settling takes room as well: with little of it there was none when the message was done.
          this.#take()
        })
    })
  }

  /** `dead`: it is not delivered any more. Undefined: the queue could not be told. */
  async #fail(
    { cid }: MessageContent,
    lease: Lease,
    error: SignalboxError,
  ): Promise<'delayed' | 'dead' | undefined> {
    const { subscription } = this.#config
    const failure: Failure = {
      code: error.code,
      message: error.message,
      details: {
        worker: this.#place.worker,
        ...(cid !== undefined && { cid }),
        ...(stackOf(error) && { stack: stackOf(error)!.slice(0, 4_000) }),
        ...(isPlain(error.details) && { errors: error.details }),
      },
    }
    try {
      const reply = await this.#ask({ op: 'fail', subscription, lease, failure, dead: isHopeless(error) })
      return reply as 'delayed' | 'dead'
    } catch (thrown) {
      this.#report(thrown, 'a failed message could not be returned; it is delivered again after its lease')
      return undefined
    }
  }

  #report(thrown: unknown, what: string): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
    this.#context.log.warn({ consumer: this.#config.name, code: error.code, err: error }, what)
  }

  #ask(request: LogRequest, options?: AskOptions): Promise<unknown> {
    return this.#context.ask(this.#ops, request, options)
  }
}

/** Whether the same message can never succeed: what is wrong is the message itself. */
function isHopeless({ code, status }: SignalboxError): boolean {
  if (code === 'SIGNALBOX_SERVICE_FAILED') return false
  return status === 400 || status === 413 || status === 415 || status === 422
}

/** Where the handler failed, rather than where that was noticed. */
function stackOf({ cause, stack }: SignalboxError): string | undefined {
  return cause instanceof Error && cause.stack ? cause.stack : stack
}

function isPlain(details: unknown): boolean {
  try {
    return details !== undefined && JSON.stringify(details).length < 16_384
  } catch {
    return false
  }
}
