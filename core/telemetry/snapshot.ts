/** What one thread knows of itself for metrics, as plain data. */
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import v8 from 'node:v8'
import { baseOf } from '../actor/address.ts'
import type { ActorSystem } from '../actor/system.ts'
import { type RecorderCounts, recorder } from '../audit/recorder.ts'
import { type MeterSnapshot, meterSnapshots } from './meters.ts'
import type { TraceCounts } from './root-sampler.ts'
import type { SpanCounts } from './span-outbox.ts'

export interface ActorSnapshot {
  /** Address without key; actors that share it are counted together. */
  address: string
  actors: number
  queued: number
  waiting: number
  busy: number
  handled: number
  dropped: number
  restarts: number
}

export interface RuntimeSnapshot {
  loopDelayMs: { mean: number; p99: number; max: number }
  /** Share of time that the event loop was busy in the window. */
  utilization: number
  activeSeconds: number
  idleSeconds: number
  /** How long the window is that delay and utilisation are measured over. */
  windowMs: number
  heapUsedBytes: number
  heapLimitBytes: number
  externalBytes: number
}

/** Of a thread that traces. */
export interface TraceSnapshot {
  roots: TraceCounts
  /** Undefined where the SDK of OpenTelemetry has them. */
  spans: SpanCounts | undefined
}

/** Of the node itself. */
export interface NodeSnapshot {
  replaced: number
  workers: Record<string, number>
  peers: number
  residentBytes: number
  cpuSeconds: number
  startedAt: number
}

export interface MetricsSnapshot {
  node: string
  /** Slot of the worker, or `host` for the node's main thread. */
  worker: string
  /** Milliseconds since the epoch. */
  at: number
  /** When the thread started: counters begin at 0 there. */
  startedAt: number
  meters: MeterSnapshot[]
  actors: ActorSnapshot[]
  deadLetters: number | undefined
  /** What the thread has recorded for the audit log; undefined where it records nothing. */
  audit: RecorderCounts | undefined
  traces: TraceSnapshot | undefined
  runtime: RuntimeSnapshot
  host: NodeSnapshot | undefined
}

/** Addresses that are told apart; more are counted together as `other`. */
const MAX_ADDRESSES = 2_000
const WINDOW_MS = 10_000
const RESOLUTION_MS = 20

/** Watches the event loop of this thread from the first look on. */
class RuntimeWatch {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #since: EventLoopUtilization = performance.eventLoopUtilization()
  #begin = performance.now()

  constructor() {
    this.#delay.enable()
  }

  look(): RuntimeSnapshot {
    const now = performance.now()
    const total = performance.eventLoopUtilization()
    const heap = v8.getHeapStatistics()
    const windowMs = now - this.#begin
    const snapshot = {
      loopDelayMs: this.#delays(),
      utilization: performance.eventLoopUtilization(total, this.#since).utilization,
      activeSeconds: total.active / 1000,
      idleSeconds: total.idle / 1000,
      windowMs,
      heapUsedBytes: heap.used_heap_size,
      heapLimitBytes: heap.heap_size_limit,
      externalBytes: heap.external_memory,
    }
    // Several may look: none takes the window away from another that looks a moment later.
    if (windowMs >= WINDOW_MS) {
      this.#delay.reset()
      this.#since = total
      this.#begin = now
    }
    return snapshot
  }

  /** The timer behind it counts its own interval as delay. */
  #delays(): RuntimeSnapshot['loopDelayMs'] {
    if (this.#delay.count === 0) return { mean: 0, p99: 0, max: 0 }
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
    return { mean: late(this.#delay.mean), p99: late(this.#delay.percentile(99)), max: late(this.#delay.max) }
  }
}

let runtime: RuntimeWatch | undefined

/** The snapshot of this thread. The event loop is watched from the first one on. */
export function takeSnapshot(
  node: string,
  worker: string,
  system?: ActorSystem,
  traces?: TraceSnapshot,
): MetricsSnapshot {
  runtime ??= new RuntimeWatch()
  return {
    node,
    worker,
    at: Date.now(),
    startedAt: performance.timeOrigin,
    meters: meterSnapshots(),
    actors: system ? actorsOf(system) : [],
    deadLetters: system?.deadLetters,
    audit: recorder?.counts(),
    traces,
    runtime: runtime.look(),
    host: undefined,
  }
}

function actorsOf(system: ActorSystem): ActorSnapshot[] {
  const byAddress = new Map<string, ActorSnapshot>()
  for (const actor of system.inspect() as Record<string, number | string | undefined>[]) {
    const base = baseOf(String(actor.address))
    const address = byAddress.has(base) || byAddress.size < MAX_ADDRESSES ? base : 'other'
    let sum = byAddress.get(address)
    if (!sum) {
      sum = { address, actors: 0, queued: 0, waiting: 0, busy: 0, handled: 0, dropped: 0, restarts: 0 }
      byAddress.set(address, sum)
    }
    sum.actors++
    for (const key of COUNTED) sum[key] += Number(actor[key] ?? 0)
  }
  return [...byAddress.values()]
}

const COUNTED = ['queued', 'waiting', 'busy', 'handled', 'dropped', 'restarts'] as const
