/** Link scenarios: what arrives, as what, and in which order. */
import assert from 'node:assert/strict'
import type { Envelope } from '../../core/actor/envelope.ts'
import { SignalboxError } from '../../core/errors.ts'
import { transfer } from '../../core/router/transfer.ts'
import type { LinkScenario } from './link.ts'
import { echo, spec } from './link-actors.ts'
import { until, within } from './wait.ts'

const MEBIBYTE = 1024 * 1024

const PAYLOADS: unknown[] = [
  undefined,
  null,
  true,
  0,
  -0,
  -1,
  2 ** 40,
  1.5,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  12345678901234567890n,
  '',
  'žluťoučký kůň 🐎 \ud800',
  [],
  [1, [2, [3]]],
  {},
  {
    id: 'o1',
    lines: [
      { sku: 'a', quantity: 2 },
      { sku: 'b', quantity: 1 },
    ],
    note: undefined,
  },
  new Date(0),
  /a+/giu,
  new Map<unknown, unknown>([['k', { v: 1 }]]),
  new Set([1, 'two']),
  Buffer.from('bytes'),
  Buffer.alloc(0),
  new Uint8Array([1, 2, 3]),
  new Float64Array([1.5, -2]),
  new TypeError('typed'),
]

export const delivery: LinkScenario[] = [
  {
    name: 'a tell and an ask go there, and the answer comes back',
    async run({ a, b }) {
      const told: unknown[] = []
      await b.spawn(
        'service/told',
        spec(payload => void told.push(payload)),
      )
      await b.spawn('service/echo', echo)
      await a.spawn('service/echo-a', echo)
      await a.system.tell('service/told', { hello: 1 })
      assert.deepEqual(await a.system.ask('service/echo', { n: 1 }), { n: 1 })
      assert.deepEqual(await b.system.ask('service/echo-a', 'other way'), 'other way')
      assert.deepEqual(told, [{ hello: 1 }])
    },
  },
  {
    name: '10,000 messages of mixed sizes arrive once and in order, for each of two receivers',
    async run({ a, b }) {
      const seen: Record<string, number[]> = { one: [], two: [] }
      for (const name of ['one', 'two']) {
        await b.spawn(
          `service/${name}`,
          spec(({ n }: { n: number }) => void seen[name]!.push(n), { concurrency: 1 }),
        )
      }
      for (let n = 0; n < 10_000; n++) {
        const size = n % 1000 === 0 ? 100_000 : n % 100 === 0 ? 5_000 : n % 50
        await a.system.tell(`service/${n % 2 ? 'one' : 'two'}`, { n, filler: Buffer.alloc(size) })
      }
      await until(() => seen.one!.length + seen.two!.length >= 10_000, 'all have arrived')
      assert.deepEqual(
        seen.one,
        Array.from({ length: 5_000 }, (_, i) => 2 * i + 1),
      )
      assert.deepEqual(
        seen.two,
        Array.from({ length: 5_000 }, (_, i) => 2 * i),
      )
    },
  },
  {
    name: 'tells and asks of one sender arrive in the order they were sent',
    async run({ a, b }) {
      const seen: number[] = []
      await b.spawn(
        'service/s',
        spec((n: number) => void seen.push(n), { concurrency: 1, mailboxCapacity: 4 }),
      )
      const asks: Promise<unknown>[] = []
      for (let n = 0; n < 2_000; n++) {
        if (n % 3 === 0) asks.push(a.system.ask('service/s', n))
        else await a.system.tell('service/s', n)
      }
      await Promise.all(asks)
      await until(() => seen.length === 2_000, 'all have arrived')
      assert.deepEqual(seen, [...seen.keys()])
    },
  },
  {
    name: 'every kind of payload arrives equal, there and back',
    async run({ a, b }) {
      const seen: unknown[] = []
      await b.spawn(
        'service/echo',
        spec(payload => {
          seen.push(payload)
          return payload
        }),
      )
      for (const [i, payload] of PAYLOADS.entries()) {
        assert.deepStrictEqual(await a.system.ask('service/echo', payload), payload)
        assert.deepStrictEqual(seen[i], payload)
      }
    },
  },
  {
    name: 'a binary of 1 MiB arrives whole, and the buffer of the sender stays usable',
    async run({ a, b }) {
      await b.spawn('service/echo', echo)
      const bytes = Buffer.alloc(MEBIBYTE, 'binary')
      const view = Buffer.from(bytes.buffer, 10, 200_000)
      const answer = (await a.system.ask('service/echo', { bytes, view })) as { bytes: Buffer; view: Buffer }
      assert.ok(Buffer.isBuffer(answer.bytes) && answer.bytes.equals(bytes))
      assert.ok(answer.view.equals(view))
      assert.equal(bytes.byteLength, MEBIBYTE)
      assert.equal(bytes.toString('latin1', 0, 6), 'binary')
    },
  },
  {
    name: 'a buffer that was given up arrives whole',
    async run({ a, b }) {
      await b.spawn('service/echo', echo)
      const bytes = transfer(Buffer.alloc(MEBIBYTE, 'given'))
      const [first, second] = (await Promise.all([
        a.system.ask('service/echo', bytes),
        a.system.ask('service/echo', 'next'),
      ])) as [Buffer, string]
      assert.equal(first.byteLength, MEBIBYTE)
      assert.equal(first.toString('latin1', 0, 5), 'given')
      assert.equal(second, 'next')
    },
  },
  {
    name: 'memory that cannot move is copied although it was given up',
    async run({ a, b }) {
      await b.spawn('service/echo', echo)
      // The types of Node.js know no WebAssembly.
      const { Memory } = Reflect.get(globalThis, 'WebAssembly') as {
        Memory: new (size: { initial: number }) => { buffer: ArrayBuffer }
      }
      const bytes = transfer(new Uint8Array(new Memory({ initial: 16 }).buffer).fill(7))
      const answer = (await a.system.ask('service/echo', { bytes, other: Buffer.alloc(70_000) })) as {
        bytes: Uint8Array
      }
      assert.equal(answer.bytes.byteLength, MEBIBYTE)
      assert.ok(answer.bytes.every(byte => byte === 7))
      assert.equal(bytes[0], 7)
    },
  },
  {
    name: 'many large messages of one turn arrive, although together they are too large for a batch',
    async run({ a, b }) {
      await b.spawn(
        'service/size',
        spec((bytes: Buffer) => bytes.byteLength),
      )
      const asks = Array.from({ length: 40 }, (_, i) =>
        a.system.ask('service/size', Buffer.alloc(MEBIBYTE + i)),
      )
      assert.deepEqual(
        await Promise.all(asks),
        Array.from({ length: 40 }, (_, i) => MEBIBYTE + i),
      )
    },
  },
  {
    name: 'a typed error crosses with code, message, details, status and retryAfterMs',
    async run({ a, b }) {
      const options = { details: { order: 7 }, status: 418, retryable: true, retryAfterMs: 250 }
      await b.spawn(
        'service/fails',
        spec(() => {
          throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', options)
        }),
      )
      await assert.rejects(a.system.ask('service/fails', 1), (error: SignalboxError) => {
        assert.ok(error instanceof SignalboxError)
        const { code, message, details, status, retryable, retryAfterMs } = error
        assert.deepEqual(
          { code, message, details, status, retryable, retryAfterMs },
          {
            code: 'ORDER_UNKNOWN',
            message: 'no order 7',
            ...options,
          },
        )
        return true
      })
    },
  },
  {
    name: 'what a handler says beside its answer crosses',
    async run({ a, b }) {
      await b.spawn(
        'service/head',
        spec((_: unknown, envelope: Envelope) =>
          envelope.resolve('made', { status: 201, headers: { location: '/7' } }),
        ),
      )
      const answer = await a.system.request('service/head', 1)
      assert.deepEqual(answer, { payload: 'made', head: { status: 201, headers: { location: '/7' } } })
    },
  },
  {
    name: 'the context crosses: cid, headers, trace and origin',
    async run({ a, b }) {
      const context = {
        cid: 'c1',
        headers: { 'x-a': '1' },
        trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        origin: { channel: 'http/public', identity: { name: 'ada' } },
      }
      await b.spawn(
        'service/context',
        spec((_: unknown, { context: { cid, headers, trace, origin } }: Envelope) => ({
          cid,
          headers,
          trace,
          origin,
        })),
      )
      assert.deepEqual(await a.system.ask('service/context', 1, context), context)
      const empty = { cid: undefined, headers: undefined, trace: undefined, origin: undefined }
      assert.deepEqual(await a.system.ask('service/context', 1), empty)
    },
  },
  {
    name: 'what was sent before FIN has arrived when the other end is finished',
    async run({ a, b }) {
      const seen: unknown[] = []
      await b.spawn(
        'service/s',
        spec(n => void seen.push(n)),
      )
      for (let n = 0; n < 100; n++) void a.system.tell('service/s', n)
      a.finish()
      await within(b.finished(), 'finished')
      await until(() => seen.length === 100, 'all have arrived')
    },
  },
]
