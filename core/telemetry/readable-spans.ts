/** Records as the spans that OpenTelemetry's SDK exports, and who is told when they were. */
import {
  type Attributes,
  createTraceState,
  type HrTime,
  type SpanContext,
  type SpanKind,
  type SpanStatus,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { SpanRecord } from './span-batch.ts'
import type { SettledSpans } from './span-outbox.ts'

/** A worker whose spans are exported. */
export interface Source {
  resource: Resource
  /** Told how many of its spans are done with. */
  settled(counts: SettledSpans): void
}

const SCOPE = { name: 'signalbox' }
const NONE: never[] = []
const UNSET = { code: SpanStatusCode.UNSET }

/** The span of a record. */
export class RecordedReadableSpan implements ReadableSpan {
  readonly source: Source
  readonly name: string
  readonly kind: SpanKind
  readonly parentSpanContext?: SpanContext
  readonly startTime: HrTime
  readonly endTime: HrTime
  readonly duration: HrTime
  readonly status: SpanStatus
  readonly attributes: Attributes
  readonly links = NONE
  readonly events = NONE
  readonly ended = true
  readonly instrumentationScope = SCOPE
  readonly droppedAttributesCount = 0
  readonly droppedEventsCount = 0
  readonly droppedLinksCount = 0
  readonly #context: SpanContext

  /** `originMs` is when the clock of the record was 0. */
  constructor(record: SpanRecord, originMs: number, source: Source) {
    const { template, traceId, spanId, parentId, startMs, endMs, failure } = record
    const traceFlags = TraceFlags.SAMPLED
    this.source = source
    this.name = template.name
    this.kind = template.kind
    this.#context = { traceId, spanId, traceFlags }
    if (record.state !== '') this.#context.traceState = createTraceState(record.state)
    if (parentId !== '') this.parentSpanContext = { traceId, spanId: parentId, traceFlags, isRemote: true }
    this.startTime = hrTime(originMs + startMs)
    this.endTime = hrTime(originMs + endMs)
    this.duration = hrTime(Math.max(0, endMs - startMs))
    this.status = failure === undefined ? UNSET : { code: SpanStatusCode.ERROR, message: failure }
    this.attributes = attributesOf(record)
  }

  get resource(): Resource {
    return this.source.resource
  }

  spanContext(): SpanContext {
    return this.#context
  }
}

function attributesOf({ template, values }: SpanRecord): Attributes {
  const attributes: Attributes = { ...template.attributes }
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value !== undefined) attributes[template.keys[i]!] = value
  }
  return attributes
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.floor((ms - seconds * 1_000) * 1e6)]
}

/** Tells the sources of spans what became of them. */
export class SettlingExporter implements SpanExporter {
  readonly #exporter: SpanExporter

  constructor(exporter: SpanExporter) {
    this.#exporter = exporter
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    try {
      this.#exporter.export(spans, result => {
        // ExportResultCode.SUCCESS is 0.
        settle(spans as RecordedReadableSpan[], result.code === 0)
        done(result)
      })
    } catch (error) {
      settle(spans as RecordedReadableSpan[], false)
      throw error
    }
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush?.() ?? Promise.resolve()
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown()
  }
}

function settle(spans: readonly RecordedReadableSpan[], exported: boolean): void {
  const bySource = new Map<Source, number>()
  for (const { source } of spans) bySource.set(source, (bySource.get(source) ?? 0) + 1)
  for (const [source, count] of bySource) {
    source.settled({ exported: exported ? count : 0, failed: exported ? 0 : count })
  }
}
