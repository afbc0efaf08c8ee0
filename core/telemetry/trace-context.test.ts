import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSampled, joinTrace, splitTrace, traceHeaders } from './trace-context.ts'

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test('what comes in goes out again', () => {
  assert.deepEqual(traceHeaders(joinTrace(PARENT, 'a=1,b=2')), { traceparent: PARENT, tracestate: 'a=1,b=2' })
  assert.deepEqual(traceHeaders(joinTrace(PARENT, undefined)), { traceparent: PARENT })
  assert.deepEqual(splitTrace(joinTrace(PARENT, 'a=1')), {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    flags: 1,
    state: 'a=1',
  })
})

test('a later version is read as far as it is known', () => {
  assert.equal(joinTrace(`01${PARENT.slice(2)}-more`, undefined), PARENT)
})

test('what is no trace context is passed over', () => {
  const bad = [
    undefined,
    7,
    '',
    `${PARENT}x`,
    PARENT.toUpperCase(),
    PARENT.replace('b7ad6b7169203331', '0'.repeat(16)),
    PARENT.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)),
    `ff${PARENT.slice(2)}`,
    `${PARENT}\r\nx: y`,
  ]
  for (const value of bad) assert.equal(joinTrace(value, undefined), undefined, String(value))
  assert.equal(joinTrace(PARENT, 'a=1\r\nx: y'), PARENT)
  assert.equal(joinTrace(PARENT, 'a'.repeat(600)), PARENT)
  assert.equal(traceHeaders('hostile\r\nx: y'), undefined)
  assert.equal(splitTrace('nonsense'), undefined)
})

test('the flag of a trace is read from its last digit, and nothing too short is sampled', () => {
  for (let flags = 0; flags < 256; flags++) {
    const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags.toString(16).padStart(2, '0')}`
    assert.equal(isSampled(trace), (flags & 1) === 1, trace)
    assert.equal(isSampled(`${trace} k=v`), (flags & 1) === 1)
    assert.equal(isSampled(trace.slice(0, -1)), false)
  }
})
