import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { until } from '../../test/conformance/wait.ts'
import { open, serve } from './connection-test-fixture.ts'
import { retryAfterMs, retryDelayMs } from './retry.ts'

const OPTIONS = { attempts: 4, minDelayMs: 100, maxDelayMs: 300, statuses: [503], allMethods: false }
const GET = { method: 'GET', replayable: true }
const POST = { method: 'POST', replayable: true }

const failed = (code: string, details: Record<string, unknown> = {}, retryAfter?: number) =>
  new SignalboxError(code, code, { details, ...(retryAfter !== undefined && { retryAfterMs: retryAfter }) })

test('the ceiling doubles up to its limit, and the tries end', () => {
  const broken = failed('SIGNALBOX_CONNECT_FAILED')
  const delays = [1, 2, 3, 4].map(attempt => retryDelayMs(broken, attempt, GET, OPTIONS, () => 1))
  assert.deepEqual(delays, [100, 200, 300, undefined])
  assert.equal(
    retryDelayMs(broken, 3, GET, OPTIONS, () => 0),
    0,
  )
})

test('what is repeated, and what is not', () => {
  const table: [SignalboxError, typeof GET, boolean][] = [
    [failed('SIGNALBOX_CONNECT_FAILED', { sent: true }), GET, true],
    [failed('SIGNALBOX_CONNECT_FAILED', { sent: true }), POST, false],
    [failed('SIGNALBOX_CONNECT_FAILED', { sent: false }), POST, true],
    [failed('SIGNALBOX_CONNECT_FAILED', { sent: false }), { method: 'PUT', replayable: false }, false],
    [failed('SIGNALBOX_TIMEOUT_DEADLINE'), GET, true],
    [failed('SIGNALBOX_HTTP_STATUS', { status: 503 }), GET, true],
    [failed('SIGNALBOX_HTTP_STATUS', { status: 503 }), POST, false],
    [failed('SIGNALBOX_HTTP_STATUS', { status: 500 }), GET, false],
    [failed('SIGNALBOX_TLS_UNVERIFIED', { sent: false }), GET, false],
    [failed('SIGNALBOX_CIRCUIT_OPEN'), GET, false],
    [failed('SIGNALBOX_CANCELLED'), GET, false],
    [failed('SIGNALBOX_TARGET_FORBIDDEN'), GET, false],
  ]
  for (const [failure, request, again] of table) {
    const delay = retryDelayMs(failure, 1, request, OPTIONS, () => 0.5)
    assert.equal(
      delay !== undefined,
      again,
      `${request.method} ${failure.code} ${JSON.stringify(failure.details)}`,
    )
  }
})

test('Retry-After is waited for, as seconds or as a date', () => {
  const now = Date.parse('2030-01-01T00:00:00Z')
  assert.equal(retryAfterMs('120', now), 120_000)
  assert.equal(retryAfterMs('Tue, 01 Jan 2030 00:00:05 GMT', now), 5_000)
  assert.equal(retryAfterMs('Mon, 31 Dec 2029 00:00:00 GMT', now), 0)
  assert.equal(retryAfterMs('soon', now), undefined)
  assert.equal(retryAfterMs(undefined, now), undefined)
  const busy = failed('SIGNALBOX_HTTP_STATUS', { status: 503 }, 2_000)
  assert.equal(
    retryDelayMs(busy, 1, GET, OPTIONS, () => 0),
    2_000,
  )
  // Not all whom it told the same come at once.
  assert.equal(
    retryDelayMs(busy, 1, GET, OPTIONS, () => 1),
    3_000,
  )
})

test('a request succeeds after failures; POST and streams are sent once', async t => {
  let requests = 0
  const peer = await serve(t, (_, __, response) => {
    requests++
    response.writeHead(requests % 3 === 0 ? 200 : 503).end()
  })
  const connection = await open(t, { url: peer.url, retry: { attempts: 3, minDelayMs: 1, maxDelayMs: 1 } })
  assert.equal((await connection.get('/')).status, 200)
  assert.equal(requests, 3)
  await assert.rejects(connection.post('/', { body: 'x' }), { code: 'SIGNALBOX_HTTP_STATUS' })
  assert.equal(requests, 4)
  await assert.rejects(connection.put('/', { stream: Readable.from(['x']) }), {
    code: 'SIGNALBOX_HTTP_STATUS',
  })
  assert.equal(requests, 5)
})

test('a pause longer than the time that is left is not begun', async t => {
  const peer = await serve(t, (_, __, response) => response.writeHead(503, { 'retry-after': '60' }).end())
  const connection = await open(t, { url: peer.url })
  const error = await connection.get('/', { timeoutMs: 5_000 }).catch(error => error)
  assert.deepEqual([error.code, error.retryAfterMs], ['SIGNALBOX_HTTP_STATUS', 60_000])
})

test('a pause is ended by the signal', async t => {
  let requests = 0
  const peer = await serve(t, (_, __, response) => {
    requests++
    response.writeHead(503, { 'retry-after': '30' }).end()
  })
  const connection = await open(t, { url: peer.url })
  const caller = new AbortController()
  const sent = connection.get('/', { signal: caller.signal })
  sent.catch(() => {})
  await until(() => requests === 1, 'the first try')
  caller.abort()
  await assert.rejects(sent, { code: 'SIGNALBOX_CANCELLED' })
})
