/** The `telemetry` section of `signalbox.yaml`, and what the standard OTEL_* environment variables say to it. */
import { type Static, Type } from '../schema.ts'

const Level = Type.Union(
  ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map(level => Type.Literal(level)),
)
const Url = Type.String({ pattern: '^https?://', maxLength: 2_048 })

/** Names and defaults are those of OpenTelemetry where it has them. */
export const TelemetryOptions = Type.Object(
  {
    traces: Type.Optional(
      Type.Object(
        {
          enabled: Type.Optional(
            Type.Boolean({
              description:
                'Make spans. Default: whether an OTLP endpoint for traces is given here or by OTEL_*.',
            }),
          ),
          endpoint: Type.Optional({
            ...Url,
            description:
              'OTLP/HTTP collector, e.g. http://127.0.0.1:4318; /v1/traces is added. Default: OTEL_EXPORTER_OTLP_*.',
          }),
          sampleRatio: Type.Optional(
            Type.Number({
              minimum: 0,
              maximum: 1,
              description:
                'Share of the traces that begin here and are kept; traces from outside keep what they say. Default: OTEL_TRACES_SAMPLER, else 1, within maxPerSecond.',
            }),
          ),
          maxPerSecond: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 1_000_000,
              description:
                'Traces that begin in a worker and are kept, per second; what is over is not sampled. Default: 100, or no limit where sampleRatio or OTEL_TRACES_SAMPLER is given.',
            }),
          ),
          activeSpan: Type.Optional(
            Type.Boolean({
              default: false,
              description: "Let other OpenTelemetry instrumentation see a service's span as the active one.",
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    metrics: Type.Optional(
      Type.Object(
        {
          prometheus: Type.Optional(
            Type.Boolean({
              default: false,
              description:
                'Measure services for /metrics: messages that went well, those in hand, and durations. All else that ' +
                'is there is counted and offered in any case.',
            }),
          ),
          endpoint: Type.Optional({
            ...Url,
            description: 'OTLP/HTTP collector; /v1/metrics is added. Default: OTEL_EXPORTER_OTLP_*.',
          }),
          intervalMs: Type.Optional(
            Type.Integer({
              minimum: 100,
              maximum: 3_600_000,
              description: 'Between two exports by OTLP. Default: OTEL_METRIC_EXPORT_INTERVAL, else 60000.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    logs: Type.Optional(
      Type.Object(
        {
          level: Type.Optional({
            ...Level,
            description: 'Least level that is written. Default: SIGNALBOX_LOG_LEVEL, else info.',
          }),
          pretty: Type.Optional(
            Type.Boolean({
              description:
                'Lines for people instead of JSON. Default: whether standard output is a terminal.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
)
export type TelemetryOptions = Static<typeof TelemetryOptions>

export interface TraceSettings {
  endpoint: string | undefined
  /** Share of the traces that begin here and are kept; undefined: the sampler of the SDK decides. */
  ratio: number | undefined
  /** Most traces that begin in a worker and are kept, per second; undefined: no limit. */
  maxPerSecond: number | undefined
  activeSpan: boolean
  /** Spans are made by the SDK in the worker, not by the thread that exports those of all workers: it costs more. */
  sdkInWorker: boolean
}

/** What is switched on, with everything decided. Plain data that travels to the workers. */
export interface TelemetrySettings {
  serviceName: string
  traces: TraceSettings | undefined
  /** Latencies of services are measured when somebody wants metrics. */
  measure: boolean
  otlpMetrics: { endpoint: string | undefined; intervalMs: number | undefined } | undefined
  logs: { level: string | undefined; pretty: boolean | undefined }
}

/** Enough to see what goes on, and at no rate of messages more than a few percent of a core. */
const DEFAULT_MAX_PER_SECOND = 100
const SPAN_LIMIT = /^OTEL_(SPAN|ATTRIBUTE|EVENT|LINK)_.*LIMIT$/

type Env = Readonly<Record<string, string | undefined>>

/** Decides what is on. Options go before the environment; OTEL_SDK_DISABLED switches all of OpenTelemetry off. */
export function telemetrySettings(
  options: TelemetryOptions = {},
  env: Env = process.env,
  serviceName = 'signalbox',
): TelemetrySettings {
  const { traces = {}, metrics = {}, logs = {} } = options
  const disabled = env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true'
  const tracing = !disabled && (traces.enabled ?? wanted(traces.endpoint, 'TRACES', env))
  const exporting = !disabled && wanted(metrics.endpoint, 'METRICS', env)
  const activeSpan = traces.activeSpan ?? false
  const ratio = traces.sampleRatio ?? ratioOf(env)
  const isRateGiven = traces.sampleRatio !== undefined || Boolean(env.OTEL_TRACES_SAMPLER?.trim())
  return {
    serviceName: env.OTEL_SERVICE_NAME || serviceName,
    traces: tracing
      ? {
          endpoint: traces.endpoint,
          ratio,
          maxPerSecond: traces.maxPerSecond ?? (isRateGiven ? undefined : DEFAULT_MAX_PER_SECOND),
          activeSpan,
          sdkInWorker: activeSpan || ratio === undefined || needsSdk(traces.endpoint, env),
        }
      : undefined,
    measure: metrics.prometheus === true || exporting,
    otlpMetrics: exporting ? { endpoint: metrics.endpoint, intervalMs: metrics.intervalMs } : undefined,
    logs: { level: logs.level, pretty: logs.pretty },
  }
}

/** Whether somebody gave a place to export to, and did not say `none`. */
function wanted(endpoint: string | undefined, signal: 'TRACES' | 'METRICS', env: Env): boolean {
  if (endpoint !== undefined) return true
  const exporter = env[`OTEL_${signal}_EXPORTER`]?.trim()
  if (exporter === 'none') return false
  return Boolean(exporter || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`] || env.OTEL_EXPORTER_OTLP_ENDPOINT)
}

/** The ratio of the samplers that decide by the parent; undefined for others, which the SDK runs. */
function ratioOf(env: Env): number | undefined {
  switch (env.OTEL_TRACES_SAMPLER?.trim() || 'parentbased_always_on') {
    case 'parentbased_always_on':
      return 1
    case 'parentbased_always_off':
      return 0
    case 'parentbased_traceidratio': {
      const ratio = Number(env.OTEL_TRACES_SAMPLER_ARG ?? 1)
      return ratio >= 0 && ratio <= 1 ? ratio : 1
    }
    default:
      return undefined
  }
}

/** Whether the environment asks for an exporter, a resource or limits that only the whole SDK knows. */
function needsSdk(endpoint: string | undefined, env: Env): boolean {
  if (env.OTEL_NODE_RESOURCE_DETECTORS) return true
  if (Object.keys(env).some(name => SPAN_LIMIT.test(name))) return true
  if (endpoint !== undefined) return false
  if ((env.OTEL_TRACES_EXPORTER?.trim() || 'otlp') !== 'otlp') return true
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? env.OTEL_EXPORTER_OTLP_PROTOCOL
  return protocol?.trim() === 'grpc'
}

/** A number above 0 of an environment variable; undefined for anything else. */
export function positive(value: string | undefined): number | undefined {
  const number = Number(value)
  return number > 0 ? number : undefined
}
