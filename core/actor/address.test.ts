import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseOf, checkAddress, keyOf } from './address.ts'

test('addresses of every documented form are taken', () => {
  for (const address of [
    'service/orders.create',
    'channel/http/public',
    'service/account#42',
    'a/B-1_$:x',
    'a/b#',
  ]) {
    assert.equal(checkAddress(address), address)
  }
  assert.equal(checkAddress('service/a#any/key #\n'), 'service/a#any/key #\n')
})

test('what is no address is refused with its code, and shown shortened', () => {
  const long = `service/${'x'.repeat(600)}`
  for (const address of [
    '',
    'service',
    'service/',
    '/x',
    'Service/x',
    'service//x',
    'service/x/',
    'a/b c',
    '#k',
    long,
  ]) {
    assert.throws(() => checkAddress(address), { code: 'SIGNALBOX_ADDRESS_INVALID' }, address)
  }
  assert.throws(() => checkAddress(7 as never), /'number' is not an address/)
  assert.throws(
    () => checkAddress(long),
    (error: Error) => error.message.length < 200,
  )
})

test('the key is what stands after the first #', () => {
  assert.deepEqual([baseOf('a/b#c#d'), keyOf('a/b#c#d')], ['a/b', 'c#d'])
  assert.deepEqual([baseOf('a/b'), keyOf('a/b')], ['a/b', undefined])
  assert.equal(keyOf('a/b#'), '')
})
