/** Bodies from anyone: a typed error or a value, in bounded time and memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SignalboxError } from '../errors.ts'
import { Decoder, Encoder } from './codec.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Park and Miller's generator: a failure can be repeated from its seed. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/** Decodes; true when it was accepted. Anything but SIGNALBOX_CODEC_MALFORMED fails the test. */
function accepts(body: Uint8Array, attachments: Uint8Array[] = [], decoder = new Decoder()): boolean {
  try {
    assert.ok(Array.isArray(decoder.decode(body, attachments)))
    return true
  } catch (error) {
    assert.ok(error instanceof SignalboxError && error.code === 'SIGNALBOX_CODEC_MALFORMED', `${error}`)
    return false
  }
}

/** A fresh body of this data and text. */
function bodyOf(
  data: number[] | Uint8Array,
  text: Uint8Array = Buffer.alloc(0),
  dataBytes = data.length,
): Buffer {
  const header = Buffer.from([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(dataBytes, 8)
  return Buffer.concat([header, Buffer.from(data), text])
}

function segment(text: string, kind = 0): Buffer {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(bytes.length * 4 + kind)
  return Buffer.concat([head, bytes])
}

const values: unknown[] = [
  {
    id: 1,
    name: 'order',
    lines: [
      { sku: 'a', n: 1.5 },
      { sku: 'b', n: -2 },
    ],
    ok: true,
    none: null,
    u: undefined,
  },
  new Map<unknown, unknown>([
    ['a', 1n],
    [2n ** 90n, new Set([new Date(5), /x/g])],
  ]),
  [new Error('e'), new SignalboxError('SIGNALBOX_NOT_FOUND', 'n', { details: { a: 1 } })],
  [Buffer.from('bytes'), new Float64Array([1, 2]), new Uint8Array([1]).buffer, 'zażółć', '\ud800'],
  Object.assign(Object.create(null), { ['__proto__']: 1, long: 'x'.repeat(300) }),
  Array.from({ length: 20 }, (_, i) => ({ i, s: `s${i}` })),
  [[[[[[]]]]], Object.assign(new Array(3), { 1: 1 }), 70_000, 1e300],
]
const samples = values.map(value => new Encoder().encode([['t', 1, 'service/a', value]]).body)

test('200,000 random and mutated bodies', { timeout: 120_000 }, () => {
  const random = generator(20_261_103)
  const lasting = new Decoder()
  let accepted = 0
  for (let run = 0; run < 200_000; run++) {
    const body = run % 4 === 0 ? randomBody(random) : mutated(samples[run % samples.length]!, random)
    const attachments = run % 50 === 0 ? [new Uint8Array(random(20))] : []
    if (accepts(body, attachments, run % 2 === 0 ? lasting : new Decoder())) accepted++
  }
  assert.ok(accepted > 100, `only ${accepted} were accepted: the mutations are too coarse to reach far`)
  assert.deepEqual(Object.keys(Object.prototype), [])
})

function randomBody(random: (below: number) => number): Buffer {
  const data = Uint8Array.from({ length: random(60) }, () => random(256))
  if (data.length > 1) data.set([1, 0xc0 + random(16)])
  return bodyOf(data, segment('some characters to be taken'.slice(random(27)), random(4)))
}

function mutated(sample: Uint8Array, random: (below: number) => number): Uint8Array {
  let body: Uint8Array = Uint8Array.from(sample)
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(body.length)
    const kind = random(5)
    if (kind < 3) body[at] = kind === 0 ? random(256) : body[at]! ^ (1 << random(8))
    else if (kind === 3) body = body.slice(0, Math.max(1, at))
    else body.copyWithin(at, random(body.length), random(body.length) + 8)
  }
  return body
}

test('every truncation and every single changed byte of a real body', () => {
  for (const sample of samples) {
    for (let end = 0; end < sample.length; end++) assert.equal(accepts(sample.slice(0, end)), false)
    for (let at = 0; at < sample.length; at++) {
      for (const byte of [0, 0x7f, 0xc1, 0xd0, 0xf9, 0xfb, 0xfd, 0xfe, 0xff]) {
        accepts(sample.map((old, i) => (i === at ? byte : old)))
      }
    }
  }
})

const LONG = [0xff, 0xff, 0xff, 0xff, 0xff]
const HOSTILE: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  'another version': Buffer.concat([Buffer.from([2]), samples[0]!.slice(1)]),
  'unknown flags': Buffer.from([1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
  'data longer than the body': bodyOf([0], undefined, 0xffff_ffff),
  'a huge batch': bodyOf(LONG),
  'a huge array': bodyOf([1, 0xf9, ...LONG]),
  'a huge dictionary': bodyOf([1, 0xc1, 0xfc, ...LONG]),
  'a huge map': bodyOf([1, 0xc1, 0xfe, 4, ...LONG]),
  'a huge set': bodyOf([1, 0xc1, 0xfe, 5, ...LONG]),
  'a huge string': bodyOf([1, 0xc1, 0xf8, ...LONG], segment('abc')),
  'a huge bigint': bodyOf([1, 0xc1, 0xfe, 1, 0, ...LONG]),
  'a huge buffer': bodyOf([1, 0xc1, 0xfe, 8, 0, ...LONG]),
  'a huge segment': bodyOf([1, 0xc1, 0x81], Buffer.from([0xff, 0xff, 0xff, 0xfc, 1])),
  'arrays that each claim the rest': bodyOf(
    Array.from({ length: 40_000 }, (_, i) => [1, 0xf9, 0xfe, 0x40, 0][i] ?? [0xf9, 0xfe, 0x40, 0][i % 4]!),
  ),
  'deep arrays': bodyOf([1, ...Array<number>(100_000).fill(0xc1), 0]),
  'deep shapes': bodyOf([1, 0xc1, 0xfb, 1, 0x81, ...Array<number>(100_000).fill(0xd0), 0], segment('a')),
  'deep definitions': bodyOf(
    [1, 0xc1, ...Array.from({ length: 100_000 }, () => [0xfb, 1, 0x81]).flat()],
    segment('a'.repeat(100_000)),
  ),
  'deep sets': bodyOf([1, 0xc1, ...Array.from({ length: 100_000 }, () => [0xfe, 5, 1]).flat(), 0]),
  'deep errors': bodyOf([1, 0xc1, ...Array.from({ length: 100_000 }, () => [0xfe, 7]).flat()]),
  'a shape nobody defined': bodyOf([1, 0xc1, 0xd5]),
  'a key twice': bodyOf([1, 0xc1, 0xfb, 2, 0x81, 0x81, 0, 0], segment('aa')),
  'a key that is a number': bodyOf([1, 0xc1, 0xfb, 1, 5, 0]),
  'a message that is a number': bodyOf([1, 5]),
  'a hole that is no element': bodyOf([1, 0xc1, 0xfe, 5, 1, 0xff]),
  'a bad regular expression': bodyOf([1, 0xc1, 0xfe, 3, 0x81, 0x80], segment('(')),
  'an error of the bus without a code': bodyOf([1, 0xc1, 0xfe, 7, 0xfc, 0]),
  'half a float64 in an array': bodyOf([1, 0xc1, 0xfe, 8, 10, 3, 1, 2, 3]),
  'an unknown kind of bytes': bodyOf([1, 0xc1, 0xfe, 8, 99, 0]),
  'an attachment that is not there': bodyOf([1, 0xc1, 0xfe, 9, 0]),
  'text that nobody reads': bodyOf([0], segment('abc')),
  'data after the batch': bodyOf([0, 0]),
}

for (const [name, body] of Object.entries(HOSTILE)) {
  test(`refused: ${name}`, () => {
    collectGarbage()
    const before = process.memoryUsage()
    const start = performance.now()
    assert.equal(accepts(body), false)
    const after = process.memoryUsage()
    const took = performance.now() - start
    assert.ok(took < 1_000, `${took} ms`)
    const bytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
    assert.ok(bytes < 2_000_000 + body.length * 100, `${bytes} bytes for ${body.length}`)
  })
}

test('an attachment that nobody refers to is refused', () => {
  assert.equal(accepts(bodyOf([0]), [new Uint8Array(1)]), false)
})

test('a peer that keeps inventing shapes costs time in proportion and no lasting memory', () => {
  const decoder = new Decoder()
  const uses = Array<number>(20).fill(0)
  const flood = (from: number, bodies: number) => {
    for (let i = from; i < from + bodies; i++) {
      const name = String(i).padStart(6, '0')
      const data = [1, 0xf9, uses.length + 1, 0xfb, 1, 0x86, 0, ...uses.flatMap(() => [0xd0, 0])]
      assert.ok(accepts(bodyOf(data, segment(name)), [], decoder))
    }
  }
  flood(0, 3_000)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const start = performance.now()
  flood(3_000, 20_000)
  const took = performance.now() - start
  collectGarbage()
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 2_000_000, `${grown} bytes`)
  assert.ok(took < 10_000, `${took} ms`)
})
