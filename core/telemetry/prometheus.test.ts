import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readExposition } from '../../test/exposition.ts'
import { Meter } from './meters.ts'
import { prometheusText } from './prometheus.ts'
import { type MetricsSnapshot, takeSnapshot } from './snapshot.ts'

function snapshot(worker: string, meters: Meter[]): MetricsSnapshot {
  return { ...takeSnapshot('n1', worker), meters: meters.map(meter => meter.snapshot()) }
}

function used(kind: 'channel' | 'service', name: string, codes: (string | undefined)[]): Meter {
  const meter = new Meter(kind, name, kind === 'channel' ? 'http' : undefined)
  for (const code of codes) {
    meter.begin()
    meter.end(performance.now() - 1, code)
  }
  return meter
}

test('snapshots of several workers make one text with each family once', () => {
  const text = prometheusText([
    snapshot('0', [
      used('service', 'a', [undefined, 'SIGNALBOX_CONFLICT']),
      used('channel', 'web', [undefined]),
    ]),
    snapshot('1', [used('service', 'a', [undefined])]),
  ])
  const families = readExposition(text)
  const messages = families.get('signalbox_service_messages_total')!.samples
  assert.deepEqual(
    messages.map(({ labels, value }) => [labels.worker, labels.outcome, value]),
    [
      ['0', 'ok', 1],
      ['0', 'SIGNALBOX_CONFLICT', 1],
      ['1', 'ok', 1],
    ],
  )
  assert.ok(families.has('signalbox_channel_duration_seconds'))
  assert.ok(families.has('signalbox_event_loop_delay_seconds'))
})

test('of services that are not measured there are failures, and no zeros that nobody counted', () => {
  const service = new Meter('service', 'a', undefined)
  service.fail('SIGNALBOX_CONFLICT')
  const families = readExposition(prometheusText([snapshot('0', [service])]))
  assert.deepEqual(
    families.get('signalbox_service_messages_total')!.samples.map(({ labels }) => labels.outcome),
    ['SIGNALBOX_CONFLICT'],
  )
  assert.ok(!families.has('signalbox_service_active'))
  assert.ok(!families.has('signalbox_service_duration_seconds'))
})

test('labels with quotes, backslashes and line ends come back as they were', () => {
  const name = 'say "hi"\\ \n and\\n go'
  const families = readExposition(prometheusText([snapshot('0', [used('service', name, [undefined])])]))
  assert.equal(families.get('signalbox_service_messages_total')!.samples[0]!.labels.service, name)
})

test('error codes that are told apart are bounded', () => {
  const meter = used(
    'service',
    'a',
    Array.from({ length: 500 }, (_, i) => `CODE_${i}`),
  )
  const { failed } = meter.snapshot()
  assert.equal(Object.keys(failed).length, 65)
  assert.equal(failed.other, 436)
})

test('the reader of the tests refuses what breaks a rule', () => {
  const head = '# HELP a_total x\n# TYPE a_total counter\n'
  for (const bad of [
    'a_total 1\n',
    `${head}a_total 1`,
    `${head}a_total{b="1} 1\n`,
    `${head}a_total 1\na_total 2\n`,
    `${head}a_total -1\n`,
    `${head}${head}a_total 1\n`,
    '# HELP a x\n# TYPE a counter\na 1\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
  ]) {
    assert.throws(() => readExposition(bad), bad)
  }
  assert.equal(readExposition(`${head}a_total{b="1"} 1e3\n`).get('a_total')!.samples[0]!.value, 1000)
})
