import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileSchema } from '../schema.ts'
import { TelemetryOptions, telemetrySettings } from './options.ts'

test('everything is off unless something is said', () => {
  const settings = telemetrySettings({}, {})
  assert.deepEqual([settings.traces, settings.otlpMetrics, settings.measure], [undefined, undefined, false])
})

test('services are measured for Prometheus when that is said', () => {
  assert.equal(telemetrySettings({ metrics: { prometheus: true } }, {}).measure, true)
  assert.equal(telemetrySettings({ metrics: { prometheus: false } }, {}).measure, false)
})

test('the standard environment switches on, options go before it, OTEL_SDK_DISABLED before all', () => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
    OTEL_SERVICE_NAME: 'shop',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
  }
  const settings = telemetrySettings({}, env, 'project')
  assert.equal(settings.serviceName, 'shop')
  assert.deepEqual(settings.traces, {
    endpoint: undefined,
    ratio: 0.25,
    maxPerSecond: undefined,
    activeSpan: false,
    sdkInWorker: false,
  })
  assert.ok(settings.otlpMetrics && settings.measure)
  assert.equal(telemetrySettings({ traces: { sampleRatio: 1 } }, env).traces!.ratio, 1)
  assert.equal(telemetrySettings({ traces: { enabled: false } }, env).traces, undefined)
  assert.equal(telemetrySettings({}, { ...env, OTEL_TRACES_EXPORTER: 'none' }).traces, undefined)
  assert.equal(
    telemetrySettings({ traces: { enabled: true } }, { OTEL_SDK_DISABLED: 'true' }).traces,
    undefined,
  )
  assert.equal(
    telemetrySettings({ traces: { enabled: true } }, { OTEL_TRACES_SAMPLER: 'traceidratio' }).traces!.ratio,
    undefined,
  )
})

test('traces are limited to 100 a second unless somebody says how many are kept', () => {
  const limit = (options: TelemetryOptions['traces'], env = {}) =>
    telemetrySettings({ traces: { enabled: true, ...options } }, env).traces!.maxPerSecond
  assert.equal(limit({}), 100)
  assert.equal(limit({ maxPerSecond: 7 }), 7)
  assert.equal(limit({ sampleRatio: 1 }), undefined)
  assert.equal(limit({ sampleRatio: 0.5, maxPerSecond: 7 }), 7)
  assert.equal(limit({}, { OTEL_TRACES_SAMPLER: 'parentbased_always_on' }), undefined)
})

test('the SDK makes the spans in the worker where only it can do what is asked for', () => {
  const inWorker = (env: Record<string, string>, options: TelemetryOptions['traces'] = {}) =>
    telemetrySettings({ traces: { enabled: true, ...options } }, env).traces!.sdkInWorker
  const endpoint = 'http://c:4318'
  assert.equal(inWorker({}), false)
  assert.equal(inWorker({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }), false)
  assert.equal(inWorker({}, { activeSpan: true }), true)
  assert.equal(inWorker({ OTEL_TRACES_SAMPLER: 'traceidratio' }), true)
  assert.equal(inWorker({ OTEL_TRACES_EXPORTER: 'console' }), true)
  assert.equal(inWorker({ OTEL_TRACES_EXPORTER: 'console' }, { endpoint }), false)
  assert.equal(inWorker({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), true)
  assert.equal(inWorker({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, { endpoint }), false)
  assert.equal(inWorker({ OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '3' }), true)
  assert.equal(inWorker({ OTEL_NODE_RESOURCE_DETECTORS: 'none' }), true)
})

test('the schema refuses what it does not know', () => {
  const check = compileSchema(TelemetryOptions)
  assert.equal(
    check({ traces: { endpoint: 'http://c:4318', sampleRatio: 0.1 }, logs: { level: 'debug' } }),
    undefined,
  )
  for (const bad of [
    { trace: {} },
    { traces: { sampleRatio: 2 } },
    { traces: { maxPerSecond: 0 } },
    { traces: { endpoint: 'ftp://x' } },
    { logs: { level: 'loud' } },
  ]) {
    assert.ok(check(bad), JSON.stringify(bad))
  }
})
