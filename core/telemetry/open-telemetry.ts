/** The OpenTelemetry SDK, set up for traces in a worker and for metrics in a node. Loaded only when one is on. */
import { type DiagLogger, DiagLogLevel, diag, trace } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { AlwaysOnSampler, ParentBasedSampler, type SpanExporter } from '@opentelemetry/sdk-trace'
import type { BusTracer } from './bus-tracer.ts'
import type { Logger } from './log.ts'
import { positive, type TelemetrySettings } from './options.ts'
import { SnapshotProducer } from './otlp-metrics.ts'
import { RootSampler } from './root-sampler.ts'
import type { MetricsSnapshot } from './snapshot.ts'
import { OpenTelemetryTracer } from './traces.ts'

/** Who speaks: the attributes of its resource. */
export interface Speaker {
  node: string
  /** `host` or the slot of the worker. */
  worker: string
  log: Logger
}

export interface StartedTraces {
  tracer: BusTracer
  sampler: RootSampler
  /** Sends what is left, then stops. */
  stop(): Promise<void>
}

const DEFAULT_INTERVAL_MS = 60_000

/**
 * Starts tracing with the SDK in this thread, for what only that can do ({@link TelemetrySettings}). Spans are sent in
 * batches (OTEL_BSP_*); when the collector is slow they are dropped.
 */
export async function startTraces(settings: TelemetrySettings, speaker: Speaker): Promise<StartedTraces> {
  const { endpoint, ratio, maxPerSecond, activeSpan } = settings.traces!
  speakTo(speaker.log)
  const exporter = endpoint === undefined ? undefined : await traceExporter(endpoint)
  const sdk = new NodeSDK({
    ...base(settings, speaker),
    ...(exporter && { traceExporter: exporter }),
    // The ratio was applied before a span is begun: what gets here from the bus is wanted.
    ...(ratio !== undefined && { sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }) }),
    ...(activeSpan ? {} : { contextManager: null as never }),
    metricReaders: [],
  })
  sdk.start()
  const sampler = new RootSampler(ratio ?? 1, maxPerSecond)
  const tracer = new OpenTelemetryTracer(trace.getTracer('signalbox'), {
    sampler,
    sdkSampler: ratio === undefined,
    activeSpan,
  })
  return { tracer, sampler, stop: () => shutdown(sdk, speaker.log) }
}

/** Exports what `collect` gives, at the interval, by OTLP. Returns the way to send the last and stop. */
export async function startMetricsExport(
  settings: TelemetrySettings,
  speaker: Speaker,
  collect: () => Promise<MetricsSnapshot[]>,
): Promise<() => Promise<void>> {
  const { endpoint, intervalMs } = settings.otlpMetrics!
  speakTo(speaker.log)
  const resource = resourceFromAttributes({
    'service.name': settings.serviceName,
    'signalbox.node': speaker.node,
  })
  const exportIntervalMillis =
    intervalMs ?? positive(process.env.OTEL_METRIC_EXPORT_INTERVAL) ?? DEFAULT_INTERVAL_MS
  const timeoutMs = positive(process.env.OTEL_METRIC_EXPORT_TIMEOUT) ?? 30_000
  const reader = new PeriodicExportingMetricReader({
    exporter: await metricExporter(endpoint === undefined ? undefined : `${trimmed(endpoint)}/v1/metrics`),
    exportIntervalMillis,
    exportTimeoutMillis: Math.min(timeoutMs, exportIntervalMillis),
    metricProducers: [new SnapshotProducer(resource, collect)],
  })
  const sdk = new NodeSDK({
    ...base(settings, speaker),
    spanProcessors: [],
    contextManager: null as never,
    metricReaders: [reader],
  })
  sdk.start()
  return () => shutdown(sdk, speaker.log)
}

function base(settings: TelemetrySettings, { node, worker }: Speaker) {
  return {
    serviceName: settings.serviceName,
    resource: resourceFromAttributes({
      'service.instance.id': `${node}/${worker}/${process.pid}`,
      'signalbox.node': node,
      'signalbox.worker': worker,
    }),
    logRecordProcessors: [],
    // Propagation is the bus's own: nothing reads the global propagator.
    textMapPropagator: null,
  }
}

/**
 * OTLP over HTTP with protobuf, or JSON where OTEL_EXPORTER_OTLP_PROTOCOL says so. Without an endpoint the environment
 * says where to.
 */
export async function traceExporter(endpoint: string | undefined): Promise<SpanExporter> {
  const { OTLPTraceExporter } = isJson('TRACES')
    ? await import('@opentelemetry/exporter-trace-otlp-http')
    : await import('@opentelemetry/exporter-trace-otlp-proto')
  return new OTLPTraceExporter(endpoint === undefined ? {} : { url: `${trimmed(endpoint)}/v1/traces` })
}

async function metricExporter(url: string | undefined): Promise<PushMetricExporter> {
  const { OTLPMetricExporter } = isJson('METRICS')
    ? await import('@opentelemetry/exporter-metrics-otlp-http')
    : await import('@opentelemetry/exporter-metrics-otlp-proto')
  return new OTLPMetricExporter(url === undefined ? {} : { url })
}

function isJson(signal: 'TRACES' | 'METRICS'): boolean {
  const { env } = process
  return (
    (env[`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`] ?? env.OTEL_EXPORTER_OTLP_PROTOCOL)?.trim() === 'http/json'
  )
}

/** What the SDK has to say (an export that failed, spans that were dropped) goes to the log of the bus. */
export function speakTo(log: Logger): void {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, ...rest: unknown[]) =>
      log[level](
        { detail: rest.map(String).join(' ').slice(0, 500) || undefined },
        `OpenTelemetry: ${message.slice(0, 500)}`,
      )
  const logger: DiagLogger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    verbose: at('debug'),
  }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
}

async function shutdown(sdk: NodeSDK, log: Logger): Promise<void> {
  try {
    await sdk.shutdown()
  } catch (error) {
    log.warn({ err: error }, 'the last traces or metrics could not be sent')
  }
}

function trimmed(url: string): string {
  return url.replace(/\/+$/, '')
}
