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

/** How an observed message ended. */
export interface Outcome {
  error?: SignalboxError | undefined
  /** Status in HTTP terms. */
  status?: number | undefined
  bytes?: number | undefined
  body?: unknown
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

/** What the hooks see of whoever looks. */
export interface Observer {
  channel(meter: Meter, message: Inbound, cid: string): Observation
  service(meter: Meter, context: MessageContext, cid: string): Observation
  connection(meter: Meter, call: ConnectionCall): Observation
  /** The span of a step of a route; undefined where nothing is traced. */
  step(name: string, trace: string | undefined, cid: string): BusSpan | undefined
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
export class Observation {
  readonly #trace: string | undefined
  readonly #span: BusSpan | undefined
  readonly #subject: Subject
  readonly #startedAt = performance.now()

  constructor(trace: string | undefined, span: BusSpan | undefined, subject: Subject) {
    this.#trace = trace
    this.#span = span
    this.#subject = subject
  }

  /** The trace that what follows from this message belongs to. Made when it is asked for. */
  get trace(): string | undefined {
    return this.#span === undefined ? this.#trace : this.#span.trace
  }

  /** Runs `handle` with the span as the active one of OpenTelemetry, where that is switched on. */
  within<T>(handle: () => T): T {
    return this.#span === undefined ? handle() : this.#span.within(handle)
  }

  end(outcome: Outcome): void {
    this.#span?.end(outcome.error, outcome.status)
    if (!tailHub.listening) return
    const outcomeCode = outcome.error?.code ?? 'ok'
    const durationMs = performance.now() - this.#startedAt
    const { bytes, body } = outcome
    tailHub.emit(
      {
        ...this.#subject,
        event: endOf(this.#subject.kind, outcome),
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
  channel(meter, message, cid) {
    const trace = joinTrace(message.traceparent, message.headers.tracestate)
    const span = tracer?.channel(meter.name, meter.transport!, message, cid, trace)
    const subject: Subject = {
      kind: 'channel',
      cid,
      from: `channel/${meter.transport}/${meter.name}`,
      to: message.target,
    }
    if (tailHub.listening) {
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
    }
    return new Observation(trace, span, subject)
  },
  service(meter, context, cid) {
    const span = tracer?.service(meter.name, cid, context.trace)
    const channel = (context.origin as Origin | undefined)?.channel
    const from = channel && `channel/${channel.transport}/${channel.name}`
    return new Observation(context.trace, span, { kind: 'service', cid, from, to: addressOf(meter.name) })
  },
  connection(meter, call) {
    const span = tracer?.connection(meter.name, meter.transport!, call)
    const to = `connection/${meter.transport}/${meter.name}`
    return new Observation(call.trace, span, { kind: 'connection', cid: call.cid, from: undefined, to })
  },
  step: (name, trace, cid) => tracer?.service(name, cid, trace),
}
