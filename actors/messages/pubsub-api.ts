/**
 * Queues and topics for programs that speak HTTP: publish, subscribe, fetch, acknowledge, listen. A channel mounts it
 * anywhere: `{ path: /pubsub/*, method: [GET, POST, PUT, DELETE], payload: body, target: pubsub/api }`. Every worker has it, so that event streams stay where their
 * connection is.
 */
import type { ActorSpec } from '../../core/actor/behaviour.ts'
import type { Envelope } from '../../core/actor/envelope.ts'
import type { ActorSystem } from '../../core/actor/index.ts'
import { idSource } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { SchemaViolation } from '../../core/schema.ts'
import { compileSchema, Type } from '../../core/schema.ts'
import type { Origin } from '../../core/service/invocation.ts'
import type { Receipt } from '../../core/service/service.ts'
import { auditFetched, auditPublish, deliveryAddress } from './auditing.ts'
import { packContent, unpackContent } from './content.ts'
import { messageProperties } from './log-actor.ts'
import {
  type DeliveredMessage,
  type LogKind,
  type LogRequest,
  opsAddress,
  QUEUE_SUBSCRIPTION,
} from './protocol.ts'

export const PUBSUB_API = 'pubsub/api'

const NAME = '[A-Za-z][A-Za-z0-9_.-]{0,127}'
const PATH = new RegExp(`(?:^|/)(queues|topics)/(${NAME})(?:/subscriptions/(${NAME}))?(?:/([a-z]+))?/?$`)
const makeCid = idSource()
const MAX_WAIT_MS = 25_000

const Lease = Type.Object({ seq: Type.Integer({ minimum: 1 }), lease: Type.Integer({ minimum: 1 }) })
const closed = { additionalProperties: false }

/** What each operation takes as its body. */
const BODIES = {
  fetch: Type.Object(
    {
      max: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 10 })),
      waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS, default: 0 })),
      leaseMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 86_400_000 })),
    },
    closed,
  ),
  ack: Type.Object({ messages: Type.Array(Lease, { minItems: 1, maxItems: 1_000 }) }, closed),
  nack: Type.Object(
    {
      messages: Type.Array(Lease, { minItems: 1, maxItems: 1_000 }),
      reason: Type.Optional(Type.String({ maxLength: 2_000 })),
      delayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400_000 })),
      dead: Type.Optional(Type.Boolean()),
    },
    closed,
  ),
  extend: Type.Object(
    {
      messages: Type.Array(Lease, { minItems: 1, maxItems: 1_000 }),
      leaseMs: Type.Integer({ minimum: 100, maximum: 86_400_000 }),
    },
    closed,
  ),
  subscribe: Type.Object(
    {
      filter: Type.Optional(
        Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 100 })])),
      ),
      leaseMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 86_400_000 })),
      start: Type.Optional(
        Type.Union([
          Type.Object({ at: Type.Union([Type.Literal('end'), Type.Literal('beginning')]) }, closed),
          Type.Object({ at: Type.Literal('time'), time: Type.Number() }, closed),
          Type.Object({ at: Type.Literal('seq'), seq: Type.Integer({ minimum: 1 }) }, closed),
        ]),
      ),
    },
    closed,
  ),
}
const validators = Object.fromEntries(
  Object.entries(BODIES).map(([name, schema]) => [name, compileSchema(schema)]),
) as Record<keyof typeof BODIES, (value: unknown) => SchemaViolation[] | undefined>

/** One request, with what its path names. */
interface Call {
  kind: LogKind
  name: string
  subscription: string | undefined
  method: string
  action: string | undefined
  payload: unknown
  query: Record<string, string | undefined>
  envelope: Envelope
  /** Name of the identity that the channel has proven. */
  as: string | undefined
}

export function pubsubActor(system: ActorSystem): ActorSpec {
  const api = new PubsubApi(system)
  return {
    concurrency: 16_384,
    mailboxCapacity: 16_384,
    behaviour: () => ({
      receive: async (_payload, envelope) => {
        try {
          await api.handle(envelope)
        } catch (thrown) {
          // What a client does wrong is no failure of this actor.
          envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE'))
        }
      },
    }),
  }
}

class PubsubApi {
  readonly #system: ActorSystem

  constructor(system: ActorSystem) {
    this.#system = system
  }

  async handle(envelope: Envelope): Promise<void> {
    const call = callOf(envelope)
    const { method, action, subscription, kind } = call
    const isTopic = kind === 'topic'
    if (method === 'POST' && action === 'messages' && (!isTopic || subscription === undefined)) {
      return this.#publish(call)
    }
    if (isTopic && subscription !== undefined && action === undefined) {
      if (method === 'PUT') return this.#subscribe(call)
      if (method === 'DELETE') return this.#unsubscribe(call)
    }
    if (!isTopic || subscription !== undefined) {
      if (method === 'GET' && action === 'events') return this.#listen(call)
      if (method === 'POST') {
        switch (action) {
          case 'fetch':
            return this.#fetch(call)
          case 'ack':
            return this.#ack(call)
          case 'nack':
            return this.#nack(call)
          case 'extend':
            return this.#extend(call)
        }
      }
    }
    throw new SignalboxError(
      'SIGNALBOX_NOT_FOUND',
      `${method} ${call.envelope.to}: there is no such operation; ${USES}`,
    )
  }

  async #publish(call: Call): Promise<void> {
    const { envelope, payload } = call
    const context = { ...envelope.context, cid: envelope.context.cid ?? makeCid() }
    const content = packContent(payload, context, call.as && `client/${call.as}`)
    const headers = clientHeaders(context.headers)
    const messages = [{ content, headers, ...messageProperties(context.headers) }]
    const { kind, name } = call
    const from = call.as && `client/${call.as}`
    const published = { kind, name, cid: context.cid, from, payload, headers, bytes: content.length }
    const receipt = await auditPublish(published, async () => {
      const [kept] = (await this.#ask(call, { op: 'publish', messages })) as [Receipt]
      return kept
    })
    envelope.resolve(receipt, { status: 202 })
  }

  async #subscribe(call: Call): Promise<void> {
    const { start, ...settings } = bodyOf<{ start?: never; filter?: never; leaseMs?: number }>(
      call,
      'subscribe',
    )
    const owner = call.as
    const request = {
      op: 'subscribe',
      subscription: call.subscription!,
      settings: { ...settings, owner },
      start,
    } as const
    await this.#ask(call, request)
    call.envelope.resolve({ topic: call.name, subscription: call.subscription }, { status: 201 })
  }

  async #unsubscribe(call: Call): Promise<void> {
    await this.#ask(call, { op: 'unsubscribe', subscription: call.subscription! })
    call.envelope.resolve(undefined)
  }

  async #fetch(call: Call): Promise<void> {
    const {
      max = 10,
      waitMs = 0,
      leaseMs,
    } = bodyOf<{ max?: number; waitMs?: number; leaseMs?: number }>(call, 'fetch')
    const taken = await this.#take(call, max, waitMs, leaseMs)
    call.envelope.resolve({ messages: taken.map(viewOf) })
  }

  async #ack(call: Call): Promise<void> {
    const { messages } = bodyOf<{ messages: { seq: number; lease: number }[] }>(call, 'ack')
    const late = await this.#ask(call, { op: 'settle', subscription: subscriptionOf(call), leases: messages })
    // Those that are not settled are delivered again.
    call.envelope.resolve({ late })
  }

  async #nack(call: Call): Promise<void> {
    const { messages, reason, delayMs, dead } = bodyOf<{
      messages: { seq: number; lease: number }[]
      reason?: string
      delayMs?: number
      dead?: boolean
    }>(call, 'nack')
    const failure = { code: 'SIGNALBOX_CONSUMER_REFUSED', message: reason ?? 'the consumer did not say why' }
    const subscription = subscriptionOf(call)
    const states = await Promise.all(
      messages.map(lease =>
        this.#ask(call, {
          op: 'fail',
          subscription,
          lease,
          failure,
          ...(delayMs !== undefined && { delayMs }),
          ...(dead !== undefined && { dead }),
        }),
      ),
    )
    call.envelope.resolve({ messages: messages.map(({ seq }, i) => ({ seq, state: states[i] })) })
  }

  async #extend(call: Call): Promise<void> {
    const { messages, leaseMs } = bodyOf<{ messages: { seq: number; lease: number }[]; leaseMs: number }>(
      call,
      'extend',
    )
    const subscription = subscriptionOf(call)
    await Promise.all(messages.map(lease => this.#ask(call, { op: 'extend', subscription, lease, leaseMs })))
    call.envelope.resolve(undefined)
  }

  async #listen(call: Call): Promise<void> {
    // Who may not listen is told before the stream begins.
    const first = await this.#take(call, LISTEN_MAX, 0, undefined)
    const headers = { 'content-type': 'text/event-stream' }
    call.envelope.resolve(this.#events(call, first, call.query.ack !== 'manual'), { headers })
  }

  /** Messages as events. Each is settled when the client has taken the next, unless it settles itself. */
  async *#events(call: Call, first: DeliveredMessage[], settles: boolean): AsyncGenerator<object> {
    const subscription = subscriptionOf(call)
    let open = first
    try {
      for (;;) {
        while (open.length > 0) {
          const message = open[0]!
          yield { event: 'message', id: String(message.seq), data: viewOf(message) }
          open = open.slice(1)
          if (!settles) continue
          const leases = [{ seq: message.seq, lease: message.lease }]
          await this.#ask(call, { op: 'settle', subscription, leases })
        }
        open = await this.#take(call, LISTEN_MAX, MAX_WAIT_MS, undefined)
      }
    } finally {
      const leases = open.map(({ seq, lease }) => ({ seq, lease }))
      if (leases.length > 0) await this.#ask(call, { op: 'giveBack', subscription, leases })
    }
  }

  async #take(
    call: Call,
    max: number,
    waitMs: number,
    leaseMs: number | undefined,
  ): Promise<DeliveredMessage[]> {
    const request = {
      op: 'take' as const,
      subscription: subscriptionOf(call),
      max,
      consumer: `client/${call.as ?? ''}`,
      waitMs,
      ...(leaseMs !== undefined && { leaseMs }),
    }
    const taken = (await this.#ask(call, request, waitMs + 30_000)) as DeliveredMessage[]
    const address = deliveryAddress(call.kind, call.name, request.subscription)
    auditFetched(address, call.as, taken)
    return taken
  }

  #ask({ kind, name, as = '', envelope }: Call, request: LogRequest, timeoutMs = 30_000): Promise<unknown> {
    const { cid } = envelope.context
    return this.#system.ask(opsAddress(kind, name), { ...request, as }, { timeoutMs, cid })
  }
}

/** A stream takes little at a time: what it has is not to be had elsewhere. */
const LISTEN_MAX = 16

const USES =
  'POST /topics/NAME/messages or /queues/NAME/messages, PUT or DELETE /topics/NAME/subscriptions/NAME, and below that or /queues/NAME: POST fetch, ack, nack, extend, GET events'

function callOf(envelope: Envelope): Call {
  const { channel, identity } = (envelope.context.origin ?? {}) as Origin
  const { method, path, query } = (channel?.attributes ?? {}) as {
    method?: string
    path?: string
    query?: Record<string, string | undefined>
  }
  if (method === undefined || path === undefined) {
    throw new SignalboxError(
      'SIGNALBOX_USAGE',
      `${PUBSUB_API} answers channels with a method and a path, such as http`,
    )
  }
  const parts = PATH.exec(path)
  if (!parts) throw new SignalboxError('SIGNALBOX_NOT_FOUND', `${path} names no queue or topic; ${USES}`)
  const [, list, name, subscription, action] = parts
  return {
    kind: list === 'queues' ? 'queue' : 'topic',
    name: name!,
    subscription,
    action,
    method,
    payload: envelope.payload,
    query: query ?? {},
    envelope,
    as: identity?.name,
  }
}

function subscriptionOf({ kind, subscription }: Call): string {
  return kind === 'queue' ? QUEUE_SUBSCRIPTION : subscription!
}

function bodyOf<T>({ payload }: Call, action: keyof typeof BODIES): T {
  const body = payload ?? {}
  const violations = validators[action](body)
  if (!violations) return body as T
  const list = violations.slice(0, 10).map(({ pointer, rule }) => `${pointer || '(all)'} ${rule}`)
  throw new SignalboxError('SIGNALBOX_INPUT_INVALID', `body of ${action}: ${list.join('; ')}`, {
    details: { errors: violations },
  })
}

/** What goes with a message to those who get it: names that begin with `x-`. */
function clientHeaders(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith('x-') && name !== 'x-api-key'),
  )
}

function viewOf({
  seq,
  lease,
  attempt,
  publishedAt,
  id,
  key,
  priority,
  headers,
  content,
}: DeliveredMessage): object {
  const { payload, cid } = unpackContent(content)
  return {
    seq,
    lease,
    attempt,
    publishedAt: new Date(publishedAt).toISOString(),
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    priority,
    headers,
    ...(cid !== undefined && { cid }),
    payload: payload instanceof Uint8Array ? { base64: Buffer.from(payload).toString('base64') } : payload,
  }
}
