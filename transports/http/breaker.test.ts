import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { deferred } from '../../test/conformance/wait.ts'
import { Breakers } from './breaker.ts'
import { open, serve } from './connection-test-fixture.ts'

const OPTIONS = {
  enabled: true,
  threshold: 0.5,
  minimumRequests: 4,
  samplingMs: 10_000,
  halfOpenAfterMs: 1_000,
}
const ORIGIN = 'http://a.example'
const live = new AbortController().signal

const fails = async () => {
  throw new SignalboxError('SIGNALBOX_CONNECT_FAILED')
}

async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'ok'
  } catch (error) {
    return (error as SignalboxError).code
  }
}

test('the circuit opens after failures, lets one probe through, and closes when it succeeds', async t => {
  mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  t.after(() => mock.timers.reset())
  const breakers = new Breakers(OPTIONS)
  for (let i = 0; i < 4; i++)
    assert.equal(await outcome(breakers.run(ORIGIN, live, fails)), 'SIGNALBOX_CONNECT_FAILED')
  assert.equal(breakers.state(ORIGIN), 'open')
  let calls = 0
  const counted = async () => {
    calls++
  }
  assert.equal(await outcome(breakers.run(ORIGIN, live, counted)), 'SIGNALBOX_CIRCUIT_OPEN')
  assert.equal(calls, 0)
  assert.equal(
    await outcome(breakers.run('http://b.example', live, counted)),
    'ok',
    'other origins are not concerned',
  )

  mock.timers.tick(1_000)
  const gate = deferred()
  let probes = 0
  const probe = async () => {
    probes++
    await gate.promise
    throw new SignalboxError('SIGNALBOX_CONNECT_FAILED')
  }
  const during = Array.from({ length: 5 }, () => outcome(breakers.run(ORIGIN, live, probe)))
  gate.resolve()
  const outcomes = await Promise.all(during)
  assert.equal(probes, 1, 'one probe for each pause')
  assert.deepEqual(outcomes.toSorted().slice(0, 4), Array(4).fill('SIGNALBOX_CIRCUIT_OPEN'))

  mock.timers.tick(1_000)
  assert.equal(await outcome(breakers.run(ORIGIN, live, counted)), 'ok')
  assert.equal(breakers.state(ORIGIN), 'closed')
})

test('errors of the caller do not open the circuit', async () => {
  const breakers = new Breakers(OPTIONS)
  for (const error of [
    new SignalboxError('SIGNALBOX_HTTP_STATUS', 'x', { details: { status: 404 } }),
    new SignalboxError('SIGNALBOX_CANCELLED'),
    new SignalboxError('SIGNALBOX_TARGET_FORBIDDEN'),
  ]) {
    for (let i = 0; i < 10; i++) await outcome(breakers.run(ORIGIN, live, () => Promise.reject(error)))
  }
  assert.equal(breakers.state(ORIGIN), 'closed')
})

test('a cancelled probe does not close the circuit', async t => {
  mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  t.after(() => mock.timers.reset())
  const breakers = new Breakers(OPTIONS)
  for (let i = 0; i < 4; i++) await outcome(breakers.run(ORIGIN, live, fails))
  mock.timers.tick(1_000)
  await outcome(breakers.run(ORIGIN, live, () => Promise.reject(new SignalboxError('SIGNALBOX_CANCELLED'))))
  assert.equal(breakers.state(ORIGIN), 'open')
})

test('a connection leaves a failing server alone', async t => {
  let requests = 0
  const peer = await serve(t, (_, __, response) => {
    requests++
    response.writeHead(500).end()
  })
  const circuitBreaker = { minimumRequests: 5, samplingMs: 60_000, halfOpenAfterMs: 60_000 }
  const connection = await open(t, { url: peer.url, circuitBreaker, retry: { attempts: 1 } })
  const codes = []
  for (let i = 0; i < 8; i++) codes.push(await outcome(connection.get('/')))
  assert.deepEqual(codes, [
    ...Array(5).fill('SIGNALBOX_HTTP_STATUS'),
    ...Array(3).fill('SIGNALBOX_CIRCUIT_OPEN'),
  ])
  assert.equal(requests, 5)
  await assert.rejects(connection.ping(), { code: 'SIGNALBOX_HTTP_STATUS' }, 'a ping asks the server itself')
})
