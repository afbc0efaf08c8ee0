/** The actor of a channel: it keeps the endpoint open and hands what comes in to services. */
import type { ActorSpec, ActorSystem, AskOptions } from '../core/actor/index.ts'
import { recorder, type Step } from '../core/audit/recorder.ts'
import { type IdSource, idSource } from '../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Origin } from '../core/service/invocation.ts'
import type { Identity } from '../core/service/service.ts'
import { meterOf } from '../core/telemetry/meters.ts'
import { observer } from '../core/telemetry/observe.ts'
import { joinTrace } from '../core/telemetry/trace-context.ts'
import type { Channel, Inbound, Outbound, Transport, TransportContext } from '../core/transport.ts'
import { Endpoint } from './endpoint.ts'

export interface ChannelActor {
  spec: ActorSpec
  /**
   * Resolves when the channel is open, or has failed in a way that may pass: it goes on trying then. Rejects with the
   * error when it cannot listen, or when trying again is of no use.
   */
  opened(): Promise<void>
  /** Resolves when it is open; rejects with its last error when it is not after `ms`. */
  openWithin(ms: number): Promise<void>
  /** Takes no more messages and resolves when those in flight are settled. */
  drain(handover: boolean): Promise<void>
  /** Another actor takes its place on the same endpoint: its drain at the end is a handover. */
  supersede(): void
  /** Takes new options and security without a new channel. False: it takes a new one. */
  reconfigure(config: ChannelConfig): Promise<boolean>
}

/** A channel as its actor needs it; options are valid and have their defaults. */
export interface ChannelConfig {
  name: string
  options: unknown
  /** Security definitions of which one must let a message in. */
  security?: readonly string[] | undefined
}

/** Lets a message in and says who sent it. Rejects with SIGNALBOX_UNAUTHENTICATED, SIGNALBOX_FORBIDDEN. */
export type ChannelGuard = (names: readonly string[], message: Inbound) => Promise<Identity>

const makeCid: IdSource = idSource()
const DEFAULT_TIMEOUT_MS = 30_000

/** Makes the actor of a channel. */
export function channelActor(
  system: ActorSystem,
  transport: Transport,
  config: ChannelConfig,
  guard: ChannelGuard = noGuard,
): ChannelActor {
  const { name } = config
  let { options, security } = config
  let handover = false
  const side = transport.channel
  if (!side) {
    throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', `transport ${transport.name} has no channels`)
  }
  const receive = receiver(system, transport.name, name, message => {
    const names = message.security ?? security
    return names === undefined || names.length === 0 ? undefined : guard(names, message)
  })
  const endpoint = new Endpoint({
    name: `channel/${transport.name}/${name}`,
    create: (context: TransportContext) => opening(side.create(options as never, context), receive),
    log: system.log.child({ channel: name }),
    clock: system.clock,
    random: system.random,
  })
  let opened: Promise<SignalboxError | undefined> | undefined
  const spec: ActorSpec = {
    behaviour: () => ({
      started: () => {
        opened = endpoint.open()
      },
      // A channel that does not work is no failure of its actor: a restart would not mend it.
      receive: async (_message, envelope) => {
        try {
          if (!endpoint.instance) throw notConnected(name, endpoint.lastError)
          envelope.resolve(await endpoint.instance.channel.ping())
        } catch (thrown) {
          envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_NOT_CONNECTED'))
        }
      },
      stopped: async () => {
        await endpoint.drain(({ channel }) => channel.drain(handover))
        await endpoint.close()
      },
      inspect: () => ({
        endpoint: endpoint.instance?.channel.endpoint(),
        connection: endpoint.state,
        ...meterOf('channel', name, transport.name).inspect(),
        ...(endpoint.lastError && { lastError: `${endpoint.lastError.code}: ${endpoint.lastError.message}` }),
      }),
    }),
  }
  return {
    spec,
    opened: async () => {
      const error = await opened
      if (error && (!error.retryable || error.code === 'SIGNALBOX_LISTEN_FAILED')) throw error
    },
    openWithin: async ms => {
      const late = Promise.withResolvers<never>()
      const timer = system.clock.after(ms, () =>
        late.reject(endpoint.lastError ?? notConnected(name, undefined)),
      )
      await Promise.race([endpoint.opened, late.promise]).finally(() => timer.cancel())
    },
    drain: handing => endpoint.drain(({ channel }) => channel.drain(handing)),
    supersede: () => {
      handover = true
    },
    reconfigure: async next => {
      if (!(await endpoint.instance?.channel.reconfigure?.(next.options))) return false
      options = next.options
      security = next.security
      return true
    },
  }
}

/** Without security definitions nobody may enter a channel that names some. */
async function noGuard(names: readonly string[]): Promise<never> {
  throw new SignalboxError('SIGNALBOX_UNAUTHENTICATED', `there is no security definition ${names.join(', ')}`)
}

interface OpenChannel {
  channel: Channel
  connect(): Promise<void>
  close(): Promise<void>
}

function opening(channel: Channel, receive: (message: Inbound) => Promise<Outbound>): OpenChannel {
  return { channel, connect: () => channel.connect(receive), close: () => channel.close() }
}

/** What a channel calls for each message: asks its target and makes every failure a typed one. */
function receiver(
  system: ActorSystem,
  transport: string,
  name: string,
  authenticate: (message: Inbound) => Promise<Identity> | undefined,
): (message: Inbound) => Promise<Outbound> {
  const meter = meterOf('channel', name, transport)
  const audit = auditor(transport, name)
  return async message => {
    if (message.target === undefined) {
      throw new SignalboxError(
        'SIGNALBOX_CONFIG_INVALID',
        `channel ${name} does not say who handles its messages`,
      )
    }
    const cid = message.cid ?? makeCid()
    // An open channel pays nothing for the question.
    const admission = authenticate(message)
    const identity = admission && (await admitted(admission, cid, message, audit))
    const startedAt = meter.begin()
    if (message.bytes !== undefined) meter.bytes += message.bytes
    const observation = observer?.channel(meter, message, cid, startedAt)
    const channel = { transport, name, attributes: message.attributes }
    const origin: Origin = identity ? { channel, identity } : { channel }
    if (message.textAt !== undefined) origin.textAt = message.textAt
    const options: AskOptions = {
      cid,
      headers: identity ? withoutCredentials(message.headers) : message.headers,
      trace: observation ? observation.trace : joinTrace(message.traceparent, message.headers.tracestate),
      origin,
      timeoutMs: message.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      bytes: message.bytes ?? 0,
      signal: message.signal,
    }
    try {
      const { payload, head } = await system.request(message.target, message.payload, options)
      const endMs = meter.end(startedAt)
      observation?.end({ endMs, status: head?.status, body: payload })
      if (recorder) audit(message, { cid, startedAt, endMs, status: head?.status, bytesOut: sizeOf(payload) })
      return {
        payload,
        headers: head?.headers ?? {},
        cid,
        ...(head?.status !== undefined && { status: head.status }),
      }
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      const endMs = meter.end(startedAt, error.code)
      observation?.end({ error, endMs })
      if (recorder) audit(message, { cid, startedAt, endMs, error: error.code, status: error.status })
      throw withCid(error, cid)
    }
  }
}

/** The same error with the correlation id in its details, for the answer and the log. */
function withCid(error: SignalboxError, cid: string): SignalboxError {
  const { message, status, retryable, retryAfterMs, cause } = error
  return new SignalboxError(error.code, message, {
    status,
    retryable,
    cause,
    details: { ...error.details, cid },
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

function notConnected(name: string, last: SignalboxError | undefined): SignalboxError {
  const why = last ? `: ${last.message}` : ''
  return new SignalboxError('SIGNALBOX_NOT_CONNECTED', `channel ${name} is not connected${why}`)
}

/** What let a message in is nobody else's business. */
function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  const { authorization: _, 'x-api-key': __, ...others } = headers
  return others
}

async function admitted(
  admission: Promise<Identity>,
  cid: string,
  message: Inbound,
  audit: Auditor,
): Promise<Identity> {
  const startedAt = performance.now()
  try {
    return await admission
  } catch (thrown) {
    const error = toSignalboxError(thrown, 'SIGNALBOX_UNAUTHENTICATED')
    if (recorder) audit(message, { cid, startedAt, error: error.code, status: error.status })
    throw withCid(error, cid)
  }
}

/** How a message ended, for the audit log. */
type Auditor = (
  message: Inbound,
  end: Pick<Step, 'cid' | 'startedAt' | 'endMs' | 'error' | 'status' | 'bytesOut'>,
) => void

function auditor(transport: string, name: string): Auditor {
  const address = `channel/${transport}/${name}`
  return (
    { target, headers, payload, bytes, attributes },
    { cid, startedAt, endMs, error, status, bytesOut },
  ) => {
    recorder?.record({
      kind: 'channel',
      cid,
      address,
      to: target,
      operation: textOf(attributes.method),
      detail: textOf(attributes.path),
      startedAt,
      endMs,
      error,
      status,
      bytesIn: bytes,
      bytesOut,
      headers,
      payload,
      attributes,
    })
  }
}

function textOf(attribute: unknown): string | undefined {
  return typeof attribute === 'string' ? attribute : undefined
}

/** Bytes of an answer, where it is bytes already. */
function sizeOf(payload: unknown): number | undefined {
  return payload instanceof Uint8Array ? payload.length : undefined
}
