/** What this thread counts: messages, failures and latencies of each channel, service and connection. */
import { performance } from 'node:perf_hooks'
import { Histogram, type HistogramSnapshot } from './histogram.ts'

export type MeterKind = 'channel' | 'service' | 'connection'

/** Names of one kind that are told apart; later ones are counted together as `other`. */
const MAX_NAMES = 2_000
/** Error codes that are told apart for each name. */
const MAX_CODES = 64
const OTHER = 'other'

/** Plain data of a meter. */
export interface MeterSnapshot {
  kind: MeterKind
  name: string
  transport: string | undefined
  /** Messages that were settled, failed ones included. */
  settled: number
  /** Failures by error code. */
  failed: Record<string, number>
  active: number
  bytes: number
  latency: HistogramSnapshot | undefined
}

/** Latencies of services are measured; those of channels and connections always are. */
let timing = false

/** Turns the latencies of services on or off: reading the clock twice costs what a short call does. */
export function measureServices(on: boolean): void {
  timing = on
}

export class Meter {
  readonly kind: MeterKind
  readonly name: string
  readonly transport: string | undefined
  settled = 0
  failures = 0
  active = 0
  bytes = 0
  #codes: Map<string, number> | undefined
  #latency: Histogram | undefined

  constructor(kind: MeterKind, name: string, transport: string | undefined) {
    this.kind = kind
    this.name = name
    this.transport = transport
  }

  /** A message begins. Returns the time for {@link end}; 0 where latencies are not measured. */
  begin(): number {
    this.active++
    return timing || this.kind !== 'service' ? performance.now() : 0
  }

  /** A message is settled; `code` is that of the error it failed with. */
  end(startedAt: number, code?: string): void {
    this.active--
    this.settled++
    if (startedAt !== 0) {
      this.#latency ??= new Histogram()
      this.#latency.record(performance.now() - startedAt)
    }
    if (code !== undefined) this.#fail(code)
  }

  /** What `ps` shows of it. */
  inspect(): Record<string, unknown> {
    return {
      settled: this.settled,
      failed: this.failures,
      ...(this.#latency && {
        p50Ms: this.#latency.percentile(0.5),
        p99Ms: this.#latency.percentile(0.99),
        maxMs: this.#latency.maxMs,
      }),
    }
  }

  snapshot(): MeterSnapshot {
    const { kind, name, transport, settled, active, bytes } = this
    const failed = Object.fromEntries(this.#codes ?? [])
    return { kind, name, transport, settled, failed, active, bytes, latency: this.#latency?.snapshot() }
  }

  #fail(code: string): void {
    this.failures++
    this.#codes ??= new Map()
    const known = this.#codes.has(code) || this.#codes.size < MAX_CODES ? code : OTHER
    this.#codes.set(known, (this.#codes.get(known) ?? 0) + 1)
  }
}

const meters: Record<MeterKind, Map<string, Meter>> = {
  channel: new Map(),
  service: new Map(),
  connection: new Map(),
}

/** The meter of this name in this thread; the same one for the same name, so that a restart goes on counting. */
export function meterOf(kind: MeterKind, name: string, transport?: string): Meter {
  const named = meters[kind]
  const known = named.size < MAX_NAMES || named.has(name) ? name : OTHER
  let meter = named.get(known)
  if (meter === undefined) {
    meter = new Meter(kind, known, transport)
    named.set(known, meter)
  }
  return meter
}

/** Plain data on all meters of this thread that were used. */
export function meterSnapshots(): MeterSnapshot[] {
  return Object.values(meters).flatMap(named => Array.from(named.values(), meter => meter.snapshot()))
}
