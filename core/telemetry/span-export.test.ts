/** The real thread, a real collector. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { type Received, spansOf, startPeer } from '../../test/collector.ts'
import { SignalboxError } from '../errors.ts'
import type { Inbound } from '../transport.ts'
import { silentLogger } from './log.ts'
import { telemetrySettings } from './options.ts'
import { RecordTracer } from './record-tracer.ts'
import { RootSampler } from './root-sampler.ts'
import { SpanExport } from './span-export.ts'
import { SpanOutbox } from './span-outbox.ts'

process.env.OTEL_EXPORTER_OTLP_PROTOCOL = 'http/json'
process.env.OTEL_BSP_SCHEDULE_DELAY = '20'

function exporting(endpoint: string, restarted = () => {}) {
  const settings = telemetrySettings({ traces: { endpoint } }, {}, 'shop')
  const spans = new SpanExport({ node: 'n1', settings }, silentLogger, restarted)
  const outbox = new SpanOutbox(1_000)
  const tracer = new RecordTracer(outbox, new RootSampler(1, undefined))
  return { spans, outbox, tracer }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

const request: Inbound = {
  payload: undefined,
  headers: { 'user-agent': 'curl/8' },
  attributes: { method: 'GET', path: '/käse/\u0000', route: '/:what', remoteAddress: '127.0.0.1' },
  target: 'service/x',
} as Inbound

function attributesOf(received: readonly Received[], name: string): Record<string, unknown> {
  return spansOf(received).find(span => span.name === name)!.attributes
}

test('records leave as spans of OpenTelemetry, the last ones when the thread is stopped', async t => {
  const collector = await startPeer()
  t.after(collector.close)
  const { spans, outbox, tracer } = exporting(collector.url)
  const port = spans.connect('3')!
  outbox.connect(port)
  const before = Date.now()
  const outer = tracer.channel('public', 'http', request, 'c1', undefined)!
  const inner = tracer.service('orders', { cid: 'c1' }, outer.trace)!
  const call = { cid: 'c1', trace: inner.trace, operation: 'send', endpoint: 'amqp://mq:5672', options: {} }
  const sent = tracer.connection('mq', 'amqp', { ...call, kind: 'producer' })!
  const failure = new SignalboxError('SIGNALBOX_NOT_CONNECTED', 'gone')
  sent.end(failure, undefined)
  inner.end(failure, undefined)
  outer.end(failure, undefined)
  outbox.flush()
  await spans.stop()
  const { received } = collector
  const all = spansOf(received)
  assert.deepEqual(
    all.map(({ name, kind, status }) => [name, kind, status.code]),
    [
      ['invoke mq', 4, 2],
      ['service handle orders', 1, 2],
      ['channel receive public', 2, 2],
    ],
  )
  assert.deepEqual(attributesOf(received, 'channel receive public'), {
    'signalbox.channel': 'public',
    'signalbox.transport': 'http',
    'signalbox.cid': 'c1',
    'http.request.method': 'GET',
    'url.path': '/käse/\u0000',
    'http.route': '/:what',
    'client.address': '127.0.0.1',
    'user_agent.original': 'curl/8',
    'http.response.status_code': failure.status,
    'error.type': 'SIGNALBOX_NOT_CONNECTED',
  })
  assert.deepEqual(attributesOf(received, 'invoke mq'), {
    'signalbox.connection': 'mq',
    'signalbox.transport': 'amqp',
    'signalbox.operation': 'send',
    'signalbox.cid': 'c1',
    'server.address': 'mq',
    'server.port': 5672,
    'messaging.system': 'amqp',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': 'mq',
    'error.type': 'SIGNALBOX_NOT_CONNECTED',
  })
  const [{ resource, status }] = all as [(typeof all)[0]]
  assert.equal(status.message, 'gone')
  assert.equal(resource['service.name'], 'shop')
  assert.equal(resource['signalbox.worker'], '3')
  assert.equal(resource['service.instance.id'], `n1/3/${process.pid}`)
  const [{ startTimeUnixNano, endTimeUnixNano }] = all as never as [Record<string, string>]
  assert.ok(Math.abs(Number(startTimeUnixNano) / 1e6 - before) < 1_000)
  assert.ok(Number(endTimeUnixNano) >= Number(startTimeUnixNano))
})

test('the worker is told what was exported, and what the collector refused', async t => {
  const collector = await startPeer()
  const { spans, outbox, tracer } = exporting(collector.url)
  t.after(() => spans.stop())
  outbox.connect(spans.connect('0')!)
  tracer.service('a', { cid: 'c' }, undefined)!.end(undefined, undefined)
  await until('one exported', () => outbox.counts.exported === 1)
  await collector.close()
  const { url, close } = await startRefusing(new URL(collector.url).port)
  t.after(close)
  assert.equal(url, collector.url)
  tracer.service('a', { cid: 'c' }, undefined)!.end(undefined, undefined)
  await until('one failed', () => outbox.counts.failed === 1)
  assert.deepEqual(outbox.counts, { exported: 1, failed: 1, dropped: 0, queued: 0 })
})

async function startRefusing(port: string) {
  const { createServer } = await import('node:http')
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(400).end())
  }).listen(Number(port), '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${port}`, close: () => server.close().closeAllConnections() }
}

test('a thread that dies is started again, and takes spans on a new port', async t => {
  const collector = await startPeer()
  t.after(collector.close)
  const restarted = Promise.withResolvers<void>()
  const { spans, outbox, tracer } = exporting(collector.url, restarted.resolve)
  t.after(() => spans.stop())
  const port = spans.connect('0')!
  outbox.connect(port)
  // It cannot read this, as nobody says such a thing: what it does not expect ends it.
  port.postMessage('no spans')
  await once(port, 'close')
  await restarted.promise
  outbox.connect(spans.connect('0')!)
  tracer.service('later', { cid: 'c' }, undefined)!.end(undefined, undefined)
  await until('the later span', () => outbox.counts.exported === 1)
  assert.deepEqual(
    spansOf(collector.received).map(({ name }) => name),
    ['service handle later'],
  )
})

test('a collector that does not answer delays the stop for no more than a while', async t => {
  const { createServer } = await import('node:net')
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  const { spans, outbox, tracer } = exporting(`http://127.0.0.1:${port}`)
  outbox.connect(spans.connect('0')!)
  tracer.service('a', { cid: 'c' }, undefined)!.end(undefined, undefined)
  outbox.flush()
  await spans.stop()
  assert.equal(spans.connect('0'), undefined)
})
