/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/) as it travels on the bus: one string, the `traceparent`
 * and, after a space, the `tracestate` where there is one.
 */

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
/** A member is `key=value`; what else is wrong with the list is the next system's matter, but no control character. */
const TRACESTATE = /^[\x20-\x7e\t]{3,512}$/
const PARENT_LENGTH = 55

/** The trace a message from outside belongs to; undefined when what it says is no trace context. */
export function joinTrace(traceparent: unknown, tracestate: unknown): string | undefined {
  if (typeof traceparent !== 'string') return undefined
  // Later versions may have more at the end; what is known stays where it is.
  const head = traceparent.startsWith('00-') ? traceparent : traceparent.slice(0, PARENT_LENGTH)
  if (!TRACEPARENT.test(head)) return undefined
  const known = `00${head.slice(2)}`
  if (typeof tracestate !== 'string' || !TRACESTATE.test(tracestate)) return known
  return `${known} ${tracestate}`
}

/** Headers for a message that leaves the bus; undefined when it belongs to no trace. */
export function traceHeaders(trace: string | undefined): Record<string, string> | undefined {
  if (trace === undefined) return undefined
  const traceparent = trace.slice(0, PARENT_LENGTH)
  if (!TRACEPARENT.test(traceparent)) return undefined
  const tracestate = trace.slice(PARENT_LENGTH + 1)
  return TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent }
}

/** The parts of a trace of the bus; undefined when it is none. */
export function splitTrace(
  trace: string | undefined,
): { traceId: string; spanId: string; flags: number; state: string | undefined } | undefined {
  if (trace === undefined || !TRACEPARENT.test(trace.slice(0, PARENT_LENGTH))) return undefined
  return {
    traceId: trace.slice(3, 35),
    spanId: trace.slice(36, 52),
    flags: Number.parseInt(trace.slice(53, PARENT_LENGTH), 16),
    state: trace.length > PARENT_LENGTH + 1 ? trace.slice(PARENT_LENGTH + 1) : undefined,
  }
}

/** The flag that says the trace is kept, of a trace of the bus. Cheap: it is asked for every message. */
export function isSampled(trace: string): boolean {
  if (trace.length < PARENT_LENGTH) return false
  const digit = trace.charCodeAt(PARENT_LENGTH - 1)
  // 0 to 9, or a to f, whose codes are odd where the digits are even.
  return digit <= 57 ? (digit & 1) === 1 : (digit & 1) === 0
}

/** The parts of a trace of the bus that {@link isSampled}, without a look at the digits: they were looked at when it came in. */
export function partsOf(trace: string): { traceId: string; spanId: string; state: string } {
  return { traceId: trace.slice(3, 35), spanId: trace.slice(36, 52), state: trace.slice(PARENT_LENGTH + 1) }
}
