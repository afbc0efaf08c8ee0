/**
 * The finished spans of this thread until they are handed to the thread that exports them. It takes no more than were
 * given room: what is over is dropped and counted, and no trace begins meanwhile.
 */
import { performance } from 'node:perf_hooks'
import type { MessagePort } from 'node:worker_threads'
import { MAX_BATCH, SpanBatch, type SpanRecord, type SpanTemplate } from './span-batch.ts'

/** Spans of this thread, by what became of them. */
export interface SpanCounts {
  exported: number
  /** The collector could not be reached, or refused them. */
  failed: number
  /** There was no room for them. */
  dropped: number
  /** Not exported yet. */
  queued: number
}

/** What the thread that exports says about spans it was handed. */
export interface SettledSpans {
  exported: number
  failed: number
}

/** How long a span may wait before it is handed over, in milliseconds. */
const HAND_OVER_MS = 100
/** When clock and monotonic clock have drifted apart this far, spans go by the clock again. */
const MAX_DRIFT_MS = 50
/** Templates that the other side has to remember. */
const MAX_KNOWN = 10_000

export class SpanOutbox {
  readonly #maxQueued: number
  readonly #batch = new SpanBatch()
  /** Ids of the templates that the other side knows. */
  readonly #known = new Set<number>()
  #ids = 0
  #port: MessagePort | undefined
  #timer: NodeJS.Timeout | undefined
  #originMs = performance.timeOrigin
  /** Handed over and not settled. */
  #underway = 0
  #exported = 0
  #failed = 0
  #dropped = 0

  constructor(maxQueued: number) {
    this.#maxQueued = maxQueued
  }

  get counts(): SpanCounts {
    return {
      exported: this.#exported,
      failed: this.#failed,
      dropped: this.#dropped,
      queued: this.#underway + this.#batch.count,
    }
  }

  get full(): boolean {
    return this.#underway + this.#batch.count >= this.#maxQueued
  }

  /** Where spans go from now on. What went to another port before and was not settled is lost, and counted. */
  connect(port: MessagePort): void {
    this.flush()
    this.#port?.close()
    this.#lose(this.#underway)
    this.#port = port
    this.#known.clear()
    port.on('message', ({ exported, failed }: SettledSpans) => this.#settled(exported, failed))
    port.on('close', () => {
      if (this.#port !== port) return
      this.#port = undefined
      this.#lose(this.#underway)
    })
    // The spans keep no thread alive.
    port.unref()
  }

  /** Gives the template its id. */
  define(template: Omit<SpanTemplate, 'id'>): SpanTemplate {
    return { ...template, id: this.#ids++ }
  }

  /** Takes a finished span, or drops it when there is no room. */
  add(span: SpanRecord): void {
    if (this.full) {
      this.#dropped++
      return
    }
    if (!this.#known.has(span.template.id)) this.#introduce(span.template)
    this.#batch.add(span)
    if (this.#batch.full) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), HAND_OVER_MS).unref()
  }

  /** Hands over what there is. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { count } = this.#batch
    if (count === 0) return
    const packed = this.#batch.take(this.#origin())
    if (this.#port === undefined) {
      // Nobody exports now. The next one is told the templates again.
      this.#dropped += count
      return
    }
    this.#underway += count
    this.#port.postMessage(packed, [packed.numbers.buffer])
  }

  #introduce(template: SpanTemplate): void {
    if (this.#known.size >= MAX_KNOWN) {
      this.flush()
      this.#known.clear()
      this.#batch.forget()
    }
    this.#known.add(template.id)
    this.#batch.define(template)
  }

  #settled(exported: number, failed: number): void {
    this.#exported += exported
    this.#failed += failed
    this.#underway -= exported + failed
  }

  #lose(count: number): void {
    this.#failed += count
    this.#underway -= count
  }

  /** Threads of a process agree on it, so it is kept for as long as it is right. */
  #origin(): number {
    const now = Date.now() - performance.now()
    if (Math.abs(now - this.#originMs) > MAX_DRIFT_MS) this.#originMs = now
    return this.#originMs
  }
}

/** Spans that a thread may have on their way; the name is that of OpenTelemetry. Default 2,048. */
export function maxQueuedSpans(env: Readonly<Record<string, string | undefined>> = process.env): number {
  const wanted = Number(env.OTEL_BSP_MAX_QUEUE_SIZE)
  return Number.isInteger(wanted) && wanted > 0 ? wanted : 4 * MAX_BATCH
}
