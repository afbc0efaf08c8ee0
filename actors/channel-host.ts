/** The actor of a channel: it keeps the endpoint open and hands what comes in to services. */
import type { ActorSpec, ActorSystem, AskOptions } from '../core/actor/index.ts'
import { type IdSource, idSource } from '../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Origin } from '../core/service/invocation.ts'
import { meterOf } from '../core/telemetry/meters.ts'
import { observer } from '../core/telemetry/observe.ts'
import { joinTrace } from '../core/telemetry/trace-context.ts'
import type { Channel, Inbound, Outbound, Transport, TransportContext } from '../core/transport.ts'
import { Endpoint } from './endpoint.ts'

export interface ChannelActor {
  spec: ActorSpec
  /** Resolves when the channel is open for the first time. */
  opened(): Promise<void>
  /** Takes no more messages and resolves when those in flight are settled. */
  drain(handover: boolean): Promise<void>
}

const makeCid: IdSource = idSource()
const DEFAULT_TIMEOUT_MS = 30_000

/** Makes the actor of a channel; `options` are validated and have their defaults. */
export function channelActor(
  system: ActorSystem,
  transport: Transport,
  name: string,
  options: unknown,
): ChannelActor {
  const side = transport.channel
  if (!side) {
    throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', `transport ${transport.name} has no channels`)
  }
  const receive = receiver(system, transport.name, name)
  const endpoint = new Endpoint({
    name: `channel/${transport.name}/${name}`,
    create: (context: TransportContext) => opening(side.create(options as never, context), receive),
    log: system.log.child({ channel: name }),
    clock: system.clock,
    random: system.random,
  })
  let opened: Promise<void> | undefined
  const spec: ActorSpec = {
    behaviour: () => ({
      started: () => {
        opened = endpoint.open()
      },
      receive: () => endpoint.instance?.channel.ping() ?? Promise.reject(notConnected(name)),
      stopped: () => endpoint.close(),
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
    opened: () => opened ?? Promise.resolve(),
    drain: handover => endpoint.instance?.channel.drain(handover) ?? Promise.resolve(),
  }
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
): (message: Inbound) => Promise<Outbound> {
  const meter = meterOf('channel', name, transport)
  return async message => {
    if (message.target === undefined) {
      throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', `channel ${name} does not say who handles its messages`)
    }
    const cid = message.cid ?? makeCid()
    const startedAt = meter.begin()
    if (message.bytes !== undefined) meter.bytes += message.bytes
    const observation = observer?.channel(meter, message, cid)
    const origin: Origin = { channel: { transport, name, attributes: message.attributes } }
    const options: AskOptions = {
      cid,
      headers: message.headers,
      trace: observation ? observation.trace : joinTrace(message.traceparent, message.headers.tracestate),
      origin,
      timeoutMs: message.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      ...(message.bytes !== undefined && { bytes: message.bytes }),
    }
    // Asking for the signal makes one; a channel that knows its sender is there until it answers gives none.
    if ('signal' in message) options.signal = message.signal
    try {
      const { payload, head } = await system.request(message.target, message.payload, options)
      meter.end(startedAt)
      observation?.end({ status: head?.status, body: payload })
      return { payload, headers: head?.headers ?? {}, cid, ...(head?.status !== undefined && { status: head.status }) }
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      meter.end(startedAt, error.code)
      observation?.end({ error })
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

function notConnected(name: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_NOT_CONNECTED', `channel ${name} is not connected`)
}
