/**
 * Spans as cheap records, which another thread makes OpenTelemetry's of. What the spans of an actor have in common is
 * said once; a span itself has ids, times and a few values.
 *
 * One message makes one trace: `channel receive`, below it `service handle` for each service, below that `invoke`
 * for each call on a connection. Attributes follow OpenTelemetry's semantic conventions.
 */
import { performance } from 'node:perf_hooks'
import type { SignalboxError } from '../errors.ts'
import type { Inbound } from '../transport.ts'
import type { BusSpan, BusTracer } from './bus-tracer.ts'
import type { ConnectionCall } from './observe.ts'
import type { RootSampler } from './root-sampler.ts'
import {
  CLIENT,
  CONSUMER,
  connectionAttributes,
  destinationOf,
  INTERNAL,
  isHttp,
  optionalText,
  PRODUCER,
  SERVER,
  text,
} from './span-attributes.ts'
import type { SpanRecord, SpanTemplate, SpanValue } from './span-batch.ts'
import type { SpanOutbox } from './span-outbox.ts'
import { isSampled, partsOf } from './trace-context.ts'
import { newSpanId, newTraceId } from './trace-ids.ts'
import { UnsampledRoot } from './unsampled-root.ts'

/** The last two keys of every template. */
const OUTCOME = ['http.response.status_code', 'error.type'] as const
const HTTP_KEYS = [
  'signalbox.cid',
  'http.request.method',
  'url.path',
  'http.route',
  'client.address',
  'user_agent.original',
  ...OUTCOME,
]
const MESSAGING_KEYS = [
  'signalbox.cid',
  'messaging.message.conversation_id',
  'messaging.destination.name',
  'messaging.message.body.size',
  ...OUTCOME,
]
const PLAIN_KEYS = ['signalbox.cid', ...OUTCOME]
/** Kinds of spans that are told apart. Names are bounded by what is configured; endpoints change now and then. */
const MAX_TEMPLATES = 10_000

export class RecordTracer implements BusTracer {
  readonly #outbox: SpanOutbox
  readonly #sampler: RootSampler
  readonly #templates = new Map<string, SpanTemplate>()

  constructor(outbox: SpanOutbox, sampler: RootSampler) {
    this.#outbox = outbox
    this.#sampler = sampler
  }

  channel(
    name: string,
    transport: string,
    message: Inbound,
    cid: string,
    trace: string | undefined,
    startMs = 0,
  ) {
    const parent = this.#decide(trace)
    if (typeof parent !== 'string') return parent
    const http = isHttp(message)
    const template = this.#template(`${http ? 'h' : 'm'} ${transport} ${name}`, () => ({
      name: `channel receive ${name}`,
      kind: http ? SERVER : CONSUMER,
      attributes: {
        'signalbox.channel': name,
        'signalbox.transport': transport,
        ...(!http && {
          'messaging.system': transport,
          'messaging.operation.name': 'receive',
          'messaging.operation.type': 'process',
        }),
      },
      keys: http ? HTTP_KEYS : MESSAGING_KEYS,
    }))
    const values = http ? httpValues(message, cid) : messagingValues(message, cid, name)
    return new RecordedSpan(this.#outbox, template, parent, values, startMs)
  }

  service(name: string, about: { readonly cid: string }, trace: string | undefined, startMs = 0) {
    const parent = this.#decide(trace)
    if (typeof parent !== 'string') return parent
    const template = this.#template(name, () => ({
      name: `service handle ${name}`,
      kind: INTERNAL,
      attributes: { 'rpc.system': 'signalbox', 'rpc.service': name, 'rpc.method': 'handle' },
      keys: PLAIN_KEYS,
    }))
    return new RecordedSpan(this.#outbox, template, parent, [about.cid], startMs)
  }

  connection(name: string, transport: string, call: ConnectionCall) {
    const parent = this.#decide(call.trace)
    if (typeof parent !== 'string') return parent
    const { operation, kind, endpoint } = call
    const template = this.#template(`c ${transport} ${operation} ${kind} ${name} ${endpoint}`, () => ({
      name: `invoke ${name}`,
      kind: kind === 'client' ? CLIENT : PRODUCER,
      attributes: connectionAttributes(name, transport, operation, kind, endpoint),
      keys: PLAIN_KEYS,
    }))
    return new RecordedSpan(this.#outbox, template, parent, [call.cid], 0)
  }

  /** The trace that a span is to go on with, '' for a new one; or that there is to be no span. */
  #decide(trace: string | undefined): string | UnsampledRoot | undefined {
    if (trace === undefined) return this.#sampler.decide() ? '' : new UnsampledRoot()
    return isSampled(trace) ? trace : undefined
  }

  #template(key: string, make: () => Omit<SpanTemplate, 'id'>): SpanTemplate {
    let template = this.#templates.get(key)
    if (template === undefined) {
      if (this.#templates.size >= MAX_TEMPLATES) this.#templates.clear()
      template = this.#outbox.define(make())
      this.#templates.set(key, template)
    }
    return template
  }
}

class RecordedSpan implements BusSpan, SpanRecord {
  readonly template: SpanTemplate
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly state: string
  readonly startMs: number
  readonly values: SpanValue[]
  readonly #outbox: SpanOutbox
  endMs = 0
  failure: string | undefined = undefined

  constructor(
    outbox: SpanOutbox,
    template: SpanTemplate,
    trace: string,
    values: SpanValue[],
    startMs: number,
  ) {
    this.#outbox = outbox
    this.template = template
    this.spanId = newSpanId()
    if (trace === '') {
      this.traceId = newTraceId()
      this.parentId = ''
      this.state = ''
    } else {
      const { traceId, spanId, state } = partsOf(trace)
      this.traceId = traceId
      this.parentId = spanId
      this.state = state
    }
    this.startMs = startMs === 0 ? performance.now() : startMs
    this.values = values
  }

  get trace(): string {
    const head = `00-${this.traceId}-${this.spanId}-01`
    return this.state === '' ? head : `${head} ${this.state}`
  }

  end(error: SignalboxError | undefined, status: number | undefined, endMs = 0): void {
    this.endMs = endMs === 0 ? performance.now() : endMs
    const { kind } = this.template
    const code = error?.status ?? status ?? 200
    const http = kind === SERVER || (kind === CLIENT && status !== undefined)
    this.values.push(http ? code : undefined, error?.code)
    // A request that was refused is no failure of the server (semantic conventions for HTTP).
    if (error !== undefined && (kind !== SERVER || code >= 500)) this.failure = text(error.message)
    this.#outbox.add(this)
  }
}

function httpValues({ attributes, headers }: Inbound, cid: string): SpanValue[] {
  const { method, path, route, remoteAddress } = attributes
  return [
    text(cid),
    text(method),
    optionalText(path),
    optionalText(route),
    optionalText(remoteAddress),
    optionalText(headers['user-agent']),
  ]
}

function messagingValues(message: Inbound, cid: string, channel: string): SpanValue[] {
  return [text(cid), text(cid), destinationOf(message, channel), message.bytes]
}
