import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { until } from '../actor/actor-test-kit.ts'
import { TestClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { StepList } from './options.ts'
import { route } from './route.ts'
import { type RouteSource, type TestRouteOptions, testRoute } from './test-kit.ts'

async function under(t: TestContext, source: RouteSource, options?: TestRouteOptions) {
  const tested = await testRoute(source, options)
  t.after(() => tested.close())
  return tested
}
const steps = (...list: StepList) => ({ steps: list })
const fails = (code = 'SIGNALBOX_NOT_CONNECTED') => new SignalboxError(code, 'down')
const LONG = { timeoutMs: 10_000_000 }

describe('retry', () => {
  it('tries again with the message as it was, with growing pauses, until it succeeds', async t => {
    const clock = new TestClock()
    const times: number[] = []
    const flaky = (input: unknown) => {
      times.push(clock.monotonic())
      if (times.length < 4) throw fails()
      return input
    }
    const list = [{ set: { payload: '$ + 1' } }, { call: 'flaky' }]
    const r = await under(t, steps({ retry: { steps: list, minMs: 100, factor: 2, attempts: 4 } }), {
      clock,
      services: { flaky },
    })
    const sent = r.send(1, LONG)
    for (let i = 0; i < 80 && times.length < 4; i++) await r.advance(10)
    assert.equal((await sent).payload, 2)
    const pauses = times.slice(1).map((at, i) => at - times[i]!)
    for (const [i, pause] of pauses.entries())
      assert.ok(pause <= 100 * 2 ** i + 10, `pause ${i}: ${pause} ms`)
  })

  it('gives up after its attempts, its budget, and at once where it is no use', async t => {
    const clock = new TestClock()
    let code = 'SIGNALBOX_NOT_CONNECTED'
    const down = () => {
      throw fails(code)
    }
    const r = await under(
      t,
      steps({ retry: { steps: [{ call: 'down' }], attempts: 3, minMs: 1, unless: ['MINE'] } }),
      {
        clock,
        services: { down },
      },
    )
    const sent = assert.rejects(r.send(1, LONG), { code })
    for (let i = 0; i < 20; i++) await r.advance(5)
    await sent
    assert.equal(r.calls.length, 3)
    for (code of ['SIGNALBOX_REQUEST_REFUSED', 'MINE']) await assert.rejects(r.send(1, LONG), { code })
    assert.equal(r.calls.length, 5)
    const budget = await under(
      t,
      route().retry(
        s =>
          s.transform(() =>
            Promise.reject(new SignalboxError('SIGNALBOX_OVERLOADED', '', { retryAfterMs: 5_000 })),
          ),
        {
          budgetMs: 4_000,
        },
      ),
      { clock },
    )
    await assert.rejects(budget.send(1, LONG), { code: 'SIGNALBOX_OVERLOADED' })
  })
})

describe('circuit', () => {
  it('opens, answers at once or by its fallback, probes with one message, and closes', async t => {
    const clock = new TestClock()
    let isDown = true
    let hold: PromiseWithResolvers<void> | undefined
    const server = async () => {
      await hold?.promise
      if (isDown) throw fails()
      return 'up'
    }
    const make = (fallback?: StepList) =>
      under(
        t,
        steps({
          circuit: { steps: [{ call: 'server' }], failures: 2, openMs: 1_000, ...(fallback && { fallback }) },
        }),
        {
          clock,
          services: { server },
        },
      )
    const r = await make()
    for (let i = 0; i < 2; i++) await assert.rejects(r.send(1, LONG), { code: 'SIGNALBOX_NOT_CONNECTED' })
    await assert.rejects(r.send(1, LONG), { code: 'SIGNALBOX_CIRCUIT_OPEN', retryAfterMs: 1_000 })
    assert.equal(r.calls.length, 2)
    await r.advance(1_000)
    // The probe fails: it stays open.
    await assert.rejects(r.send(1, LONG), { code: 'SIGNALBOX_NOT_CONNECTED' })
    await assert.rejects(r.send(1, LONG), { code: 'SIGNALBOX_CIRCUIT_OPEN' })
    await r.advance(1_000)
    isDown = false
    hold = Promise.withResolvers()
    const probe = r.send(1, LONG)
    await until(() => r.calls.length === 4, 'the probe is under way')
    await assert.rejects(r.send(1, LONG), { code: 'SIGNALBOX_CIRCUIT_OPEN' })
    hold.resolve()
    assert.equal((await probe).payload, 'up')
    assert.equal((await r.send(1, LONG)).payload, 'up')
    isDown = true
    const f = await make([{ transform: '$error.code' }])
    for (let i = 0; i < 2; i++) await assert.rejects(f.send(1, LONG))
    assert.equal((await f.send(1, LONG)).payload, 'SIGNALBOX_CIRCUIT_OPEN')
  })

  it('counts no failures of the message itself', async t => {
    const refuse = () => {
      throw fails('SIGNALBOX_REQUEST_REFUSED')
    }
    const r = await under(t, steps({ circuit: { steps: [{ call: 'refuse' }], failures: 1 } }), {
      services: { refuse },
    })
    for (let i = 0; i < 3; i++) await assert.rejects(r.send(1), { code: 'SIGNALBOX_REQUEST_REFUSED' })
  })
})

describe('dead letter', () => {
  it('keeps the original message with reason and step', async t => {
    const list: StepList = [
      { set: { payload: '"changed"', headers: { a: '"b"' } } },
      { id: 'break', fail: { code: 'ORDER_UNKNOWN', message: '"line 1\nline 2"' } },
    ]
    const r = await under(t, { deadLetter: 'failed', steps: list })
    assert.equal((await r.send({ id: 7 }, { headers: { from: 'x' } })).payload, undefined)
    const [letter] = r.kept
    assert.deepEqual([letter?.kind, letter?.name, letter?.payload], ['queue', 'failed', { id: 7 }])
    assert.deepEqual(letter?.options.headers, {
      from: 'x',
      'sb-dead-route': 'route-under-test',
      'sb-dead-code': 'ORDER_UNKNOWN',
      'sb-dead-reason': 'line 1 line 2',
      'sb-dead-step': 'break',
    })
    const loud = await under(t, steps({ deadLetter: { queue: 'failed', rethrow: true, steps: list } }))
    await assert.rejects(loud.send(1), { code: 'ORDER_UNKNOWN' })
    assert.equal(loud.kept.length, 1)
  })

  it('of a part names the innermost step, and the parts go on', async t => {
    const r = await under(
      t,
      steps({
        split: {
          steps: [
            {
              deadLetter: {
                queue: 'bad',
                steps: [{ choose: [{ when: '$ = 2', steps: [{ id: 'deep', fail: '"two"' }] }] }],
              },
            },
          ],
        },
      }),
    )
    assert.deepEqual((await r.send([1, 2, 3])).payload, { parts: 3, failed: 0, errors: [] })
    assert.equal(r.kept[0]?.options.headers?.['sb-dead-step'], 'deep')
    assert.equal(r.kept[0]?.payload, 2)
  })
})

describe('idempotent', () => {
  it('handles a key once in its window; a failure gives it free', async t => {
    const clock = new TestClock(1_000)
    let isDown = true
    const once = () => {
      if (isDown) throw fails()
      return 'done'
    }
    const r = await under(t, steps({ idempotent: { key: 'id', windowMs: 1_000 } }, { call: 'once' }), {
      clock,
      services: { once },
    })
    await assert.rejects(r.send({ id: 1 }, LONG), { code: 'SIGNALBOX_NOT_CONNECTED' })
    isDown = false
    assert.equal((await r.send({ id: 1 }, LONG)).payload, 'done')
    assert.equal((await r.send({ id: 1 }, LONG)).payload, undefined)
    assert.equal((await r.send({ id: 2 }, LONG)).payload, 'done')
    await r.advance(1_001)
    assert.equal((await r.send({ id: 1 }, LONG)).payload, 'done')
    await assert.rejects(r.send({}, LONG), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
  })

  it('lets nobody else at a message that is being handled, and fails duplicates where it is to', async t => {
    const hold = Promise.withResolvers<void>()
    const r = await under(t, steps({ idempotent: { key: 'id', onDuplicate: 'fail' } }, { call: 'slow' }), {
      services: { slow: () => hold.promise },
    })
    const first = r.send({ id: 1 })
    await until(() => r.calls.length === 1, 'the first is under way')
    await assert.rejects(r.send({ id: 1 }), { code: 'SIGNALBOX_ROUTE_BUSY', retryable: true })
    hold.resolve()
    await first
    await assert.rejects(r.send({ id: 1 }), { code: 'SIGNALBOX_CONFLICT' })
  })
})

describe('time', () => {
  it('throttle lets the burst pass, then holds back or refuses', async t => {
    const clock = new TestClock()
    const r = await under(t, steps({ throttle: { limit: 2, perMs: 1_000 } }, { log: '"passed"' }), { clock })
    const passed = () => r.log.filter(({ message }) => message === 'passed').length
    const sent = [1, 2, 3, 4].map(n => r.send(n, LONG))
    await until(() => passed() === 2, 'the burst has passed')
    await r.advance(499)
    assert.equal(passed(), 2)
    await r.advance(1)
    await until(() => passed() === 3, 'the third has passed')
    await r.advance(500)
    await Promise.all(sent)
    const hard = await under(t, steps({ throttle: { limit: 1, perMs: 1_000, over: 'reject' } }), { clock })
    await hard.send(1, LONG)
    await assert.rejects(hard.send(1, LONG), {
      code: 'SIGNALBOX_THROTTLED',
      status: 429,
      retryAfterMs: 1_000,
    })
    await r.advance(1_000)
    await hard.send(1, LONG)
  })

  it('delay holds short ones, keeps long ones, and ends with the caller', async t => {
    const clock = new TestClock()
    const r = await under(t, steps({ delay: 'ms' }, { publish: 'late' }), { clock })
    const short = r.send({ ms: 800 }, LONG)
    await until(() => r.steps[0]!.begun === 1, 'it waits')
    assert.equal(r.kept.length, 0)
    await r.advance(800)
    assert.deepEqual((await short).payload, { ms: 800 })
    assert.equal((await r.send({ ms: 60_000 }, LONG)).payload, undefined)
    await r.advance(59_999)
    assert.equal(r.kept.length, 1)
    await r.advance(1)
    await until(() => r.kept.length === 2, 'it goes on')
    await assert.rejects(r.send({ ms: 'soon' }, LONG), { code: 'SIGNALBOX_EXPRESSION_FAILED' })
    const abort = new AbortController()
    const given = assert.rejects(r.send({ ms: 900 }, { ...LONG, signal: abort.signal }))
    await until(() => r.steps[0]!.begun === 4, 'it waits')
    abort.abort()
    await given
    await r.advance(1_000)
    assert.equal(r.kept.length, 2)
  })
})

describe('saga', () => {
  it('takes back what was done, last first, with the message as it was after each step', async t => {
    const list: StepList = [
      {
        saga: [
          {
            name: 'stock',
            do: [{ call: { service: 'reserve', into: 'stock' } }],
            undo: [{ tell: { service: 'free', payload: '$vars.stock' } }],
          },
          {
            name: 'pay',
            do: [{ call: { service: 'pay', into: 'payment' } }],
            undo: [{ tell: { service: 'refund', payload: '$vars.payment' } }],
          },
          { name: 'ship', do: [{ call: 'ship' }], undo: [{ tell: 'never' }] },
        ],
      },
    ]
    const services = {
      reserve: () => 'r-1',
      pay: () => 'p-1',
      ship: (input: unknown) => {
        if (input === 'bad') throw fails('NO_TRUCK')
        return 'shipped'
      },
      free: () => {},
      refund: () => {},
      never: () => {},
    }
    const r = await under(t, { steps: list }, { services })
    assert.equal((await r.send('good')).payload, 'shipped')
    r.calls.length = 0
    await assert.rejects(r.send('bad'), (error: SignalboxError) => {
      assert.deepEqual([error.code, error.details?.compensation], ['NO_TRUCK', 'done'])
      return true
    })
    assert.deepEqual(
      r.calls.map(({ service, payload }) => [service, payload]),
      [
        ['reserve', 'bad'],
        ['pay', 'bad'],
        ['ship', 'bad'],
        ['refund', 'p-1'],
        ['free', 'r-1'],
      ],
    )
  })

  it('goes on taking back until it succeeds, and not twice what it has taken back', async t => {
    const clock = new TestClock()
    let isDown = true
    const undone: string[] = []
    const r = await under(
      t,
      route().saga(s =>
        s
          .step(
            'a',
            d => d.log('"a"'),
            u => u.transform(() => (isDown ? Promise.reject(fails()) : undone.push('a'))),
          )
          .step(
            'b',
            d => d.log('"b"'),
            u => u.transform(() => undone.push('b')),
          )
          .step('c', d => d.fail('"c"')),
      ),
      { clock },
    )
    await assert.rejects(
      r.send(1, LONG),
      (error: SignalboxError) => error.details?.compensation === 'pending',
    )
    assert.deepEqual(undone, ['b'])
    isDown = false
    await r.advance(1_000)
    await until(() => undone.length === 2, 'the rest is taken back')
    assert.deepEqual(undone, ['b', 'a'])
    await r.advance(1_000_000)
    assert.equal(undone.length, 2)
  })
})
