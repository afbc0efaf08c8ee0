/**
 * Spans of the bus, made with OpenTelemetry's SDK in the same thread: where other instrumentation is to see them, or the
 * environment asks for what only the SDK can do (see `options.ts`). Context is handed on with the message (`context.trace`), not through AsyncLocalStorage.
 *
 * One message makes one trace: `channel receive`, below it `service handle` for each service, below that `invoke`
 * for each call on a connection. Attributes follow OpenTelemetry's semantic conventions.
 */
import {
  type Attributes,
  context as activeContext,
  trace as api,
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from '@opentelemetry/api'
import type { SignalboxError } from '../errors.ts'
import type { Inbound } from '../transport.ts'
import type { BusSpan, BusTracer } from './bus-tracer.ts'
import type { ConnectionCall } from './observe.ts'
import type { RootSampler } from './root-sampler.ts'
import { connectionAttributes, destinationOf, isHttp, text } from './span-attributes.ts'
import { splitTrace } from './trace-context.ts'
import { UnsampledRoot } from './unsampled-root.ts'

const SAMPLED = 1

export interface TracerSettings {
  /** Decides on traces that begin here. */
  sampler: RootSampler
  /** The sampler of the SDK decides on what came in, too. */
  sdkSampler: boolean
  /** Makes the span of a service the active one while it runs, for other instrumentation. */
  activeSpan: boolean
}

export class OpenTelemetryTracer implements BusTracer {
  readonly #tracer: Tracer
  readonly #settings: TracerSettings

  constructor(tracer: Tracer, settings: TracerSettings) {
    this.#tracer = tracer
    this.#settings = settings
  }

  channel(name: string, transport: string, message: Inbound, cid: string, trace: string | undefined) {
    const parent = this.#parentOf(trace)
    if (parent === undefined) return this.#unsampled(trace)
    const http = isHttp(message)
    const attributes = http ? httpServer(message) : messagingConsumer(name, transport, message, cid)
    attributes['signalbox.channel'] = name
    attributes['signalbox.transport'] = transport
    attributes['signalbox.cid'] = cid
    return this.#start(
      `channel receive ${name}`,
      http ? SpanKind.SERVER : SpanKind.CONSUMER,
      attributes,
      parent,
    )
  }

  service(name: string, about: { readonly cid: string }, trace: string | undefined) {
    const parent = this.#parentOf(trace)
    if (parent === undefined) return this.#unsampled(trace)
    const attributes = {
      'rpc.system': 'signalbox',
      'rpc.service': name,
      'rpc.method': 'handle',
      'signalbox.cid': about.cid,
    }
    return this.#start(`service handle ${name}`, SpanKind.INTERNAL, attributes, parent)
  }

  connection(name: string, transport: string, call: ConnectionCall) {
    const parent = this.#parentOf(call.trace)
    if (parent === undefined) return this.#unsampled(call.trace)
    const attributes: Attributes = {
      ...connectionAttributes(name, transport, call.operation, call.kind, call.endpoint),
      ...(call.cid !== undefined && { 'signalbox.cid': call.cid }),
    }
    const kind = call.kind === 'client' ? SpanKind.CLIENT : SpanKind.PRODUCER
    return this.#start(`invoke ${name}`, kind, attributes, parent)
  }

  /** The context to start a span in; undefined when there is to be none. */
  #parentOf(trace: string | undefined): Context | undefined {
    const { sampler, sdkSampler } = this.#settings
    const parts = splitTrace(trace)
    if (parts === undefined) return sampler.decide() ? ROOT_CONTEXT : undefined
    if (!sdkSampler && (parts.flags & SAMPLED) === 0) return undefined
    const parent: SpanContext = {
      traceId: parts.traceId,
      spanId: parts.spanId,
      traceFlags: parts.flags,
      isRemote: true,
      ...(parts.state !== undefined && { traceState: createTraceState(parts.state) }),
    }
    return api.setSpanContext(ROOT_CONTEXT, parent)
  }

  /** A trace that begins here and is not kept says so to what follows; one that came in goes on as it is. */
  #unsampled(trace: string | undefined): BusSpan | undefined {
    return splitTrace(trace) === undefined ? new UnsampledRoot() : undefined
  }

  #start(name: string, kind: SpanKind, attributes: Attributes, parent: Context): BusSpan {
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent)
    return new SampledSpan(span, kind, this.#settings.activeSpan)
  }
}

class SampledSpan implements BusSpan {
  readonly #span: Span
  readonly #kind: SpanKind
  readonly within: BusSpan['within']

  constructor(span: Span, kind: SpanKind, activeSpan: boolean) {
    this.#span = span
    this.#kind = kind
    this.within = activeSpan
      ? handle => activeContext.with(api.setSpan(ROOT_CONTEXT, span), handle)
      : undefined
  }

  get trace(): string {
    const { traceId, spanId, traceFlags, traceState } = this.#span.spanContext()
    const head = `00-${traceId}-${spanId}-0${traceFlags & SAMPLED}`
    return traceState === undefined ? head : `${head} ${traceState.serialize()}`
  }

  end(error: SignalboxError | undefined, status: number | undefined): void {
    const span = this.#span
    const http = this.#kind === SpanKind.SERVER || (this.#kind === SpanKind.CLIENT && status !== undefined)
    const code = error?.status ?? status ?? 200
    if (http) span.setAttribute('http.response.status_code', code)
    if (error !== undefined) {
      span.setAttribute('error.type', error.code)
      // A request that was refused is no failure of the server (semantic conventions for HTTP).
      const failed = this.#kind !== SpanKind.SERVER || code >= 500
      if (failed) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
    }
    span.end()
  }
}

function httpServer({ attributes, headers }: Inbound): Attributes {
  const { method, path, route, remoteAddress } = attributes
  return {
    'http.request.method': text(method),
    ...(path !== undefined && { 'url.path': text(path) }),
    ...(route !== undefined && { 'http.route': text(route) }),
    ...(remoteAddress !== undefined && { 'client.address': text(remoteAddress) }),
    ...(headers['user-agent'] !== undefined && { 'user_agent.original': text(headers['user-agent']) }),
  }
}

function messagingConsumer(name: string, transport: string, message: Inbound, cid: string): Attributes {
  return {
    'messaging.system': transport,
    'messaging.operation.name': 'receive',
    'messaging.operation.type': 'process',
    'messaging.destination.name': destinationOf(message, name),
    'messaging.message.conversation_id': cid,
    ...(message.bytes !== undefined && { 'messaging.message.body.size': message.bytes }),
  }
}
