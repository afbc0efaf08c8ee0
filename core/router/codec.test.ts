import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import { ATTACHMENT_MIN_BYTES, Decoder, Encoder, type WireMessage } from './codec.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function roundTrip(value: unknown): unknown {
  const { body, attachments } = new Encoder().encode([['t', 1, 'service/a', value]])
  return new Decoder().decode(body, attachments)[0]![3]
}

function obstacle(value: unknown, encoder = new Encoder()): { index: number; path: string; reason: string } {
  try {
    encoder.encode([
      ['t', 1, 'ok'],
      ['t', 2, value],
    ])
  } catch (error) {
    assert.ok(error instanceof SignalboxError, inspect(error))
    assert.equal(error.code, 'SIGNALBOX_CODEC_UNENCODABLE')
    const details = error.details as { index: number; path: string; reason: string }
    assert.equal(details.index, 1)
    return details
  }
  assert.fail(`was encoded: ${inspect(value)}`)
}

function nested(levels: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

const withOwnProto = JSON.parse('{"__proto__": {"polluted": true}, "a": 1}') as object

const EQUAL: Record<string, unknown> = {
  null: null,
  undefined: undefined,
  'undefined inside': { a: undefined, b: [undefined, null] },
  booleans: [true, false],
  integers: [
    0,
    -0,
    1,
    -1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    -256,
    -257,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    2 ** 53,
  ],
  'large numbers': [2 ** 53 + 2, 1e308, 5e-324, Number.NaN, Infinity, -Infinity, 0.1],
  bigints: [
    0n,
    -1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    2n ** 63n,
    2n ** 64n,
    -(2n ** 64n),
    2n ** 5000n,
    -(3n ** 999n),
  ],
  strings: ['', 'a', 'ą€😀', 'x'.repeat(63), 'x'.repeat(64), 'ż'.repeat(70_000), '\u0000'],
  'lone surrogates': ['\ud800', 'a\udc00b', '\udc00\ud800', ['\ud83d', '\ude00'], { '\ud800': 1 }],
  dates: [new Date(0), new Date(-1), new Date(8.64e15), new Date(Number.NaN), new Date(1_234_567_890_123)],
  map: new Map<unknown, unknown>([
    ['a', { b: 1 }],
    [1, 2],
    [{ k: 1 }, new Map([[null, undefined]])],
  ]),
  set: new Set([1, 'a', { b: 1 }, new Set([Number.NaN])]),
  buffers: [Buffer.from('abc'), Buffer.alloc(0), Buffer.alloc(5_000, 7), Buffer.alloc(200_000, 8)],
  'typed arrays': [
    new Uint8Array([1, 2]),
    new Int8Array([-1]),
    new Uint8ClampedArray([255]),
    new Int16Array([-300]),
    new Uint16Array([60_000]),
    new Int32Array([-70_000]),
    new Uint32Array([4e9]),
    new Float32Array([0.5, Number.NaN]),
    new Float64Array([0.1, -0]),
    new BigInt64Array([-5n]),
    new BigUint64Array([5n]),
    new Float64Array(10_000).fill(0.25),
    new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 2),
    new Uint32Array(new Uint32Array([1, 2, 3]).buffer, 4, 1),
  ],
  arraybuffers: [new ArrayBuffer(0), new Uint8Array([9, 8]).buffer, new Uint8Array(100_000).fill(3).buffer],
  regexp: [/a/, /b\/c/giu, /(?<x>y)/dsy, /(?:)/],
  errors: [
    new Error('plain'),
    new TypeError('type'),
    Object.assign(new RangeError('with code'), { code: 'E_X', errno: -2, path: '/p' }),
    new AggregateError([new Error('one')], 'many'),
  ],
  'null prototype': Object.assign(Object.create(null), { a: 1, ['__proto__']: 2 }),
  'own __proto__': withOwnProto,
  'awkward keys': {
    constructor: 1,
    toJSON: 'x',
    hasOwnProperty: 2,
    10: 'ten',
    2: 'two',
    '': 'empty',
    'a/b~c': 1,
    '-0': 1,
  },
  'constructor that lies': { constructor: { name: 'Array' }, length: 3 },
  'sparse array': Object.assign(new Array(6), { 0: 1, 2: 3, 4: undefined }),
  'deep enough': nested(500),
  'many keys': Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`key${i}`, i])),
  'long key': { ['k'.repeat(1000)]: 1 },
  'long array': Array.from({ length: 70_000 }, (_, i) => i),
  'ten megabytes': [
    'x'.repeat(5_000_000),
    Array.from({ length: 200_000 }, (_, i) => ({ i, s: `value ${i}` })),
  ],
}

describe('what arrives equal', () => {
  for (const [name, value] of Object.entries(EQUAL)) {
    test(name, () => assert.deepStrictEqual(roundTrip(value), value))
  }

  test('nothing is polluted by an own __proto__, also when its reader is compiled', () => {
    const many = Array.from({ length: 100 }, () => structuredClone(withOwnProto))
    const back = roundTrip(many) as object[]
    assert.ok(Object.hasOwn(back[99]!, '__proto__'))
    assert.equal(Reflect.get({}, 'polluted'), undefined)
    assert.equal(Object.getPrototypeOf(back[99]), Object.prototype)
  })

  test('an instance of a class is a plain object of its fields; a subclass is what it extends', () => {
    class Point {
      x = 1
      #secret = 2
      get sum() {
        return this.x + this.#secret
      }
      toJSON() {
        return 'not called'
      }
    }
    class Tags extends Map<string, number> {}
    class Bytes extends Uint8Array {}
    class List extends Array<number> {}
    assert.deepStrictEqual(roundTrip(new Point()), { x: 1 })
    assert.deepStrictEqual(roundTrip(new Tags([['a', 1]])), new Map([['a', 1]]))
    assert.deepStrictEqual(roundTrip(new Bytes([1])), new Uint8Array([1]))
    assert.deepStrictEqual(roundTrip(List.of(1, 2)), [1, 2])
  })

  test('an error of a class of its own keeps its name, code and fields; stack and cause stay behind', () => {
    class OrderError extends Error {
      override name = 'OrderError'
      code = 7
    }
    const sent = new OrderError('no', { cause: new Error('password=secret') })
    const back = roundTrip(sent) as OrderError
    assert.equal(`${back}`, 'OrderError: no')
    assert.deepEqual(
      [back instanceof Error, back.code, back.cause, back.stack],
      [true, 7, undefined, 'OrderError: no'],
    )
    const aborted = roundTrip(new DOMException('stopped', 'AbortError')) as Error
    assert.deepEqual(
      [aborted instanceof Error, aborted.name, aborted.message],
      [true, 'AbortError', 'stopped'],
    )
  })

  test('a SignalboxError comes back as one', () => {
    const sent = new SignalboxError('SIGNALBOX_MAILBOX_FULL', 'full', {
      details: { a: 1 },
      retryAfterMs: 5,
      status: 429,
    })
    const back = roundTrip(sent)
    assert.ok(back instanceof SignalboxError)
    assert.deepStrictEqual(back.toWire(), sent.toWire())
  })

  test('a proxy of data travels as the data', () => {
    assert.deepStrictEqual(roundTrip(new Proxy({ a: [1] }, {})), { a: [1] })
  })
})

describe('binary data', () => {
  test('large parts travel beside the body, untouched and without a copy', () => {
    const large = new Uint8Array(ATTACHMENT_MIN_BYTES)
    const buffer = Buffer.alloc(ATTACHMENT_MIN_BYTES + 1, 1)
    const { body, attachments } = new Encoder().encode([
      ['t', [large, Buffer.alloc(ATTACHMENT_MIN_BYTES - 1), buffer]],
    ])
    assert.equal(attachments.length, 2)
    assert.equal(attachments[0], large)
    assert.equal(attachments[1], buffer)
    assert.ok(body.byteLength < ATTACHMENT_MIN_BYTES + 100)
    const back = new Decoder().decode(body, attachments)[0]![1] as Uint8Array[]
    assert.equal(back[0]!.buffer, large.buffer)
    assert.ok(Buffer.isBuffer(back[2]) && back[2].buffer === buffer.buffer)
  })

  test('the body is owned: alone in its memory, and not changed by later batches', () => {
    const encoder = new Encoder()
    const first = encoder.encode([['t', 'first']]).body
    const copy = Uint8Array.from(first)
    encoder.encode([['t', 'second']])
    assert.deepStrictEqual(Uint8Array.from(first), copy)
    assert.deepEqual([first.byteOffset, first.buffer.byteLength], [0, first.byteLength])
  })

  test('small parts are copies: to keep one is not to keep the body', () => {
    const { body } = new Encoder().encode([['t', Buffer.from('abc')]])
    const back = new Decoder().decode(body)[0]![1] as Buffer
    assert.notEqual(back.buffer, body.buffer)
  })
})

describe('what cannot travel', () => {
  class Cyclic {
    self: unknown
  }
  const cycle = new Cyclic()
  cycle.self = [cycle]
  const throws = new Proxy({}, { ownKeys: () => assert.fail('trap') })
  const getter = { a: { get b() { return assert.fail('boom') } } } // biome-ignore format: one line
  const sparse: unknown[] = []
  sparse.length = 4_000_000_000
  const cases: [string, unknown, string, RegExp][] = [
    ['a function', { a: [1, { f: () => 1 }] }, '/2/a/1/f', /function/],
    ['a class', { a: Cyclic }, '/2/a', /function/],
    ['a symbol', [Symbol('x')], '/2/0', /symbol/],
    ['a promise', { p: Promise.resolve() }, '/2/p', /Promise/],
    ['a WeakMap', { 'a/b~': new WeakMap() }, '/2/a~1b~0', /WeakMap/],
    ['a generator', [(function* () {})()], '/2/0', /Generator/],
    ['a stream', Readable.from([]), '/2', /stream/],
    ['an emitter', { e: new EventEmitter() }, '/2/e', /emitter/],
    ['a URL', new URL('http://a'), '/2', /URL/],
    ['a response', new Response('x'), '/2', /Response/],
    ['a boxed number', { n: Object(1) }, '/2/n', /boxed/],
    ['shared memory', new SharedArrayBuffer(8), '/2', /SharedArrayBuffer/],
    ['a cycle', { c: cycle }, '/2/c/self/0', /cycle/],
    ['a proxy that throws', { p: throws }, '/2/p', /trap/],
    ['a getter that throws', getter, '/2/a/b', /boom/],
    ['a fake date', Object.create(Date.prototype), '/2', /Date/],
    [
      'a function in a map',
      new Map([
        ['a', 1],
        ['b', parseInt],
      ] as [string, unknown][]),
      '/2/1',
      /function/,
    ],
    ['a function in a set', new Set([1, parseInt]), '/2/1', /function/],
    ['a function in an error', Object.assign(new Error('x'), { f: parseInt }), '/2/f', /function/],
    [
      'details that are no data',
      new SignalboxError('X', 'x', { details: { f: parseInt } }),
      '/2/details/f',
      /function/,
    ],
    ['a sparse array', { s: sparse }, '/2/s', /holes/],
  ]
  for (const [name, value, path, reason] of cases) {
    test(name, () => {
      const found = obstacle(value)
      assert.equal(found.path, path)
      assert.match(found.reason, reason)
    })
  }

  test('nesting without end', () => assert.match(obstacle(nested(100_000)).reason, /nested more than 512/))

  test('a diamond of references is searched in time', () => {
    let value: unknown = [() => 1]
    for (let i = 0; i < 60; i++) value = [i, value]
    let shared: unknown = [1]
    for (let i = 0; i < 18; i++) shared = [shared, shared]
    assert.match(obstacle([shared, value]).reason, /function/)
  })

  test('a message that is no array', () => {
    assert.throws(() => new Encoder().encode([{} as unknown as WireMessage]), {
      code: 'SIGNALBOX_CODEC_UNENCODABLE',
    })
  })

  test('a getter that encodes does not spoil the batch it is read for', () => {
    const value = { get a() { return new Encoder().encode([['x']]) } } // biome-ignore format: one line
    assert.match(obstacle(value).reason, /may not encode or send/)
    assert.deepStrictEqual(roundTrip({ ok: 1 }), { ok: 1 })
  })
})

describe('a pair', () => {
  const order = (id: number) => ({ id, customer: `C-${id}`, lines: [{ sku: 'A', quantity: id }], paid: true })

  test('the keys of objects are sent once', () => {
    const encoder = new Encoder()
    const decoder = new Decoder()
    const first = encoder.encode([['t', order(1)]]).body
    const second = encoder.encode([['t', order(2)]]).body
    assert.ok(second.length < first.length - 30)
    assert.deepStrictEqual(decoder.decode(first), [['t', order(1)]])
    assert.deepStrictEqual(decoder.decode(second), [['t', order(2)]])
  })

  test('a self-contained body needs no other', () => {
    const encoder = new Encoder({ selfContained: true })
    encoder.encode([['t', order(1)]])
    assert.deepStrictEqual(new Decoder().decode(encoder.encode([['t', order(2)]]).body), [['t', order(2)]])
  })

  test('a batch that fails does not desynchronise it', () => {
    const encoder = new Encoder()
    const decoder = new Decoder()
    decoder.decode(encoder.encode([['t', order(1)]]).body)
    obstacle({ brandNew: 1, keys: { f: () => 1 } }, encoder)
    for (const batch of [[['t', { brandNew: 2 }]], [['t', order(3)]], [['t', { keys: { f: 1 } }]]]) {
      assert.deepStrictEqual(decoder.decode(encoder.encode(batch).body), batch)
    }
  })

  test('a lost, repeated or reordered body is noticed, and a reset mends it', () => {
    const encoder = new Encoder()
    const decoder = new Decoder()
    const bodies = [1, 2, 3].map(id => encoder.encode([['t', order(id)]]).body)
    decoder.decode(bodies[0]!)
    assert.throws(() => decoder.decode(bodies[2]!), { code: 'SIGNALBOX_CODEC_MALFORMED' })
    assert.throws(
      () => decoder.decode(bodies[1]!),
      { code: 'SIGNALBOX_CODEC_MALFORMED' },
      'not after a failure',
    )
    encoder.reset()
    assert.deepStrictEqual(decoder.decode(encoder.encode([['t', order(4)]]).body), [['t', order(4)]])
    const once = encoder.encode([['t', order(5)]]).body
    decoder.decode(once)
    assert.throws(() => decoder.decode(once), { code: 'SIGNALBOX_CODEC_MALFORMED' })
  })

  test('objects with ever-changing keys take bounded memory, and known shapes stay short', () => {
    const encoder = new Encoder()
    const decoder = new Decoder()
    let serial = 0
    const send = (batches: number) => {
      for (let b = 0; b < batches; b++) {
        const batch = Array.from({ length: 16 }, () => [
          't',
          { [`key-${serial++}`]: 1, [`other-${serial}`]: { [`deep-${serial}`]: serial } },
          Object.fromEntries(Array.from({ length: 100 }, () => [`d${serial++}`, 1])),
        ])
        const { body } = encoder.encode(batch)
        assert.deepStrictEqual(decoder.decode(body), batch)
      }
    }
    const used = () => {
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    send(200)
    const before = used()
    send(600)
    const grown = used() - before
    assert.ok(grown < 4_000_000, `${grown} bytes more after 600 further batches`)
  })
})

/** Everything above, mixed. */
const anything: fc.Arbitrary<unknown> = fc.letrec<{ any: unknown; leaf: unknown }>(tie => ({
  leaf: fc.oneof(
    fc.constantFrom(
      null,
      undefined,
      true,
      false,
      -0,
      Number.NaN,
      Infinity,
      '',
      '\ud800',
      '\udc00x',
      withOwnProto,
    ),
    fc.integer(),
    fc.double(),
    fc.bigInt(),
    fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'binary-ascii', maxLength: 200 }),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 5 })
      .map(units => String.fromCharCode(...units)),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array({ maxLength: 50 }).map(bytes => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 50 }),
    fc.float64Array({ maxLength: 5 }),
    fc.bigInt64Array({ maxLength: 3 }),
    fc.int16Array({ maxLength: 5 }).map(array => array.buffer),
    fc.constantFrom(/a/g, /[/\]]/u),
    fc.string().map(text => new TypeError(text)),
  ),
  any: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('any'), { maxLength: 5 }),
    fc.sparseArray(tie('any'), { maxLength: 5, maxNumElements: 3 }),
    fc.dictionary(
      fc.oneof(
        fc.string(),
        fc.constantFrom('__proto__', 'constructor', 'toJSON', 'a', 'b', '0', '17', 'length'),
      ),
      tie('any'),
      { maxKeys: 5, noNullPrototype: false },
    ),
    fc.record({ id: tie('leaf'), name: tie('any') }, { requiredKeys: ['id'] }),
    fc.array(fc.tuple(tie('any'), tie('any')), { maxLength: 4 }).map(entries => new Map(entries)),
    fc.array(tie('any'), { maxLength: 4 }).map(members => new Set(members)),
  ),
})).any

test('any value goes round equal, batch after batch through one pair', () => {
  const encoder = new Encoder()
  const decoder = new Decoder()
  fc.assert(
    fc.property(fc.array(fc.array(anything, { maxLength: 4 }), { maxLength: 4 }), batch => {
      const { body, attachments } = encoder.encode(batch)
      assert.deepStrictEqual(decoder.decode(body, attachments), batch)
    }),
    { numRuns: 2_000 },
  )
})

test('a bad value anywhere is found at its path, and the pair goes on', () => {
  const encoder = new Encoder()
  const decoder = new Decoder()
  fc.assert(
    fc.property(
      anything,
      fc.constantFrom(() => 1, Symbol('s'), Promise.resolve()),
      anything,
      (before, bad, after) => {
        const found = obstacle({ before, deep: [after, { bad }] }, encoder)
        assert.equal(found.path, '/2/deep/1/bad')
        const batch = [['t', before, after]]
        assert.deepStrictEqual(decoder.decode(encoder.encode(batch).body), batch)
      },
    ),
    { numRuns: 300 },
  )
})
