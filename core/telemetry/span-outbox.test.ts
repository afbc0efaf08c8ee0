import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { RecordTracer } from './record-tracer.ts'
import { RootSampler } from './root-sampler.ts'
import { type PackedSpans, type SpanRecord, type SpanTemplate, unpackSpans } from './span-batch.ts'
import { maxQueuedSpans, SpanOutbox } from './span-outbox.ts'

/** What has arrived at the port. */
function received(port: MessagePort): SpanRecord[] {
  const known = new Map<number, SpanTemplate>()
  const spans: SpanRecord[] = []
  for (let found = receiveMessageOnPort(port); found; found = receiveMessageOnPort(port)) {
    spans.push(...unpackSpans(found.message as PackedSpans, known))
  }
  return spans
}

function names(spans: readonly SpanRecord[]): string[] {
  return spans.map(({ template }) => template.name)
}

function tracing(maxQueued: number) {
  const outbox = new SpanOutbox(maxQueued)
  const sampler = new RootSampler(1, undefined, () => outbox.full)
  const tracer = new RecordTracer(outbox, sampler)
  const span = (name: string, trace?: string) => tracer.service(name, { cid: 'c' }, trace)!
  return { outbox, sampler, span }
}

test('what is not settled yet leaves no room: spans are dropped, traces do not begin, and all is counted', async t => {
  const { outbox, sampler, span } = tracing(3)
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  outbox.connect(port1)
  const spans = ['a', 'b', 'c', 'd'].map(name => span(name))
  for (const each of spans) each.end(undefined, undefined)
  outbox.flush()
  assert.deepEqual(names(received(port2)), ['service handle a', 'service handle b', 'service handle c'])
  assert.deepEqual(outbox.counts, { exported: 0, failed: 0, dropped: 1, queued: 3 })
  assert.ok(span('e').trace.endsWith('-00'))
  assert.equal(sampler.counts.queue, 1)
  port2.postMessage({ exported: 1, failed: 1 })
  await once(port1, 'message')
  assert.deepEqual(outbox.counts, { exported: 1, failed: 1, dropped: 1, queued: 1 })
  assert.ok(span('e').trace.endsWith('-01'))
})

test('when the other side goes, its spans count as failed; a new one is told the templates again', async t => {
  const { outbox, span } = tracing(100)
  const first = new MessageChannel()
  outbox.connect(first.port1)
  span('a').end(undefined, undefined)
  outbox.flush()
  assert.equal(received(first.port2).length, 1)
  first.port2.close()
  await once(first.port1, 'close')
  assert.deepEqual(outbox.counts, { exported: 0, failed: 1, dropped: 0, queued: 0 })
  span('a').end(undefined, undefined)
  outbox.flush()
  assert.equal(outbox.counts.dropped, 1)
  const second = new MessageChannel()
  t.after(() => second.port1.close())
  outbox.connect(second.port1)
  span('a').end(undefined, undefined)
  outbox.flush()
  assert.deepEqual(names(received(second.port2)), ['service handle a'])
})

test('templates without end are forgotten on both sides', t => {
  const { outbox, span } = tracing(100_000)
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  outbox.connect(port1)
  const begun = span('s0')
  for (let i = 0; i < 10_500; i++) span(`s${i}`).end(undefined, undefined)
  begun.end(undefined, undefined)
  outbox.flush()
  const spans = names(received(port2))
  assert.deepEqual(spans, [
    ...Array.from({ length: 10_500 }, (_, i) => `service handle s${i}`),
    'service handle s0',
  ])
})

test('a span goes on with the trace it belongs to, its state, and begins none that is not sampled', t => {
  const { outbox, sampler, span } = tracing(100)
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  outbox.connect(port1)
  const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01 vendor=x`
  const outer = span('outer', trace)
  assert.match(outer.trace, /^00-a{32}-[0-9a-f]{16}-01 vendor=x$/)
  outer.end(undefined, undefined)
  assert.equal(span('outer', trace.replace('-01', '-00')), undefined)
  outbox.flush()
  const [record] = received(port2)
  assert.deepEqual(
    [record!.traceId, record!.parentId, record!.state, record!.spanId],
    ['a'.repeat(32), 'b'.repeat(16), 'vendor=x', outer.trace.slice(36, 52)],
  )
  assert.equal(sampler.counts.kept, 0)
})

test('the room for spans is that of OTEL_BSP_MAX_QUEUE_SIZE', () => {
  assert.equal(maxQueuedSpans({}), 2_048)
  assert.equal(maxQueuedSpans({ OTEL_BSP_MAX_QUEUE_SIZE: '10' }), 10)
  assert.equal(maxQueuedSpans({ OTEL_BSP_MAX_QUEUE_SIZE: 'many' }), 2_048)
})
