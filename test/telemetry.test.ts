/** Traces, metrics and live events of a real node, seen by a collector over HTTP. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startProject } from '../cli/start.ts'
import type { Node } from '../core/node.ts'
import type { TailEvent } from '../core/telemetry/tail.ts'
import { type Received, type Span, spansOf, startPeer } from './collector.ts'
import { readExposition } from './exposition.ts'
import { urlOf } from './faulty-bus.ts'

const TRACED = fileURLToPath(new URL('./projects/traced', import.meta.url))
const DEADLINE_MS = 20_000
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'
const OUTER = `00-${TRACE_ID}-b7ad6b7169203331-01`

/** Polls until the value is there. */
async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = performance.now() + DEADLINE_MS
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

describe('telemetry of a node', () => {
  let collector: Awaited<ReturnType<typeof startPeer>>
  let partner: Awaited<ReturnType<typeof startPeer>>
  let node: Node
  let url: string

  before(async () => {
    collector = await startPeer()
    partner = await startPeer()
    Object.assign(process.env, {
      TRACED_COLLECTOR: collector.url,
      TRACED_PARTNER: partner.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    })
    node = (await startProject(TRACED, { workers: 2 })).node
    url = await urlOf(node)
  })

  after(async () => {
    await node.stop(2_000)
    await collector.close()
    await partner.close()
    for (const name of [
      'TRACED_COLLECTOR',
      'TRACED_PARTNER',
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'OTEL_BSP_SCHEDULE_DELAY',
    ]) {
      delete process.env[name]
    }
  })

  test('one trace from the channel over two workers to the partner', async () => {
    const headers = { traceparent: OUTER, tracestate: 'vendor=x1,other=y', 'x-signalbox-cid': 'trace-1' }
    const response = await fetch(`${url}/orders/7`, { method: 'POST', headers })
    assert.deepEqual(await response.json(), ['trace-1', 'trace-1'])
    const spans = await eventually('eight spans', () => {
      const found = spansOf(collector.received).filter(({ traceId }) => traceId === TRACE_ID)
      return found.length >= 8 ? found : undefined
    })
    assert.equal(spans.length, 8)
    const [channel] = named(spans, 'channel receive public')
    assert.ok(channel)
    assert.equal(channel.parentSpanId, 'b7ad6b7169203331')
    assert.equal(channel.kind, SERVER)
    assert.equal(channel.attributes['http.request.method'], 'POST')
    assert.equal(channel.attributes['url.path'], '/orders/7')
    assert.equal(channel.attributes['http.route'], '/orders/:id')
    assert.equal(Number(channel.attributes['http.response.status_code']), 200)
    const [entry] = named(spans, 'service handle entry')
    assert.ok(entry)
    assert.equal(entry.parentSpanId, channel.spanId)
    assert.equal(entry.resource['signalbox.worker'], channel.resource['signalbox.worker'])
    const remotes = named(spans, 'service handle remote')
    assert.deepEqual(
      remotes.map(({ parentSpanId }) => parentSpanId),
      [entry.spanId, entry.spanId],
    )
    assert.deepEqual(
      new Set(remotes.map(({ resource }) => resource['signalbox.worker'])),
      new Set(['0', '1']),
    )
    assert.equal(remotes[0]!.attributes['rpc.service'], 'remote')
    checkInvokes(named(spans, 'invoke partner'), remotes, partner.received)
  })

  test('a refusal is an error of the service and none of the server', async () => {
    const traceparent = OUTER.replace(TRACE_ID, '1'.repeat(32))
    const response = await fetch(`${url}/refused`, { method: 'POST', headers: { traceparent } })
    assert.ok(response.status >= 400 && response.status < 500)
    await response.text()
    const spans = await eventually('two spans', () => {
      const found = spansOf(collector.received).filter(({ traceId }) => traceId === '1'.repeat(32))
      return found.length === 2 ? found : undefined
    })
    const [service] = named(spans, 'service handle refused')
    const [channel] = named(spans, 'channel receive public')
    assert.equal(service!.attributes['error.type'], 'SIGNALBOX_REQUEST_REFUSED')
    assert.equal(service!.status.code, ERROR)
    assert.equal(channel!.attributes['error.type'], 'SIGNALBOX_REQUEST_REFUSED')
    assert.notEqual(channel!.status.code, ERROR)
  })

  test('a trace that is not sampled outside makes no span, and goes on to the partner as it came', async () => {
    const traceId = '2'.repeat(32)
    const traceparent = `00-${traceId}-b7ad6b7169203331-00`
    await (await fetch(`${url}/orders/8`, { method: 'POST', headers: { traceparent } })).text()
    assert.equal(partner.received.filter(({ headers }) => headers.traceparent === traceparent).length, 4)
    // A later trace has arrived, so an earlier one would have.
    const later = OUTER.replace(TRACE_ID, '3'.repeat(32))
    await (await fetch(`${url}/orders/9`, { method: 'POST', headers: { traceparent: later } })).text()
    await eventually(
      'the later trace',
      () =>
        spansOf(collector.received).filter(span => span.traceId === '3'.repeat(32)).length === 8 || undefined,
    )
    assert.equal(spansOf(collector.received).filter(span => span.traceId === traceId).length, 0)
  })

  test('what became of spans and of traces that began here is counted', async () => {
    const before = await tracesOf(node)
    await (await fetch(`${url}/orders/5`, { method: 'POST' })).text()
    // Eight spans of one trace, made in both workers.
    const after = await eventually('eight more spans', async () => {
      const now = await tracesOf(node)
      return now.exported - before.exported === 8 ? now : undefined
    })
    assert.deepEqual(after, { ...before, kept: before.kept + 1, exported: before.exported + 8 })
    const families = readExposition(await node.telemetry.prometheus())
    const exported = families
      .get('signalbox_trace_spans_total')!
      .samples.filter(({ labels }) => labels.outcome === 'exported')
    assert.equal(
      exported.reduce((sum, { value }) => sum + value, 0),
      after.exported,
    )
    assert.ok(families.get('signalbox_trace_started_total') && families.get('signalbox_trace_queued'))
  })

  test('the Prometheus text keeps the rules and counts what happened', async () => {
    const families = readExposition(await node.telemetry.prometheus())
    const total = (name: string, labels: Record<string, string>) =>
      families
        .get(name)!
        .samples.filter(sample =>
          Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
        )
        .reduce((sum, { value }) => sum + value, 0)
    const entries = total('signalbox_service_messages_total', { service: 'entry', outcome: 'ok' })
    assert.ok(entries >= 3)
    assert.equal(total('signalbox_service_messages_total', { service: 'remote', outcome: 'ok' }), 2 * entries)
    assert.equal(
      total('signalbox_connection_messages_total', { connection: 'partner', outcome: 'ok' }),
      4 * entries,
    )
    assert.equal(total('signalbox_channel_messages_total', { outcome: 'SIGNALBOX_REQUEST_REFUSED' }), 1)
    assert.equal(total('signalbox_workers', { state: 'ready' }), 2)
    const inRemote = families.get('signalbox_service_duration_seconds')!.samples
    const counted = inRemote.filter(
      ({ name, labels }) => name.endsWith('_count') && labels.service === 'remote',
    )
    assert.equal(
      counted.reduce((sum, { value }) => sum + value, 0),
      2 * entries,
    )
  })

  test('metrics reach the collector by OTLP', async () => {
    const names = await eventually('a request with metrics', () => {
      const bodies = collector.received
        .filter(request => request.url === '/v1/metrics')
        .map(({ body }) => body.toString())
      return bodies.findLast(body => body.includes('signalbox.service.duration'))
    })
    const { resourceMetrics } = JSON.parse(names)
    assert.equal(resourceMetrics.length, 1)
    const metrics = resourceMetrics[0].scopeMetrics[0].metrics as {
      name: string
      sum?: unknown
      histogram?: { dataPoints: { count: number | string; bucketCounts: (number | string)[] }[] }
    }[]
    const duration = metrics.find(({ name }) => name === 'signalbox.service.duration')!.histogram!
    for (const { count, bucketCounts } of duration.dataPoints) {
      assert.equal(
        bucketCounts.reduce<number>((sum, n) => sum + Number(n), 0),
        Number(count),
      )
    }
    assert.ok(metrics.find(({ name }) => name === 'signalbox.channel.messages')!.sum)
  })

  test('a tail sees the messages of all workers that its filter wants', async () => {
    const stop = new AbortController()
    const events: TailEvent[] = []
    const tail = (async () => {
      for await (const batch of node.telemetry.tail({ cid: 'tail-1' }, stop.signal))
        events.push(...batch.events)
    })()
    // Calls with the right id until the tail is open on both workers, then what is gathered must be complete.
    const seen = await eventually('events of the flow', async () => {
      events.length = 0
      const headers = { 'x-signalbox-cid': 'tail-1', traceparent: OUTER.replace(TRACE_ID, '4'.repeat(32)) }
      await (await fetch(`${url}/orders/1`, { method: 'POST', headers })).text()
      await (await fetch(`${url}/refused`, { method: 'POST', headers: { 'x-signalbox-cid': 'else' } })).text()
      for (let i = 0; i < 20 && events.length < 9; i++) await new Promise(resolve => setTimeout(resolve, 20))
      return events.length === 9 ? [...events] : undefined
    })
    assert.ok(seen.every(({ cid }) => cid === 'tail-1'))
    const count = (event: string) => seen.filter(other => other.event === event).length
    assert.deepEqual(
      {
        received: count('received'),
        answered: count('answered'),
        handled: count('handled'),
        sent: count('sent'),
      },
      { received: 1, answered: 1, handled: 3, sent: 4 },
    )
    assert.ok(
      seen.every(event => event.event === 'received' || (event.outcome === 'ok' && event.durationMs! >= 0)),
    )
    assert.ok(seen.every(event => event.body === undefined))
    stop.abort()
    await tail
  })
})

/** The counts of all workers together. */
async function tracesOf(node: Node) {
  const sum = { kept: 0, ratio: 0, limit: 0, queue: 0, exported: 0, failed: 0, dropped: 0, queued: 0 }
  for (const { traces } of await node.telemetry.snapshots()) {
    const counts = { ...traces?.roots, ...traces?.spans }
    for (const key of Object.keys(counts) as (keyof typeof sum)[]) sum[key] += counts[key]!
  }
  return sum
}

const SERVER = 2
const CLIENT = 3
const ERROR = 2

function named(spans: readonly Span[], name: string): Span[] {
  return spans.filter(span => span.name === name)
}

/** Each call on the connection lies below a remote, and the partner was told so. */
function checkInvokes(
  invokes: readonly Span[],
  remotes: readonly Span[],
  requests: readonly Received[],
): void {
  assert.equal(invokes.length, 4)
  for (const invoke of invokes) {
    assert.equal(invoke.kind, CLIENT)
    assert.ok(remotes.some(({ spanId }) => spanId === invoke.parentSpanId))
    const request = requests.find(
      ({ headers }) => headers.traceparent === `00-${TRACE_ID}-${invoke.spanId}-01`,
    )
    assert.ok(request, 'the partner has seen the span')
    assert.equal(request.headers.tracestate, 'vendor=x1,other=y')
    assert.equal(request.headers['x-signalbox-cid'], 'trace-1')
    assert.equal(request.url, invoke.attributes['signalbox.operation'] === 'get' ? '/typed' : '/sent')
  }
}
