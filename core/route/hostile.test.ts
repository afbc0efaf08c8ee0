/** What messages and expressions must not be able to do. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SignalboxError } from '../errors.ts'
import type { StepList } from './options.ts'
import { type RouteSource, testRoute } from './test-kit.ts'

const steps = (...list: StepList): RouteSource => ({ steps: list })

async function failing(source: RouteSource, payload: unknown): Promise<SignalboxError> {
  const r = await testRoute(source)
  try {
    await r.send(payload)
  } catch (error) {
    return error as SignalboxError
  } finally {
    await r.close()
  }
  throw new Error('it did not fail')
}

describe('expressions', () => {
  it('end at their time limit, their depth and their size', async () => {
    const forEver = '($f := function($n) { $f($n + 1) }; $f(0))'
    const deep = '($f := function($n) { 1 + $f($n + 1) }; $f(0))'
    const large = '$count([0..10000000])'
    for (const expression of [forEver, deep, large]) {
      const started = performance.now()
      const { code } = await failing(steps({ transform: expression }), 1)
      assert.equal(code, 'SIGNALBOX_EXPRESSION_FAILED', expression)
      assert.ok(performance.now() - started < 10_000, expression)
    }
  })

  it('reach no prototype, neither by what they read nor by what they make', async () => {
    const r = await testRoute(
      steps({
        transform:
          '{ "c": constructor, "p": __proto__, "h": $headers.constructor, "v": $vars.__proto__, "m": toString }',
      }),
    )
    const { payload } = await r.send({ a: 1 })
    assert.deepEqual(JSON.parse(JSON.stringify(payload)), {})
    await r.close()
    const made = await testRoute(
      steps(
        { transform: '{ "__proto__": { "polluted": true } }' },
        { enrich: { steps: [{ transform: '1' }], into: 'x' } },
      ),
    )
    await made.send({}).catch(() => {})
    await made.close()
    assert.equal(({} as { polluted?: boolean }).polluted, undefined)
  })

  it('of a message say which step and what, and nothing of the message', async () => {
    const error = await failing(steps({ id: 'sum', transform: '$sum(secret)' }), { secret: 'hunter2' })
    assert.equal(error.code, 'SIGNALBOX_EXPRESSION_FAILED')
    assert.match(error.message, /^to of step sum: /)
    assert.equal(error.details?.step, 'sum')
  })
})

describe('headers and variables', () => {
  it('take no line breaks, no names that are none, no lists', async () => {
    for (const value of ['"a\\r\\nb: c"', '[1, 2]', '{ "a": 1 }']) {
      const { code } = await failing(steps({ set: { headers: { x: value } } }), 1)
      assert.equal(code, 'SIGNALBOX_EXPRESSION_FAILED', value)
    }
    const { code } = await failing(steps({ set: { headers: { 'a b': '"x"' } } }), 1)
    assert.equal(code, 'SIGNALBOX_EXPRESSION_FAILED')
    assert.equal(({} as { x?: string }).x, undefined)
  })
})

describe('numbers from outside', () => {
  it('of sequences must be whole ones', async () => {
    for (const number of ['-1', '1.5', '1e9', 'x', '9'.repeat(30), '']) {
      const r = await testRoute(steps({ resequence: {} }))
      await assert.rejects(r.send(1, { headers: { 'sb-sequence-number': number } }), {
        code: 'SIGNALBOX_EXPRESSION_FAILED',
      })
      await r.close()
    }
  })
})
