import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { eventually, newConnection, startChannel } from './testing.ts'

test('requests get their answers, whatever the order', async t => {
  const waiting: (() => void)[] = []
  const { url, received } = await startChannel(t, {}, async message => {
    if (message.payload === 'first') await new Promise<void>(resolve => waiting.push(resolve))
    return { payload: message.payload, headers: { 'x-a': 'b' }, status: 202 }
  })
  const connection = newConnection(t, { url, headers: { authorization: 'Bearer x' } })
  await connection.connect()
  assert.equal(connection.endpoint(), `${url}/`)
  await connection.ping()
  const first = connection.send({ payload: 'first', headers: { 'x-h': '1' }, cid: 'c1' })
  const second = await connection.send({ payload: Buffer.from([0, 255]) })
  assert.deepEqual(Buffer.from(second.payload as Uint8Array), Buffer.from([0, 255]))
  waiting[0]!()
  assert.deepEqual(await first, { payload: 'first', headers: { 'x-a': 'b' }, status: 202, cid: 'c1' })
  assert.equal(received[0]?.headers.authorization, 'Bearer x')
  assert.equal(received[0]?.headers['x-h'], '1')
  const one = await connection.send({ payload: 'one way', attributes: { oneWay: true } })
  assert.equal(one.payload, undefined)
  await eventually(() => received.length === 3, 'one-way message')
  assert.equal(await connection.request('x'), 'x')
})

test('errors of the server come back as they were', async t => {
  const { url } = await startChannel(t, {}, () => {
    throw new SignalboxError('SIGNALBOX_MAILBOX_FULL', undefined, { retryAfterMs: 700 })
  })
  const connection = newConnection(t, { url })
  await connection.connect()
  await assert.rejects(connection.send({ payload: 1 }), {
    code: 'SIGNALBOX_MAILBOX_FULL',
    retryable: true,
    retryAfterMs: 700,
  })
})

test('a streamed answer is read at the pace of the reader, and closed at the source when it stops', async t => {
  let made = 0
  let closed = false
  const { url } = await startChannel(t, { maxBufferedBytes: 50_000_000 }, ({ payload }) => ({
    payload: (async function* () {
      try {
        for (let i = 0; i < (payload as number); i++) {
          made++
          yield 'x'.repeat(1000) + i
        }
      } finally {
        closed = true
      }
    })(),
  }))
  const connection = newConnection(t, { url })
  await connection.connect()
  let count = 0
  for await (const item of await connection.request<AsyncIterable<string>>(1000))
    assert.ok(item.endsWith(String(count++)))
  assert.equal(count, 1000)
  assert.equal(closed, true)
  for await (const _ of await connection.request<AsyncIterable<string>>(0)) assert.fail('no items')
  closed = false
  made = 0
  for await (const _ of await connection.request<AsyncIterable<string>>(1_000_000)) {
    if (++count === 1010) break
  }
  await connection.ping()
  await eventually(() => closed, 'end of the source')
  assert.ok(made < 1_000_000)
})

test('time limits and cancellation fail here and are told to the server', async t => {
  const reasons: unknown[] = []
  const { url } = await startChannel(t, {}, message => {
    message.signal!.addEventListener('abort', () => reasons.push(message.signal!.reason))
    return new Promise(() => undefined)
  })
  const connection = newConnection(t, { url, maxInFlight: 1 })
  await connection.connect()
  await assert.rejects(connection.send({ payload: 1, timeoutMs: 20 }), { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  const controller = new AbortController()
  const cancelled = connection.send({ payload: 2, signal: controller.signal })
  await assert.rejects(connection.send({ payload: 3 }), { code: 'SIGNALBOX_OVERLOADED' })
  controller.abort()
  await assert.rejects(cancelled, { code: 'SIGNALBOX_CANCELLED' })
  await assert.rejects(connection.send({ payload: 4, signal: AbortSignal.abort() }))
  await eventually(() => reasons.length === 2, 'both aborts')
})

test('raw mode sends strings and bytes as they are', async t => {
  const { url, received } = await startChannel(t, { mode: 'raw' }, () => ({}))
  const connection = newConnection(t, { url, mode: 'raw' })
  await connection.connect()
  await connection.send({ payload: 'text' })
  await connection.send({ payload: Buffer.from([1]) })
  await eventually(() => received.length === 2, 'messages')
  assert.deepEqual(
    received.map(message => message.payload),
    ['text', Buffer.from([1])],
  )
  await assert.rejects(connection.request('x'), { code: 'SIGNALBOX_USAGE' })
})

test('a server that goes away fails what waits, and says that the connection is lost', async t => {
  const { url, channel, received } = await startChannel(t, {}, () => new Promise(() => undefined))
  let lost: Error | undefined
  const connection = newConnection(t, { url }, error => {
    lost = error
  })
  await connection.connect()
  const waiting = connection.send({ payload: 1 })
  await eventually(() => received.length === 1, 'request')
  await Promise.all([
    assert.rejects(waiting, { code: 'SIGNALBOX_NOT_CONNECTED', retryable: true }),
    channel.close(),
  ])
  assert.equal((lost as SignalboxError).code, 'SIGNALBOX_NOT_CONNECTED')
  await assert.rejects(connection.send({ payload: 2 }), { code: 'SIGNALBOX_NOT_CONNECTED' })
  await assert.rejects(connection.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
})

async function refusing(t: TestContext, status: number): Promise<string> {
  const server = http.createServer((_, response) => response.writeHead(status).end())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('failures to connect are typed', async t => {
  const unauthorized = newConnection(t, { url: await refusing(t, 401) })
  await assert.rejects(unauthorized.connect(), {
    code: 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
    retryable: false,
  })
  const missing = newConnection(t, { url: await refusing(t, 404) })
  await assert.rejects(missing.connect(), { code: 'SIGNALBOX_CONNECT_FAILED' })
  const { url, channel } = await startChannel(t)
  await channel.close()
  await assert.rejects(newConnection(t, { url }).connect(), {
    code: 'SIGNALBOX_CONNECT_FAILED',
    retryable: true,
  })
  await assert.rejects(newConnection(t, { url, tls: { ca: '/none' } }).connect(), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
})

test('close works at any time and twice; a close of ours is no loss', async t => {
  const { url } = await startChannel(t, {}, () => new Promise(() => undefined))
  const early = newConnection(t, { url })
  const connecting = early.connect()
  await early.close()
  await assert.rejects(connecting, { code: 'SIGNALBOX_CANCELLED' })
  const connection = newConnection(t, { url })
  await connection.connect()
  const waiting = connection.send({ payload: 1 })
  await Promise.all([
    assert.rejects(waiting, { code: 'SIGNALBOX_NOT_CONNECTED' }),
    connection.close(),
    connection.close(),
  ])
  await connection.close()
})

test('a server that answers no ping is lost', async t => {
  const { url } = await startChannel(t)
  const lost: Error[] = []
  const connection = newConnection(t, { url, pingIntervalMs: 20, pongTimeoutMs: 20 }, error =>
    lost.push(error),
  )
  await connection.connect()
  await connection.ping()
  assert.deepEqual(lost, [])
})
