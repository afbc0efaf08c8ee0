/** Records as the spans that OpenTelemetry's SDK exports, and who is told when they were. */
import {
  type Attributes,
  createTraceState,
  type HrTime,
  type SpanContext,
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

interface BusReadableSpan extends ReadableSpan {
  source: Source
}

const SCOPE = { name: 'signalbox' }
const NONE: never[] = []

/** The span of a record; `originMs` is when its clock was 0. */
export function spanOf(record: SpanRecord, originMs: number, source: Source): BusReadableSpan {
  const { template, traceId, failure } = record
  const common = {
    traceId,
    traceFlags: TraceFlags.SAMPLED,
    ...(record.state !== '' && { traceState: createTraceState(record.state) }),
  }
  const context: SpanContext = { ...common, spanId: record.spanId }
  return {
    source,
    name: template.name,
    kind: template.kind,
    spanContext: () => context,
    ...(record.parentId !== '' && {
      parentSpanContext: { ...common, spanId: record.parentId, isRemote: true },
    }),
    startTime: hrTime(originMs + record.startMs),
    endTime: hrTime(originMs + record.endMs),
    duration: hrTime(Math.max(0, record.endMs - record.startMs)),
    status:
      failure === undefined
        ? { code: SpanStatusCode.UNSET }
        : { code: SpanStatusCode.ERROR, message: failure },
    attributes: attributesOf(record),
    links: NONE,
    events: NONE,
    ended: true,
    resource: source.resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

function attributesOf({ template, values }: SpanRecord): Attributes {
  const attributes: Attributes = { ...template.attributes }
  template.keys.forEach((key, i) => {
    const value = values[i]
    if (value !== undefined) attributes[key] = value
  })
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
        settle(spans as BusReadableSpan[], result.code === 0)
        done(result)
      })
    } catch (error) {
      settle(spans as BusReadableSpan[], false)
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

function settle(spans: readonly BusReadableSpan[], exported: boolean): void {
  const bySource = new Map<Source, number>()
  for (const { source } of spans) bySource.set(source, (bySource.get(source) ?? 0) + 1)
  for (const [source, count] of bySource) {
    source.settled({ exported: exported ? count : 0, failed: exported ? 0 : count })
  }
}
