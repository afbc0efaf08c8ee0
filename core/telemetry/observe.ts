/**
 * The switch of tracing and tailing. While nobody looks, `observer` is undefined and a message costs one test of
 * it; nothing is allocated. The hooks are in the channel host, the service runner and the connection host.
 */
import type { MessageContext } from '../actor/envelope.ts'
import type { SignalboxError } from '../errors.ts'
import type { Origin } from '../service/invocation.ts'
import type { Inbound } from '../transport.ts'
import type { BusSpan, BusTracer } from './bus-tracer.ts'
import type { Meter } from './meters.ts'
import { type TailEvent, TailHub } from './tail.ts'
import { joinTrace } from './trace-context.ts'
import { UnsampledRoot } from './unsampled-root.ts'

/** How an observed message ended. */
export interface Outcome {
  error?: SignalboxError | undefined
  /** Status in HTTP terms. */
  status?: number | undefined
  bytes?: number | undefined
  body?: unknown
  /** When, by `performance.now()`, where that is known already. */
  endMs?: number | undefined
}

/** A call on a connection. */
export interface ConnectionCall {
  cid: string | undefined
  trace: string | undefined
  operation: string
  kind: 'client' | 'producer'
  endpoint: string
  options: Record<string, unknown> | undefined
}

/**
 * What the hooks see of whoever looks. `startMs` is the time by `performance.now()`, 0 where it is not known.
 * Undefined: nobody looks at this message; what follows belongs to the trace that it came with.
 */
export interface Observer {
  channel(meter: Meter, message: Inbound, cid: string, startMs: number): Observation | undefined
  service(
    meter: Meter,
    context: MessageContext,
    about: { readonly cid: string },
    startMs: number,
  ): Observation | undefined
  connection(meter: Meter, call: ConnectionCall): Observation
  /** A step of a route; undefined where nothing is traced. */
  step(name: string, trace: string | undefined, cid: string): Observation | undefined
}

/** Undefined while nothing is traced and nobody tails. */
export let observer: Observer | undefined

/** The listeners of this thread. */
export const tailHub = new TailHub(() => refresh())
let tracer: BusTracer | undefined

/** Turns tracing on or off. */
export function setTracer(next: BusTracer | undefined): void {
  tracer = next
  refresh()
}

function refresh(): void {
  observer = tracer !== undefined || tailHub.listening ? busObserver : undefined
}

type Subject = Pick<TailEvent, 'kind' | 'cid' | 'from' | 'to'>

/** One message under observation. */
export interface Observation {
  /** The trace that what follows from this message belongs to. Made when it is asked for. */
  readonly trace: string | undefined
  /** Whether the span is to be the active one of OpenTelemetry: then the service runs {@link within} it. */
  readonly active: boolean
  within<T>(handle: () => T): T
  end(outcome: Outcome): void
}

class Observed implements Observation {
  readonly #trace: string | undefined
  readonly #span: BusSpan | undefined
  /** For those who tail; undefined when nobody did as it began. */
  readonly #subject: Subject | undefined
  readonly #startedAt: number

  constructor(trace: string | undefined, span: BusSpan | undefined, subject: Subject | undefined) {
    this.#trace = trace
    this.#span = span
    this.#subject = subject
    this.#startedAt = subject === undefined ? 0 : performance.now()
  }

  get trace(): string | undefined {
    return this.#span === undefined ? this.#trace : this.#span.trace
  }

  get active(): boolean {
    return this.#span?.within !== undefined
  }

  within<T>(handle: () => T): T {
    return this.#span?.within === undefined ? handle() : this.#span.within(handle)
  }

  end(outcome: Outcome): void {
    this.#span?.end(outcome.error, outcome.status, outcome.endMs)
    if (this.#subject !== undefined && tailHub.listening) this.#told(this.#subject, outcome)
  }

  #told(subject: Subject, outcome: Outcome): void {
    const outcomeCode = outcome.error?.code ?? 'ok'
    const durationMs = performance.now() - this.#startedAt
    const { bytes, body } = outcome
    tailHub.emit(
      {
        ...subject,
        event: endOf(subject.kind, outcome),
        at: Date.now(),
        outcome: outcomeCode,
        durationMs,
        bytes,
      },
      body,
    )
  }
}

function endOf(kind: TailEvent['kind'], { error }: Outcome): TailEvent['event'] {
  if (kind === 'channel') return 'answered'
  if (kind === 'connection') return 'sent'
  return error === undefined ? 'handled' : 'failed'
}

/** Routes are measured as services are, under their whole address. */
function addressOf(name: string): string {
  return name.includes('/') ? name : `service/${name}`
}

const busObserver: Observer = {
  channel(meter, message, cid, startMs) {
    const trace = joinTrace(message.traceparent, message.headers.tracestate)
    const span = tracer?.channel(meter.name, meter.transport!, message, cid, trace, startMs)
    if (tailHub.listening) return new Observed(trace, span, received(meter, message, cid))
    return observed(trace, span)
  },
  service(meter, context, about, startMs) {
    const span = tracer?.service(meter.name, about, context.trace, startMs)
    if (tailHub.listening) return new Observed(context.trace, span, handling(meter, context, about.cid))
    return observed(context.trace, span)
  },
  connection(meter, call) {
    const span = tracer?.connection(meter.name, meter.transport!, call)
    const to = `connection/${meter.transport}/${meter.name}`
    const subject: Subject = { kind: 'connection', cid: call.cid, from: undefined, to }
    return new Observed(call.trace, span, tailHub.listening ? subject : undefined)
  },
  step: (name, trace, cid) =>
    tracer && observed(trace, tracer.service(name, { cid }, trace, performance.now())),
}

/** While nobody tails: the span is all there is to observe, and a trace that is not kept has none to end. */
function observed(trace: string | undefined, span: BusSpan | undefined): Observation | undefined {
  if (span instanceof UnsampledRoot) return span
  return span && new Observed(trace, span, undefined)
}

/** Tells those who tail that a message came in. */
function received(meter: Meter, message: Inbound, cid: string): Subject {
  const from = `channel/${meter.transport}/${meter.name}`
  const subject: Subject = { kind: 'channel', cid, from, to: message.target }
  tailHub.emit(
    {
      ...subject,
      event: 'received',
      at: Date.now(),
      outcome: undefined,
      durationMs: undefined,
      bytes: message.bytes,
    },
    message.payload,
  )
  return subject
}

/** What hands messages to services inside of the bus, by the name of its transport. */
const INSIDE: Readonly<Record<string, string>> = {
  queue: 'queue',
  topic: 'subscription',
  schedule: 'schedule',
}

function handling(meter: Meter, context: MessageContext, cid: string): Subject {
  const channel = (context.origin as Origin | undefined)?.channel
  const from = channel && `${INSIDE[channel.transport] ?? `channel/${channel.transport}`}/${channel.name}`
  return { kind: 'service', cid, from, to: addressOf(meter.name) }
}
