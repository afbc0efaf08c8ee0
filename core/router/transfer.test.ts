import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { isTransferable, transfer } from './transfer.ts'

test('a view that was given up can be told from one that was not', () => {
  const bytes = new Uint8Array(100)
  assert.equal(isTransferable(bytes), false)
  assert.equal(transfer(bytes), bytes)
  assert.equal(isTransferable(bytes), true)
  assert.equal(isTransferable(bytes.subarray(0)), false, 'another view of the same memory was not given up')
})

test('memory that has been moved away is not transferable any more', () => {
  const bytes = transfer(Buffer.allocUnsafeSlow(100))
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(bytes, [bytes.buffer])
  port1.close()
  port2.close()
  assert.equal(isTransferable(bytes), false)
})

test('shared memory is refused', () => {
  assert.throws(() => transfer(Buffer.from('pooled')), /cannot be moved/)
  assert.throws(() => transfer(new Uint8Array(new SharedArrayBuffer(8))), /SharedArrayBuffer/)
})
