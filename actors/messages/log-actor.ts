/** The actors of a queue or topic: one takes payloads, the other operations. */
import { baseOf } from '../../core/actor/address.ts'
import type { ActorSpec, Behaviour } from '../../core/actor/behaviour.ts'
import type { Envelope } from '../../core/actor/envelope.ts'
import { type Clock, idSource, type Timer } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Delivery, NewMessage } from '../../core/store/messages/message.ts'
import type { MessageLog } from '../../core/store/messages/message-log.ts'
import { auditPublish } from './auditing.ts'
import { packContent } from './content.ts'
import type { DeliveredMessage, LogKind, LogRequest } from './protocol.ts'
import { publishedIn } from './tailing.ts'

const MAX_TAKE = 1_000
const MAX_WAIT_MS = 60_000
/** Operations under way: each is a promise that waits for the disk, or for messages. */
const CONCURRENCY = 65_536
const makeCid = idSource()

/** Takes payloads: each becomes a message, with properties from its headers. Answers with its receipt. */
export function intakeActor(log: MessageLog, inspect: () => Record<string, unknown>): ActorSpec {
  return {
    concurrency: CONCURRENCY,
    mailboxCapacity: CONCURRENCY,
    behaviour: () => ({
      inspect,
      receive: answering(async envelope => {
        const context = { ...envelope.context, cid: envelope.context.cid ?? makeCid() }
        const content = packContent(envelope.payload, context)
        const message = { content, headers: context.headers, ...messageProperties(context.headers) }
        const { cid, headers } = context
        const [kind, name] = baseOf(envelope.to).split('/') as [LogKind, string]
        const published = { kind, name, cid, payload: envelope.payload, headers, bytes: content.length }
        const publish = () => publishedIn(envelope.to, context, [message], () => log.publish([message]))
        const receipt = await auditPublish(published, async () => (await publish())[0]!)
        envelope.resolve(receipt, { status: 202 })
      }),
    }),
  }
}

/** Who may do what from outside; undefined: whoever a channel lets in. */
export interface LogAccess {
  publishers?: readonly string[] | undefined
  consumers?: readonly string[] | undefined
}

/** Takes operations: see {@link LogRequest}. */
export function opsActor(log: MessageLog, clock: Clock, access: () => LogAccess): ActorSpec {
  const takers = new Takers(log, clock)
  return {
    concurrency: CONCURRENCY,
    mailboxCapacity: CONCURRENCY,
    behaviour: () => ({
      receive: answering(async envelope => {
        const request = envelope.payload as LogRequest
        if (request.as !== undefined) checkAccess(log, request, request.as, access())
        envelope.resolve(await operate(log, takers, request, envelope))
      }),
      stopped: () => takers.close(),
    }),
  }
}

/** What a log refuses is no failure of its actor. */
function answering(handle: (envelope: Envelope) => Promise<void>): Behaviour['receive'] {
  return async (_payload, envelope) => {
    try {
      await handle(envelope)
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      if (envelope.kind === 'tell') throw error
      envelope.reject(error)
    }
  }
}

function operate(log: MessageLog, takers: Takers, request: LogRequest, envelope: Envelope): unknown {
  switch (request.op) {
    case 'publish': {
      const { messages } = request
      const address = envelope.to.replace(/\/ops$/, '')
      return publishedIn(address, envelope.context, messages, () => log.publish(messages))
    }
    case 'take':
      return takers.take(request, envelope)
    case 'settle':
      return log.settle(request.subscription, request.leases)
    case 'fail': {
      const { subscription, lease, failure, delayMs, dead } = request
      return log.fail(subscription, lease, failure, { delayMs, dead })
    }
    case 'giveBack':
      for (const lease of request.leases) log.giveBack(request.subscription, lease)
      return undefined
    case 'extend':
      return log.extend(request.subscription, request.lease, request.leaseMs)
    case 'subscribe':
      return log.subscribe(request.subscription, request.settings, request.start)
    case 'unsubscribe':
      return log.unsubscribe(request.subscription)
    case 'seek':
      return log.seek(request.subscription, request.to)
    default: {
      const { op } = request as { op?: unknown }
      throw new SignalboxError('SIGNALBOX_USAGE', `a queue or topic knows no operation '${String(op)}'`)
    }
  }
}

/** Whether somebody from outside may do this. */
function checkAccess(log: MessageLog, request: LogRequest, as: string, access: LogAccess): void {
  const who = as === '' ? 'somebody without a name' : `'${as}'`
  if (request.op === 'publish') {
    if (access.publishers && !access.publishers.includes(as)) throw forbidden(`${who} may not publish here`)
    return
  }
  if (access.consumers && !access.consumers.includes(as)) throw forbidden(`${who} may not consume here`)
  const subscription = log.subscriptions().find(({ name }) => name === request.subscription)
  const owner = subscription?.settings.owner
  if (owner !== undefined && owner !== as) {
    throw forbidden(`subscription '${request.subscription}' belongs to somebody else`)
  }
}

function forbidden(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORBIDDEN', message)
}

interface Waiting {
  max: number
  consumer: string
  leaseMs: number | undefined
  envelope: Envelope
  timer: Timer
  done: PromiseWithResolvers<DeliveredMessage[]>
}

/** Consumers that wait for messages, in the order in which they came. */
class Takers {
  readonly #log: MessageLog
  readonly #clock: Clock
  readonly #waiting = new Map<string, Waiting[]>()
  /** Subscriptions whose takers are being served; true when more may have come meanwhile. */
  readonly #serving = new Map<string, boolean>()

  constructor(log: MessageLog, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  async take(request: Extract<LogRequest, { op: 'take' }>, envelope: Envelope): Promise<DeliveredMessage[]> {
    const { subscription, max, consumer, leaseMs, waitMs = 0 } = request
    if (!(Number.isInteger(max) && max >= 1 && max <= MAX_TAKE)) {
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `max must be a whole number from 1 to ${MAX_TAKE}, got ${max}`,
      )
    }
    const queue = this.#waiting.get(subscription)
    if (!queue?.length) {
      const taken = await this.#log.take(subscription, max, consumer, leaseMs)
      if (envelope.cancelled) return this.#giveBack(subscription, taken)
      if (taken.length > 0 || waitMs <= 0) return taken.map(delivered)
    }
    // Throws when the subscription has ended meanwhile.
    this.#log.onReady(subscription, () => this.#serve(subscription))
    const done = Promise.withResolvers<DeliveredMessage[]>()
    const timer = this.#clock.after(Math.min(waitMs, MAX_WAIT_MS), () => {
      this.#leave(subscription, waiting)
      done.resolve([])
    })
    const waiting: Waiting = { max, consumer, leaseMs, envelope, timer, done }
    const line = this.#waiting.get(subscription) ?? []
    line.push(waiting)
    this.#waiting.set(subscription, line)
    envelope.signal.addEventListener('abort', () => {
      this.#leave(subscription, waiting)
      done.resolve([])
    })
    // Something may have come while it was looked at.
    this.#serve(subscription)
    return done.promise
  }

  close(): void {
    for (const [subscription, line] of this.#waiting) {
      for (const waiting of [...line]) {
        this.#leave(subscription, waiting)
        waiting.done.resolve([])
      }
    }
  }

  #serve(subscription: string): void {
    const isServing = this.#serving.has(subscription)
    this.#serving.set(subscription, isServing)
    if (isServing) return
    queueMicrotask(() => {
      this.#serveAll(subscription)
        .catch(thrown => this.#refuseAll(subscription, thrown))
        .finally(() => {
          const more = this.#serving.get(subscription)
          this.#serving.delete(subscription)
          // It came when nothing was found any more.
          if (more) this.#serve(subscription)
        })
    })
  }

  async #serveAll(subscription: string): Promise<void> {
    for (;;) {
      const first = this.#waiting.get(subscription)?.[0]
      if (!first) return
      const taken = await this.#log.take(subscription, first.max, first.consumer, first.leaseMs)
      if (taken.length === 0) return
      if (!this.#leave(subscription, first) || first.envelope.cancelled) {
        // Its time ran out, or it went away, meanwhile.
        this.#giveBack(subscription, taken)
        continue
      }
      first.done.resolve(taken.map(delivered))
    }
  }

  /** Nobody waits for them any more. */
  #giveBack(subscription: string, taken: readonly Delivery[]): [] {
    for (const { message, lease } of taken) {
      try {
        this.#log.giveBack(subscription, { seq: message.seq, lease })
      } catch (thrown) {
        // The lease, or the subscription, has ended while it was read.
        const { code } = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
        if (code !== 'SIGNALBOX_LEASE_LOST' && code !== 'SIGNALBOX_SUBSCRIPTION_UNKNOWN') throw thrown
      }
    }
    return []
  }

  #refuseAll(subscription: string, thrown: unknown): void {
    for (const waiting of [...(this.#waiting.get(subscription) ?? [])]) {
      this.#leave(subscription, waiting)
      waiting.done.reject(thrown)
    }
  }

  /** False when it was not there any more. */
  #leave(subscription: string, waiting: Waiting): boolean {
    waiting.timer.cancel()
    const line = this.#waiting.get(subscription)
    const at = line?.indexOf(waiting) ?? -1
    if (at === -1) return false
    line!.splice(at, 1)
    return true
  }
}

function delivered({ message, attempt, lease }: Delivery): DeliveredMessage {
  const { seq, publishedAt, id, key, priority, headers, content } = message
  return { seq, lease, attempt, publishedAt, id, key, priority, headers, content }
}

/** Headers that say how a payload is to be kept. */
const PROPERTY_HEADERS = {
  id: 'message-id',
  key: 'message-key',
  priority: 'message-priority',
  delayMs: 'message-delay-ms',
  expiresInMs: 'message-expires-ms',
} as const

/** How a message is to be kept, by its headers. Throws SIGNALBOX_MESSAGE_INVALID for what is no number. */
export function messageProperties(
  headers: Readonly<Record<string, string>> = {},
): Omit<NewMessage, 'content'> {
  const { id, key, priority, delayMs, expiresInMs } = PROPERTY_HEADERS
  return {
    id: headers[id],
    key: headers[key],
    priority: numberIn(headers, priority),
    delayMs: numberIn(headers, delayMs),
    expiresInMs: numberIn(headers, expiresInMs),
  }
}

function numberIn(headers: Readonly<Record<string, string>>, name: string): number | undefined {
  const text = headers[name]
  if (text === undefined) return undefined
  const number = Number(text)
  if (text.trim() !== '' && Number.isFinite(number)) return number
  throw new SignalboxError(
    'SIGNALBOX_MESSAGE_INVALID',
    `header ${name} must be a number, got '${text.slice(0, 64)}'`,
  )
}
