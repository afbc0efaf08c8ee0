import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignalboxError } from '../errors.ts'
import type { BusSpan, BusTracer } from '../telemetry/bus-tracer.ts'
import { setTracer } from '../telemetry/observe.ts'
import { testRoute } from './test-kit.ts'

interface Seen {
  name: string
  parent: string | undefined
  error: string | undefined
}

test('each step has a span below that of its route, and what it calls is below the step', async t => {
  const seen: Seen[] = []
  const begin = (name: string, parent: string | undefined): BusSpan => {
    const span: Seen = { name, parent, error: undefined }
    seen.push(span)
    return {
      trace: `trace of ${name}`,
      within: handle => handle(),
      end: (error: SignalboxError | undefined) => {
        span.error = error?.code
      },
    }
  }
  const tracer: BusTracer = {
    channel: name => begin(name, undefined),
    service: (name, _cid, trace) => begin(name, trace),
    connection: (name, _transport, call) => begin(name, call.trace),
  }
  setTracer(tracer)
  t.after(() => setTracer(undefined))
  const r = await testRoute(
    {
      name: 'r',
      steps: [
        { filter: 'a > 0' },
        { choose: [{ when: 'a = 2', steps: [{ fail: '"two"' }] }] },
        { call: 's' },
      ],
    },
    { services: { s: () => 1 } },
  )
  await r.send({ a: 1 })
  assert.deepEqual(
    seen.map(({ name, parent }) => [name, parent]),
    [
      ['route/r', undefined],
      ['route/r filter-1', 'trace of route/r'],
      ['route/r choose-1', 'trace of route/r'],
      ['route/r call-1', 'trace of route/r'],
      ['s', 'trace of route/r call-1'],
    ],
  )
  assert.equal((await r.send({ a: 0 })).payload, undefined)
  seen.length = 0
  await assert.rejects(r.send({ a: 2 }))
  assert.deepEqual(
    seen.map(({ name, error }) => [name, error]),
    [
      ['route/r', 'SIGNALBOX_REQUEST_REFUSED'],
      ['route/r filter-1', undefined],
      ['route/r choose-1', 'SIGNALBOX_REQUEST_REFUSED'],
      ['route/r fail-1', 'SIGNALBOX_REQUEST_REFUSED'],
    ],
  )
  await r.close()
})
