import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeKey, makeCurveKeys, sharedSecret } from './net-keys.ts'
import * as wire from './net-wire.ts'

test('a Z85 key is decoded as RFC 32 says', () => {
  // The test key of RFC 32.
  const hex = '8e0bdd697628b91d8f245587ee95c5b04d48963f79259877b49cd9063aead3b7'
  assert.equal(decodeKey('JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6', 'k').toString('hex'), hex)
  for (const bad of ['', 'x'.repeat(39), `"${'0'.repeat(39)}`, '#'.repeat(40)]) {
    assert.throws(() => decodeKey(bad, 'k'), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  }
})

test('both sides derive the same secret from CURVE keys', () => {
  const [a, b] = [makeCurveKeys(), makeCurveKeys()]
  const ab = sharedSecret(a.secretKey, decodeKey(b.publicKey, 'k'))
  const ba = sharedSecret(b.secretKey, decodeKey(a.publicKey, 'k'))
  assert.ok(ab.equals(ba) && ab.length === 32)
})

test('a hello has the documented layout, survives a round trip, and every flipped bit is noticed', () => {
  const [receiver, publicKey, secret] = [1, 2, 3].map(n => Buffer.alloc(32, n)) as [Buffer, Buffer, Buffer]
  const hello: wire.Hello = { version: 1, role: 'node', id: 'node-1', publicKey, maxFrameBytes: 0x01020304 }
  const bytes = wire.encodeHello(hello, secret, receiver)
  assert.equal(bytes.length, 106)
  assert.equal(bytes.toString('hex', 0, 8), '0153425800010106')
  assert.equal(bytes.toString('hex', 64, 68), '01020304')
  assert.equal(bytes.toString('latin1', 68, 74), 'node-1')
  assert.deepEqual(wire.decodeHello(bytes), hello)
  assert.ok(wire.helloIsGenuine(bytes, secret, receiver))
  assert.ok(!wire.helloIsGenuine(bytes, secret, publicKey))
  assert.ok(!wire.helloIsGenuine(bytes, receiver, receiver))
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.ok(!wire.decodeHello(flipped) || !wire.helloIsGenuine(flipped, secret, receiver), `bit ${bit}`)
  }
})

test('welcome, refuse and bye have the documented layout', () => {
  const welcome = { version: 1, nodeId: 'b', session: 7, maxFrameBytes: 65536 }
  assert.equal(wire.encodeWelcome(welcome).toString('hex'), '025342580001010000000007' + '00010000' + '62')
  assert.deepEqual(wire.decodeWelcome(wire.encodeWelcome(welcome)), welcome)
  assert.equal(wire.encodeRefuse(2).toString('hex'), '035342580002')
  assert.equal(wire.encodeBye('replaced').toString('hex'), '0602')
  assert.equal(wire.encodeHeader(wire.KIND.data, 0x01020304).toString('hex'), '0501020304')
})

test('no decoder throws, whatever comes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 8 }), (random, kind) => {
      const bytes = Buffer.concat([Buffer.from([kind]), Buffer.from('SBX'), random])
      for (const input of [bytes, Buffer.from(random)]) {
        wire.decodeHello(input)
        wire.decodeWelcome(input)
        wire.decodeRefuse(input)
        wire.decodeBye(input)
      }
    }),
    { numRuns: 2000 },
  )
})
