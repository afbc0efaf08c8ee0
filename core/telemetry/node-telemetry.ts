/** Telemetry of a node: gathers what its workers know, in the main thread. */
import { performance } from 'node:perf_hooks'
import { parseOptions } from '../schema.ts'
import type { Logger } from './log.ts'
import { setLogLevel } from './log.ts'
import type { TelemetrySettings } from './options.ts'
import { prometheusText } from './prometheus.ts'
import { type MetricsSnapshot, takeSnapshot } from './snapshot.ts'
import { type TailEvent, TailFilter } from './tail.ts'

/** A worker as telemetry needs it. */
export interface AskedWorker {
  readonly slot: number
  readonly place: string
  readonly state: string
  request(verb: string, payload: unknown): Promise<unknown>
}

/** What telemetry needs of its node. */
export interface TelemetryNode {
  readonly id: string
  workers(): readonly AskedWorker[]
  replaced(): number
  peers(): number
  readonly log: Logger
}

/** A stuck worker must not keep the others from being seen. */
const ANSWER_MS = 1_000
const TAIL_POLL_MS = 100

const UNMEASURED =
  '# Of services only failures are counted: that costs nothing. For messages that went well and durations put\n' +
  '# "telemetry: { metrics: { prometheus: true } }" into signalbox.yaml and start the node again.\n'

/** An event, with the slot of the worker that told of it. */
export type NodeTailEvent = TailEvent & { worker: number }

/** Events of all workers. */
export interface NodeTailBatch {
  events: NodeTailEvent[]
  /** Events that a full buffer, or a worker that was lost, has cost. */
  skipped: number
}

export class NodeTelemetry {
  readonly #node: TelemetryNode
  readonly #settings: TelemetrySettings | undefined
  #stopExport: (() => Promise<void>) | undefined

  constructor(node: TelemetryNode, settings: TelemetrySettings | undefined) {
    this.#node = node
    this.#settings = settings
  }

  /** Begins to export metrics, where that is switched on. */
  async start(): Promise<void> {
    if (!this.#settings?.otlpMetrics) return
    const { startMetricsExport } = await import('./open-telemetry.ts')
    const speaker = { node: this.#node.id, worker: 'host', log: this.#node.log }
    this.#stopExport = await startMetricsExport(this.#settings, speaker, () => this.snapshots())
  }

  /** Sends the last metrics. Call it while the workers still answer. Idempotent. */
  async stop(): Promise<void> {
    const stop = this.#stopExport
    this.#stopExport = undefined
    await stop?.()
  }

  /** Snapshots of the node itself and of the workers that answer within a second. */
  async snapshots(): Promise<MetricsSnapshot[]> {
    const answers = this.#running().map(worker => soon(worker.request('metrics', undefined)))
    const found = (await Promise.all(answers)).filter(answer => answer !== undefined)
    return [this.#host(), ...(found as MetricsSnapshot[])]
  }

  /**
   * The Prometheus text: everything that is counted anyway, made when it is asked for. Services are measured only
   * where `telemetry.metrics.prometheus` is on; without it their failures are there, and a comment that says so.
   */
  async prometheus(): Promise<string> {
    const text = prometheusText(await this.snapshots())
    return this.#settings?.measure ? text : UNMEASURED + text
  }

  /** Changes the log level of the node and its workers, now and for workers that start later. */
  async setLogLevel(level: string): Promise<void> {
    setLogLevel(level)
    if (this.#settings) this.#settings.logs.level = level
    await Promise.all(this.#running().map(worker => soon(worker.request('logLevel', level))))
  }

  /**
   * Live events of messages on all workers, workers that start meanwhile included, until the signal aborts.
   * Throws SIGNALBOX_OPTIONS_INVALID for a bad filter.
   */
  async *tail(filter: unknown, signal: AbortSignal): AsyncGenerator<NodeTailBatch> {
    const valid = parseOptions(TailFilter, filter, 'tail filter')
    const open = new Map<AskedWorker, number>()
    try {
      while (!signal.aborted) {
        const batch = await this.#poll(valid, open)
        if (batch.events.length > 0 || batch.skipped > 0) yield batch
        else await pause(TAIL_POLL_MS, signal)
      }
    } finally {
      for (const [worker, id] of open) void soon(worker.request('tailClose', id))
    }
  }

  async #poll(filter: unknown, open: Map<AskedWorker, number>): Promise<NodeTailBatch> {
    const running = this.#running()
    for (const worker of open.keys()) if (!running.includes(worker)) open.delete(worker)
    const batches = await Promise.all(running.map(worker => this.#pollOne(worker, filter, open)))
    const events = batches.flatMap(batch => batch?.events ?? []).sort((a, b) => a.at - b.at)
    return { events, skipped: batches.reduce((sum, batch) => sum + (batch?.skipped ?? 0), 0) }
  }

  async #pollOne(
    worker: AskedWorker,
    filter: unknown,
    open: Map<AskedWorker, number>,
  ): Promise<NodeTailBatch | undefined> {
    const id = open.get(worker)
    if (id !== undefined) {
      const batch = (await soon(worker.request('tailRead', id))) as NodeTailBatch | undefined
      if (batch === undefined) open.delete(worker)
      for (const event of batch?.events ?? []) event.worker = worker.slot
      return batch
    }
    const opened = (await soon(worker.request('tailOpen', filter))) as number | undefined
    if (opened !== undefined) open.set(worker, opened)
    return undefined
  }

  #running(): AskedWorker[] {
    return this.#node.workers().filter(({ state }) => state === 'ready' || state === 'draining')
  }

  #host(): MetricsSnapshot {
    const workers: Record<string, number> = { starting: 0, ready: 0, draining: 0 }
    for (const { state } of this.#node.workers()) workers[state] = (workers[state] ?? 0) + 1
    const { user, system } = process.cpuUsage()
    return {
      ...takeSnapshot(this.#node.id, 'host'),
      host: {
        replaced: this.#node.replaced(),
        workers,
        peers: this.#node.peers(),
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: (user + system) / 1e6,
        startedAt: performance.timeOrigin,
      },
    }
  }
}

/** The answer of a worker, or undefined when it gives none: it is stuck, or about to be gone. */
async function soon(answer: Promise<unknown>): Promise<unknown> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), ANSWER_MS)
  try {
    return await Promise.race([answer.catch(() => undefined), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
