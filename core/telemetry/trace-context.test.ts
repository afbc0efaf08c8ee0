import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinTrace, splitTrace, traceHeaders } from './trace-context.ts'

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
