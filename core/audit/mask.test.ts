/** What is masked is never in what is kept, whatever the body looks like. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { unpackValue } from '../store/value.ts'
import type { KeptBody } from './entry.ts'
import { Masker } from './mask.ts'

const SECRET = 'q7-never-to-be-seen-7q'
const MAX = 1_000_000
const kept = (bytes: Uint8Array | undefined) => (unpackValue(bytes!) as KeptBody).payload

/** Names of one field, as senders write it. */
const spelling = fc.constantFrom('cardNo', 'card_no', 'CARD-NO', 'cardno', 'cbc:CardNo', '@cardNo')
const anyName = fc.oneof(fc.string(), fc.constantFrom('a', 'toString', 'constructor', '0', 'é', ''))
/** Data with the secret somewhere below a field of that name. */
const hiding = fc
  .tuple(fc.array(fc.tuple(anyName, fc.boolean(), fc.jsonValue({ maxDepth: 2 })), { maxLength: 6 }), spelling)
  .map(([way, name]) => {
    let value: unknown = { [name]: [SECRET, { deep: SECRET }] }
    for (const [step, inList, beside] of way) {
      const key = step === '__proto__' ? 'proto' : step
      value = inList
        ? [beside, value]
        : Object.fromEntries([
            ['beside', beside],
            [key, value],
          ])
    }
    return value
  })

function assertHidden(masker: Masker, payload: unknown): void {
  const { reason, bytes, altered } = masker.encode(payload)
  if (bytes === undefined) return
  assert.equal(reason, 'kept')
  assert.ok(!Buffer.from(bytes).includes(SECRET), 'the secret is in the bytes')
  assert.equal(altered, true)
}

test('a named field is masked at any depth, in data, in JSON as text and as bytes, and in a text within', () => {
  const masker = new Masker(['cardNo'], MAX)
  fc.assert(
    fc.property(hiding, fc.constantFrom(undefined, 1, '\t'), (data, indent) => {
      const text = JSON.stringify(data, null, indent)
      for (const payload of [data, text, Buffer.from(text), { inner: text }, [text]])
        assertHidden(masker, payload)
    }),
    { numRuns: 300 },
  )
})

test('a second field of the same name, or one written with escapes, hides nothing', () => {
  const masker = new Masker(['cardNo', '/a/pin'], MAX)
  for (const text of [
    `{"cardNo":"${SECRET}","cardNo":1}`,
    `{"x":{"cardNo":"${SECRET}"},"x":1}`,
    `{"\\u0063ardNo":"${SECRET}"}`,
    `{"x":{"\\u0063ardNo":"${SECRET}"},"x":"\\"cardNo"}`,
    `{"a":{"pin":"${SECRET}"},"a":2}`,
    `  {"a":{"pin":"${SECRET}"}}`,
  ]) {
    assertHidden(masker, text)
    // A pointer is one into the body, not into a text in it.
    if (!text.includes('pin')) assertHidden(masker, { text })
  }
  assertHidden(masker, JSON.stringify([JSON.stringify({ cardNo: SECRET })]))
})

test('pointers mask what they point to and nothing else', () => {
  const masker = new Masker(['/a/b~1c/0'], MAX)
  const { bytes, altered } = masker.encode({ a: { 'b/c': [SECRET, 2] }, b: [3] })
  assert.equal(altered, true)
  assert.deepEqual(kept(bytes), { a: { 'b/c': ['***', 2] }, b: [3] })
})

test('XML is masked by the names of elements and attributes; what cannot be read is left out', () => {
  const masker = new Masker(['cardNo'], MAX)
  for (const xml of [
    `<a><cardNo>${SECRET}</cardNo></a>`,
    `<a><x:card-no xmlns:x="urn:x"><![CDATA[${SECRET}]]></x:card-no></a>`,
    `<a cardNo="${SECRET}"/>`,
    `<a><password>${SECRET}</password></a>`,
    `<a><cardNo>${SECRET}</a>`,
    `<!DOCTYPE a [<!ENTITY e "${SECRET}">]><a><cardNo>&e;</cardNo></a>`,
  ]) {
    assertHidden(masker, xml)
    assertHidden(masker, Buffer.from(xml))
  }
  const plain = '<a>\n  <b c="1">text</b>\n</a>'
  assert.equal(kept(masker.encode(plain).bytes), plain)
})

test('text and bytes that are neither are left out when anything is masked, and kept otherwise', () => {
  const strict = new Masker(['cardNo'], MAX)
  for (const body of [`cardNo=${SECRET}`, `UNB+UNOA:1+${SECRET}'`, Buffer.from([0, 255, 1])]) {
    assert.equal(strict.encode(body).reason, 'notMaskable')
  }
  const open = new Masker([], MAX)
  assert.equal(kept(open.encode('UNB+UNOA:1').bytes), 'UNB+UNOA:1')
  assert.deepEqual(kept(open.encode(Buffer.from([0, 255, 1])).bytes), Buffer.from([0, 255, 1]))
})

test('telling names are masked without being named, and a body that is kept whole is not altered', () => {
  const masker = new Masker([], MAX)
  assertHidden(masker, { user: 'ann', password: SECRET })
  assertHidden(masker, `{"access_token":"${SECRET}"}`)
  assertHidden(masker, { url: `https://ann:${SECRET}@example.com/` })
  const text = '{ "amount": 12345678901234567890, "name": "x" }'
  const whole = masker.encode(Buffer.from(text))
  assert.equal(whole.altered, false)
  assert.equal(String(kept(whole.bytes)), text)
  assert.deepEqual(kept(masker.encode({ token: false, list: [1, null] }).bytes), {
    token: false,
    list: [1, null],
  })
})

test('what is too large, no data, or a stream is left out, and nothing throws', () => {
  const masker = new Masker([], 1_000)
  const loop: Record<string, unknown> = {}
  loop.loop = loop
  const trap = {
    get x() {
      throw new Error('trap')
    },
  }
  const refused: [unknown, string][] = [
    ['x'.repeat(1_001), 'tooLarge'],
    [Buffer.alloc(1_001), 'tooLarge'],
    [Array.from({ length: 1_000 }, () => 1), 'tooLarge'],
    [loop, 'notData'],
    [trap, 'notData'],
    [new Map(), 'notData'],
    [{ f: () => 1 }, 'notData'],
    [new Proxy({}, { ownKeys: () => { throw new Error('trap') } }), 'notData'], // biome-ignore format: one line
    [ReadableStream.from(['x']), 'stream'],
    [(async function* () {})(), 'stream'],
  ]
  for (const [payload, reason] of refused) assert.equal(masker.encode(payload).reason, reason)
  fc.assert(fc.property(fc.anything({ withBigInt: true, withMap: true, withDate: true }), payload => {
    masker.encode(payload)
  })) // biome-ignore format: one line
})
