import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { encodeEvent } from './sse.ts'
import { eventually, RawClient, startChannel } from './testing.ts'

async function* from(items: unknown[]): AsyncGenerator<unknown> {
  for (const item of items) {
    await new Promise(resolve => setImmediate(resolve))
    yield item
  }
}

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

test('streams are sent as bytes, text or JSON lines', async t => {
  let payload: unknown
  const { url } = await startChannel(t, {}, () => ({ payload }))
  payload = from([Buffer.from('a'), new Uint8Array([98])])
  const bytes = await fetch(url)
  assert.equal(bytes.headers.get('content-type'), 'application/octet-stream')
  assert.equal(bytes.headers.get('transfer-encoding'), 'chunked')
  assert.equal(await bytes.text(), 'ab')
  payload = Readable.from(['x', 'y'])
  const text = await fetch(url)
  assert.equal(text.headers.get('content-type'), 'text/plain; charset=utf-8')
  assert.equal(await text.text(), 'xy')
  payload = from([{ a: 1 }, null, 'z'])
  const lines = await fetch(url)
  assert.equal(lines.headers.get('content-type'), 'application/x-ndjson')
  assert.equal(await lines.text(), '{"a":1}\nnull\n"z"\n')
  payload = from([])
  assert.equal(await (await fetch(url)).text(), '')
})

test('events are sent to those who ask, and by routes that say so', async t => {
  const items = [
    { event: 'price', id: 7, data: { a: 1 }, retry: 1000 },
    'two\nlines',
    { data: 'x', other: 1 },
  ]
  const { url } = await startChannel(t, { routes: [{ path: '/sse', sse: true }, { path: '/any' }] }, () => ({
    payload: from(items),
  }))
  const expected =
    'event: price\nid: 7\nretry: 1000\ndata: {"a":1}\n\ndata: two\ndata: lines\n\ndata: {"data":"x","other":1}\n\n'
  for (const [path, headers] of [
    ['/sse', {}],
    ['/any', { accept: 'text/event-stream' }],
  ] as const) {
    const response = await fetch(url + path, { headers })
    assert.equal(response.headers.get('content-type'), 'text/event-stream')
    assert.equal(response.headers.get('cache-control'), 'no-store')
    assert.equal(await response.text(), expected)
  }
  const lines = await fetch(`${url}/any`)
  assert.equal(lines.headers.get('content-type'), 'application/x-ndjson')
  await lines.body?.cancel()
})

test('an event cannot smuggle in another', () => {
  assert.throws(() => encodeEvent({ event: 'a\ndata: b', data: '' }), { code: 'SIGNALBOX_ANSWER_INVALID' })
  assert.throws(() => encodeEvent({ id: 'a\0', data: '' }), { code: 'SIGNALBOX_ANSWER_INVALID' })
  assert.throws(() => encodeEvent({ retry: 'x', data: '' }), { code: 'SIGNALBOX_ANSWER_INVALID' })
  assert.equal(encodeEvent('a\r\nb\rc\n'), 'data: a\ndata: b\ndata: c\ndata: \n\n')
})

test('an idle event stream gets comments, and a failing one an error event', async t => {
  const fail = Promise.withResolvers<void>()
  const { port } = await startChannel(
    t,
    { timeouts: { sseKeepAliveMs: 20 }, routes: [{ path: '/', sse: true }] },
    () => ({
      payload: (async function* () {
        await fail.promise
        yield 'never'
      })(),
    }),
  )
  const client = new RawClient(t, port)
  client.send(GET)
  await client.untilText(':\n\n')
  fail.reject(new SignalboxError('SIGNALBOX_NOT_FOUND', 'gone'))
  await client.untilText('event: error\ndata: {"type":"urn:signalbox:error:SIGNALBOX_NOT_FOUND"')
})

test('a stream that fails before its first item is an error answer, after it the connection breaks off', async t => {
  let after = 0
  const { port, url } = await startChannel(t, {}, () => ({
    payload: (async function* () {
      for (let i = 0; i < after; i++) yield 'item'
      throw new SignalboxError('SIGNALBOX_CONFLICT', 'broken')
    })(),
  }))
  assert.equal((await fetch(url)).status, 409)
  after = 2
  const client = new RawClient(t, port)
  client.send(GET)
  await client.untilClosed()
  assert.equal(client.status, 200)
  assert.match(client.text, /item/)
  assert.doesNotMatch(client.text, /\r\n0\r\n\r\n$/)
})

test('a client that leaves ends the stream at its source, and frees its place', async t => {
  let ended = false
  let running = 0
  const { port, url } = await startChannel(t, { maxInFlight: 1 }, message =>
    message.attributes.path === '/other'
      ? { payload: 'ok' }
      : {
          payload: (async function* () {
            try {
              for (;;) {
                running++
                yield 'x'
                await new Promise(resolve => setTimeout(resolve, 1))
              }
            } finally {
              ended = true
            }
          })(),
        },
  )
  const client = new RawClient(t, port)
  client.send(GET)
  await eventually(() => running > 1, 'items')
  client.socket.destroy()
  await eventually(() => ended, 'end of the source')
  assert.equal((await fetch(`${url}/other`)).status, 200)
})

test('a slow reader slows the source down, and is cut when it takes nothing', async t => {
  let produced = 0
  let ended = false
  const { port } = await startChannel(t, { timeouts: { writeMs: 200 } }, () => ({
    payload: (async function* () {
      try {
        for (;;) {
          produced++
          yield Buffer.alloc(64 * 1024)
        }
      } finally {
        ended = true
      }
    })(),
  }))
  const client = new RawClient(t, port)
  client.socket.pause()
  client.send(GET)
  await eventually(() => ended, 'end of the slow client')
  assert.ok(produced * 64 * 1024 < 64 * 1024 * 1024, `${produced} chunks were made for nobody`)
})

test('a slow reader of a large body is cut too', async t => {
  const { port, channel } = await startChannel(t, { timeouts: { writeMs: 200 } }, () => ({
    payload: Buffer.alloc(50 * 1024 * 1024),
  }))
  const client = new RawClient(t, port)
  client.socket.pause()
  client.send(GET)
  // Draining waits for the answer: it ends only because the client was cut.
  await client.until(() => client.socket.bytesWritten >= GET.length, 'request')
  await eventually(() => client.socket.readableLength > 0, 'start of the answer')
  await channel.drain()
})

test('HEAD of a stream closes the source unread', async t => {
  let returned = false
  const { url } = await startChannel(t, {}, () => ({
    payload: {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(new Error('read')),
        return: () => {
          returned = true
          return Promise.resolve({ done: true as const, value: undefined })
        },
      }),
    },
  }))
  const response = await fetch(url, { method: 'HEAD' })
  assert.equal(response.status, 200)
  assert.ok(returned)
})
