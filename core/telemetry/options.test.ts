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
  assert.deepEqual(settings.traces, { endpoint: undefined, ratio: 0.25, activeSpan: false })
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

test('the schema refuses what it does not know', () => {
  const check = compileSchema(TelemetryOptions)
  assert.equal(
    check({ traces: { endpoint: 'http://c:4318', sampleRatio: 0.1 }, logs: { level: 'debug' } }),
    undefined,
  )
  for (const bad of [
    { trace: {} },
    { traces: { sampleRatio: 2 } },
    { traces: { endpoint: 'ftp://x' } },
    { logs: { level: 'loud' } },
  ]) {
    assert.ok(check(bad), JSON.stringify(bad))
  }
})
