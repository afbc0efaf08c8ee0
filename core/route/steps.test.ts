import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, it, type TestContext } from 'node:test'
import { until } from '../actor/actor-test-kit.ts'
import { TestClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { fakeConnection } from '../service/test-kit.ts'
import type { StepList } from './options.ts'
import { route } from './route.ts'
import { type RouteSource, type TestRouteOptions, testRoute } from './test-kit.ts'

async function under(t: TestContext, source: RouteSource, options?: TestRouteOptions) {
  const tested = await testRoute(source, options)
  t.after(() => tested.close())
  return tested
}
const steps = (...list: StepList) => ({ steps: list })
const unavailable = () => new SignalboxError('SIGNALBOX_NOT_CONNECTED', 'down')

describe('choosing', () => {
  it('filter ends what does not match, and the route answers nothing', async t => {
    const r = await under(t, steps({ filter: 'total > 10' }, { set: { payload: '"yes"' } }))
    assert.equal((await r.send({ total: 11 })).payload, 'yes')
    assert.equal((await r.send({ total: 10 })).payload, undefined)
    assert.equal((await r.send({})).payload, undefined)
    const f = await under(
      t,
      route<number>()
        .filter(n => n > 1)
        .transform(n => n * 2),
    )
    assert.equal((await f.send(2)).payload, 4)
    assert.equal((await f.send(1)).payload, undefined)
  })

  it('choose takes the first branch that matches; without one the message goes on', async t => {
    const r = await under(
      t,
      steps(
        {
          choose: [
            { when: 'kind = "a"', steps: [{ transform: '"first"' }] },
            { when: '$headers.kind = "b"', steps: [{ transform: '"second"' }] },
          ],
        },
        { set: { vars: { seen: true } } },
        { transform: '[$, $vars.seen]' },
      ),
    )
    assert.deepEqual((await r.send({ kind: 'a' }, { headers: { kind: 'b' } })).payload, ['first', true])
    assert.deepEqual((await r.send({}, { headers: { kind: 'b' } })).payload, ['second', true])
    assert.deepEqual((await r.send({ kind: 'c' })).payload, [{ kind: 'c' }, true])
  })

  it('dynamic asks for the next address until there is none, and not for ever', async t => {
    const plus = (input: unknown) => (input as number) + 1
    const r = await under(t, steps({ dynamic: '$ < 3 ? "service/plus" : null' }), { services: { plus } })
    assert.equal((await r.send(0)).payload, 3)
    const loop = await under(t, steps({ dynamic: { next: '"service/plus"', maxHops: 5 } }), {
      services: { plus },
    })
    await assert.rejects(loop.send(0), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
    assert.equal(loop.calls.length, 5)
    const wrong = await under(t, steps({ dynamic: '"system/state"' }))
    await assert.rejects(wrong.send(0), { code: 'SIGNALBOX_ADDRESS_INVALID' })
  })
})

describe('several at once', () => {
  const services = {
    a: () => 'a',
    b: () => 'b',
    down: () => {
      throw unavailable()
    },
  }

  it('recipients get a copy each; answers come in their order', async t => {
    const r = await under(t, steps({ recipients: 'to' }), { services })
    const to = ['service/b', 'service/a', 'queue/q', 'topic/t']
    assert.deepEqual((await r.send({ to })).payload, ['b', 'a', undefined, undefined])
    assert.deepEqual(
      r.kept.map(({ kind, name }) => [kind, name]),
      [
        ['queue', 'q'],
        ['topic', 't'],
      ],
    )
    assert.deepEqual((await r.send({})).payload, [])
    const few = await under(t, steps({ recipients: { to: 'to', max: 3 } }), { services })
    await assert.rejects(few.send({ to }), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
  })

  it('need says how many must succeed; combine sees results and errors', async t => {
    const branches = [[{ call: 'a' }], [{ call: 'down' }], [{ call: 'b' }]]
    const all = await under(t, steps({ multicast: branches }), { services })
    await assert.rejects(all.send(1), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_ROUTE_PARTIAL')
      assert.equal(error.retryable, true)
      assert.deepEqual(error.details?.succeeded, 2)
      return true
    })
    const some = await under(
      t,
      steps({
        multicast: { branches, need: 2, combine: '{ "ok": results, "bad": errors.code, "was": original }' },
      }),
      { services },
    )
    assert.deepEqual(
      { ...((await some.send(1)).payload as object) },
      {
        ok: ['a', 'b'],
        bad: 'SIGNALBOX_NOT_CONNECTED',
        was: 1,
      },
    )
    const three = await under(t, steps({ multicast: { branches, need: 3 } }), { services })
    await assert.rejects(three.send(1), { code: 'SIGNALBOX_ROUTE_PARTIAL' })
  })

  it('branches that are late have failed; no more run at once than may', async t => {
    const clock = new TestClock()
    let active = 0
    let most = 0
    const slow = async () => {
      most = Math.max(most, ++active)
      await new Promise(resolve => setImmediate(resolve))
      active--
      return 'slow'
    }
    const never = () => new Promise(() => {})
    const branches = [
      [{ call: 'slow' }],
      [{ call: 'slow' }],
      [{ call: 'slow' }],
      [{ call: 'slow' }],
      [{ call: 'never' }],
    ]
    const r = await under(t, steps({ multicast: { branches, parallel: 2, timeoutMs: 500, need: 'any' } }), {
      services: { slow, never },
      clock,
    })
    const sent = r.send(1, { timeoutMs: 60_000 })
    await until(() => r.calls.length === 5, 'all branches have begun')
    await r.advance(500)
    assert.deepEqual((await sent).payload, ['slow', 'slow', 'slow', 'slow'])
    assert.equal(most, 2)
  })

  it('a branch does not change the message of another', async t => {
    const r = await under(
      t,
      steps({
        multicast: [
          [{ set: { headers: { x: '"1"' }, vars: { v: '1' } } }, { transform: '$headers.x & $vars.v' }],
          [{ transform: '$exists($headers.x) or $exists($vars.v)' }],
        ],
      }),
    )
    assert.deepEqual((await r.send({})).payload, ['11', false])
  })

  it('tap does not hold the message up, and its failure is only logged', async t => {
    const r = await under(t, steps({ tap: [{ call: 'down' }] }, { transform: '"on"' }), { services })
    assert.equal((await r.send(1)).payload, 'on')
    assert.equal(r.log.filter(({ message }) => message === 'a copy of a message failed').length, 1)
  })

  it('enrich adds to a property or combines', async t => {
    const customer = (id: unknown) => ({ id, name: 'Ada' })
    const r = await under(
      t,
      steps({
        enrich: { steps: [{ call: { service: 'customer', payload: 'customerId' } }], into: 'customer' },
      }),
      { services: { customer } },
    )
    assert.deepEqual((await r.send({ customerId: 7 })).payload, {
      customerId: 7,
      customer: { id: 7, name: 'Ada' },
    })
    await assert.rejects(r.send([1]), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
    const c = await under(
      t,
      route<number>().enrich(s => s.transform(n => n * 10), {
        combine: ({ original, addition }) => [original, addition],
      }),
    )
    assert.deepEqual((await c.send(2)).payload, [2, 20])
  })
})

describe('split', () => {
  it('gives each part its place, and reads lists from anywhere in the message', async t => {
    const see =
      '[$, $headers."sb-sequence-number", $headers."sb-sequence-size", $headers."sb-correlation-id"]'
    const r = await under(t, steps({ split: { each: 'lines', result: 'list', steps: [{ transform: see }] } }))
    assert.deepEqual((await r.send({ lines: ['x', 'y'] }, { cid: 'c' })).payload, [
      ['x', '1', '2', 'c'],
      ['y', '2', '2', 'c'],
    ])
    await assert.rejects(r.send({ lines: 5 }), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
    assert.deepEqual((await r.send({})).payload, [])
  })

  it('stops at the first failure, or collects them', async t => {
    const picky = (input: unknown) => {
      if (input === 2) throw unavailable()
      return input
    }
    const stopping = await under(t, steps({ split: { steps: [{ call: 'picky' }] } }), { services: { picky } })
    await assert.rejects(stopping.send([1, 2, 3]), { code: 'SIGNALBOX_NOT_CONNECTED' })
    assert.equal(stopping.calls.length, 2)
    const collecting = await under(
      t,
      steps({ split: { onError: 'collect', parallel: 2, steps: [{ call: 'picky' }] } }),
      { services: { picky } },
    )
    assert.deepEqual((await collecting.send([1, 2, 3])).payload, {
      parts: 3,
      failed: 1,
      errors: [{ part: 2, code: 'SIGNALBOX_NOT_CONNECTED', message: 'down' }],
    })
  })

  it('reads streams without holding them, no faster than its parts are handled', async t => {
    let read = 0
    let handled = 0
    let ahead = 0
    async function* numbers() {
      for (let i = 0; i < 1_000; i++) {
        read++
        yield i
      }
    }
    const sink = async () => {
      ahead = Math.max(ahead, read - handled)
      await new Promise(resolve => setImmediate(resolve))
      handled++
    }
    const r = await under(
      t,
      route().split(s => s.transform(sink), { each: () => numbers(), parallel: 4 }),
    )
    assert.deepEqual((await r.send(null)).payload, { parts: 1_000, failed: 0, errors: [] })
    assert.ok(ahead <= 8, `${ahead} were read ahead`)
    const few = await under(t, steps({ split: { maxParts: 2, steps: [{ log: '"x"' }] } }))
    await assert.rejects(few.send([1, 2, 3]), { code: 'SIGNALBOX_FORMAT_LIMIT' })
  })

  it('reads bodies of a format', async t => {
    const r = await under(
      t,
      steps({ split: { format: 'json', result: 'list', steps: [{ transform: 'a' }] } }),
    )
    assert.deepEqual((await r.send(Buffer.from('[{"a":1},{"a":2}]'))).payload, [1, 2])
    await assert.rejects(r.send(Buffer.from('{"a":1}')), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
    await assert.rejects(r.send(Buffer.from('[{')), { code: 'SIGNALBOX_FORMAT_INVALID' })
    const streamed = await under(
      t,
      route().split(s => s.transform('a'), {
        each: () => Readable.from([Buffer.from('[{"a":'), Buffer.from('3}]')]),
        format: 'json',
        result: 'list',
      }),
    )
    assert.deepEqual((await streamed.send(null)).payload, [3])
  })

  it('and aggregate make one of the parts again, also of a stream whose end is not known', async t => {
    async function* numbers() {
      yield* [1, 2, 3, 4, 5]
    }
    for (const each of [() => [1, 2, 3, 4, 5], numbers]) {
      const r = await under(
        t,
        route().split(
          s =>
            s
              .filter((n: unknown) => (n as number) > 0)
              .aggregate({
                sequence: true,
                combine: list => list.reduce((a, b) => (a as number) + (b as number), 0),
              })
              .publish('sums'),
          { each, parallel: 3 },
        ),
      )
      await r.send(null)
      assert.deepEqual(
        r.kept.map(({ payload }) => payload),
        [15],
      )
    }
  })
})

describe('the message', () => {
  it('set changes payload, headers and variables as they were before the step', async t => {
    const r = await under(
      t,
      steps(
        { set: { payload: '$headers.a', headers: { b: 'a', gone: null }, vars: { v: 5, w: 'a' } } },
        { transform: '[$, $headers.b, $exists($headers.gone), $vars.v, $vars.w]' },
      ),
    )
    assert.deepEqual((await r.send({ a: 'p' }, { headers: { a: 'h', gone: 'x' } })).payload, [
      'h',
      'p',
      false,
      5,
      'p',
    ])
  })

  it('parse and build go through the formats', async t => {
    const r = await under(t, steps({ parse: 'json' }, { set: { payload: '{ "b": a }' } }, { build: 'json' }))
    assert.equal((await r.send('{"a":1}')).payload, '{"b":1}')
    await assert.rejects(r.send('{'), { code: 'SIGNALBOX_FORMAT_INVALID' })
    await assert.rejects(under(t, steps({ parse: 'jsno' })), /did you mean 'json'/)
    await assert.rejects(under(t, steps({ parse: 'toString' })), { code: 'SIGNALBOX_ROUTE_INVALID' })
    await assert.rejects(under(t, steps({ parse: { format: 'json', options: { x: 1 } } })), /has no options/)
  })

  it('validate refuses what does not match', async t => {
    const schema = { type: 'object', required: ['id'] }
    const r = await under(t, steps({ validate: { schema } }))
    await r.send({ id: 1 })
    await assert.rejects(r.send({}), { code: 'SIGNALBOX_INPUT_INVALID' })
    await assert.rejects(under(t, steps({ validate: { schema: { type: 'objekt' } } })), /no JSON Schema/)
    await assert.rejects(under(t, steps({ validate: { with: 'nobody' } })), /no validator/)
  })

  it('log, fail and stop', async t => {
    const r = await under(
      t,
      steps(
        { log: { message: '"got " & $', level: 'warn' } },
        { choose: [{ when: '$ = "bad"', steps: [{ fail: { message: '"no " & $', status: 418 } }] }] },
        { stop: { status: 202 } },
        { fail: '"never"' },
      ),
    )
    const reply = await r.send('good')
    assert.deepEqual([reply.payload, reply.status], [undefined, 202])
    await assert.rejects(r.send('bad'), { code: 'SIGNALBOX_REQUEST_REFUSED', message: 'no bad', status: 418 })
    assert.deepEqual(r.log[0]?.message, 'got good')
  })

  it('claim keeps a body until its time is over', async t => {
    const clock = new TestClock(1_000)
    const r = await under(
      t,
      steps({ claim: { forMs: 5_000 } }, { call: 'slim' }, { restore: { keep: false } }),
      {
        clock,
        services: { slim: (ticket, { request }) => (request.headers['sb-claim'] === ticket) as never },
      },
    )
    assert.deepEqual((await r.send({ big: 'body' })).payload, { big: 'body' })
    const again = await under(t, steps({ restore: { ticket: '$' } }), { clock })
    await assert.rejects(again.send('route-under-test/AAAAAAAAAAAAAAAAAAAAAAAA'), {
      code: 'SIGNALBOX_CLAIM_UNKNOWN',
    })
    await assert.rejects(again.send('../../x'), { code: 'SIGNALBOX_CLAIM_UNKNOWN' })
  })
})

describe('sending', () => {
  it('headers that the route has set go along, those of its caller do not', async t => {
    const r = await under(
      t,
      steps(
        { set: { headers: { mine: '"1"' } } },
        { call: { service: 's', headers: { more: '"2"' } } },
        { tell: 's' },
        { publish: { topic: 't', key: '"k"', messageId: '"i"', priority: 7 } },
      ),
      { services: { s: () => 'answer' } },
    )
    await r.send(1, { headers: { cookie: 'secret' } })
    assert.deepEqual(
      r.calls.map(({ kind, payload, headers }) => [kind, payload, headers]),
      [
        ['invoke', 1, { mine: '1', more: '2' }],
        ['tell', 'answer', { mine: '1' }],
      ],
    )
    assert.deepEqual(r.kept[0]?.options, { headers: { mine: '1' }, id: 'i', key: 'k', priority: 7 })
  })

  it('send uses a connection with attributes; into puts the answer into a variable', async t => {
    const sent: unknown[] = []
    const erp = fakeConnection({
      send: async message => {
        sent.push([message.payload, message.attributes])
        return { payload: 'saved', headers: {}, cid: '' }
      },
    })
    const r = await under(
      t,
      steps(
        { send: { connection: 'erp', attributes: { path: '"/orders/" & $string(id)' }, into: 'answer' } },
        { transform: '[id, $vars.answer]' },
      ),
      { connections: { erp } },
    )
    assert.deepEqual((await r.send({ id: 7 })).payload, [7, 'saved'])
    assert.deepEqual(sent, [[{ id: 7 }, { path: '/orders/7' }]])
  })

  it('routes call routes', async t => {
    const r = await under(t, steps({ call: { route: 'other' } }), { routes: { other: () => 'there' } })
    assert.equal((await r.send(1)).payload, 'there')
    assert.equal(r.calls[0]?.service, 'route/other')
  })
})
