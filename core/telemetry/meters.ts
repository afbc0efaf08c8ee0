/** What this thread counts: messages, failures and latencies of each channel, service and connection. */
import { performance } from 'node:perf_hooks'
import { Histogram, type HistogramSnapshot } from './histogram.ts'

export type MeterKind = 'channel' | 'service' | 'connection' | 'consumer'

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
  /** Messages that were settled without an error. */
  ok: number
  /** Failures by error code. */
  failed: Record<string, number>
  active: number
  bytes: number
  latency: HistogramSnapshot | undefined
  /** Whether more than failures is counted. Of services only where somebody has asked for it. */
  measured: boolean
}

/** Whether services are measured. Their failures are always counted; so is all of channels and connections. */
export let measuring = false

/** Turns the measuring of services on or off: it costs more than a hundredth of a call within a worker. */
export function measureServices(on: boolean): void {
  measuring = on
}

export class Meter {
  readonly kind: MeterKind
  readonly name: string
  readonly transport: string | undefined
  ok = 0
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

  /** A message begins. Returns the time for {@link end}, never 0: that stands for one that is not measured. */
  begin(): number {
    this.active++
    return performance.now()
  }

  /** A message is settled; `code` is that of the error it failed with. Returns the time, as {@link begin}. */
  end(startedAt: number, code?: string): number {
    const now = performance.now()
    this.active--
    this.#latency ??= new Histogram()
    this.#latency.record(now - startedAt)
    if (code === undefined) this.ok++
    else this.fail(code)
    return now
  }

  /** Counts a failure, also of a message that is not measured. */
  fail(code: string): void {
    this.failures++
    this.#codes ??= new Map()
    const known = this.#codes.has(code) || this.#codes.size < MAX_CODES ? code : OTHER
    this.#codes.set(known, (this.#codes.get(known) ?? 0) + 1)
  }

  /** What `ps` shows of it. */
  inspect(): Record<string, unknown> {
    return {
      failed: this.failures,
      ...(this.#latency && {
        ok: this.ok,
        p50Ms: this.#latency.percentile(0.5),
        p99Ms: this.#latency.percentile(0.99),
        maxMs: this.#latency.maxMs,
      }),
    }
  }

  snapshot(): MeterSnapshot {
    const { kind, name, transport, ok, active, bytes } = this
    const failed = Object.fromEntries(this.#codes ?? [])
    const measured = kind !== 'service' || measuring || this.#latency !== undefined
    return { kind, name, transport, ok, failed, active, bytes, latency: this.#latency?.snapshot(), measured }
  }
}

const meters: Record<MeterKind, Map<string, Meter>> = {
  channel: new Map(),
  service: new Map(),
  connection: new Map(),
  consumer: new Map(),
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
