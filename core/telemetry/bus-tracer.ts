/** What the hooks know of a tracer, so that OpenTelemetry is loaded only where traces are switched on. */
import type { SignalboxError } from '../errors.ts'
import type { Inbound } from '../transport.ts'
import type { ConnectionCall } from './observe.ts'

/** A span under way. */
export interface BusSpan {
  /** The trace context of what follows from it. */
  readonly trace: string
  /** Runs `handle` with this span as the active one of OpenTelemetry; absent where that is not switched on. */
  readonly within?: (<T>(handle: () => T) => T) | undefined
  /** `endMs`: the time by `performance.now()`, where it is known already. */
  end(error: SignalboxError | undefined, status: number | undefined, endMs?: number): void
}

/**
 * Begins spans. Undefined: the message belongs to a trace that is not sampled. `startMs`: when it began by
 * `performance.now()`, where that is known already.
 */
export interface BusTracer {
  channel(
    name: string,
    transport: string,
    message: Inbound,
    cid: string,
    trace: string | undefined,
    startMs?: number,
  ): BusSpan | undefined
  /** The cid is asked for only when there is a span. */
  service(
    name: string,
    about: { readonly cid: string },
    trace: string | undefined,
    startMs?: number,
  ): BusSpan | undefined
  connection(name: string, transport: string, call: ConnectionCall): BusSpan | undefined
}
