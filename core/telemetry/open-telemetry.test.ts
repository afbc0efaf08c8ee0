import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPeer } from '../../test/collector.ts'
import { SignalboxError } from '../errors.ts'
import { silentLogger } from './log.ts'
import { startTraces } from './open-telemetry.ts'
import { telemetrySettings } from './options.ts'

/** The fields of a protobuf message that hold bytes, by number. Throws where it is no protobuf. */
function fieldsOf(message: Buffer): Map<number, Buffer[]> {
  const fields = new Map<number, Buffer[]>()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      assert.ok(at < message.length, 'a varint does not end')
      const byte = message[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    const type = tag % 8
    const length = type === 2 ? varint() : type === 1 ? 8 : type === 5 ? 4 : 0
    if (type === 0) varint()
    assert.ok([0, 1, 2, 5].includes(type) && at + length <= message.length, `type ${type} at ${at}`)
    const field = (tag - type) / 8
    if (type === 2) fields.set(field, [...(fields.get(field) ?? []), message.subarray(at, at + length)])
    at += length
  }
  return fields
}

test('spans leave as OTLP protobuf, the last ones when tracing stops', async t => {
  const collector = await startPeer('application/x-protobuf', '')
  t.after(collector.close)
  const settings = telemetrySettings({ traces: { endpoint: `${collector.url}/` } }, {}, 'shop')
  const { tracer, stop } = await startTraces(settings, { node: 'n1', worker: '0', log: silentLogger })
  const outer = tracer.service('orders.create', { cid: 'c1' }, undefined)!
  const inner = tracer.service('stock.take', { cid: 'c1' }, outer.trace)!
  inner.end(new SignalboxError('SIGNALBOX_CONFLICT', 'sold out'), undefined)
  outer.end(undefined, undefined)
  await stop()
  assert.equal(collector.received.length, 1)
  const { url, headers, body } = collector.received[0]!
  assert.deepEqual([url, headers['content-type']], ['/v1/traces', 'application/x-protobuf'])
  // ExportTraceServiceRequest.resource_spans[].scope_spans[].spans[] of opentelemetry-proto.
  const below = (message: Buffer, field: number) => fieldsOf(message).get(field) ?? []
  const spans = below(body, 1)
    .flatMap(resource => below(resource, 2))
    .flatMap(scope => below(scope, 2))
    .map(fieldsOf)
  assert.deepEqual(
    spans.map(span => span.get(5)![0]!.toString()),
    ['service handle stock.take', 'service handle orders.create'],
  )
  const [taken, created] = spans
  assert.equal(taken!.get(1)![0]!.toString('hex'), outer.trace.slice(3, 35))
  assert.deepEqual(taken!.get(4)![0], created!.get(2)![0], 'the parent of one is the other')
})
