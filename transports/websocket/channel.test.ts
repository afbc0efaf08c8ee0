import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { Packr, unpack } from 'msgpackr'
import { SignalboxError } from '../../core/errors.ts'
import transport from './index.ts'
import { Client, eventually, startChannel } from './testing.ts'

const packr = new Packr({ useRecords: false })

test('requests in JSON and MessagePack are answered in their own encoding', async t => {
  const { url, received } = await startChannel(
    t,
    { routes: [{ path: '/rooms/:id', service: 'chat.say', timeoutMs: 500 }] },
    message => ({
      payload: message.payload === 'bytes' ? Buffer.from([1, 2]) : message.payload,
      headers: { 'x-a': 'b' },
      status: 201,
    }),
  )
  const client = await new Client(t, `${url}/rooms/7?a=1`).opened()
  client.socket.send(
    JSON.stringify({ id: 1, payload: { a: 1 }, headers: { 'X-B': 'c' }, cid: 'my-cid', timeoutMs: 900 }),
  )
  client.socket.send(packr.pack({ id: 'two', payload: Buffer.from('raw') }))
  client.socket.send(JSON.stringify({ id: 3, payload: 'bytes' }))
  client.socket.send(JSON.stringify({ payload: 'no answer' }))
  await eventually(() => client.messages.length === 3 && received.length === 4, 'answers')
  assert.deepEqual(JSON.parse(String(client.messages[0])), {
    id: 1,
    payload: { a: 1 },
    cid: 'my-cid',
    headers: { 'x-a': 'b' },
    status: 201,
  })
  const packed = unpack(client.messages[1] as Buffer)
  assert.equal(packed.id, 'two')
  assert.deepEqual(Buffer.from(packed.payload), Buffer.from('raw'))
  assert.deepEqual(Buffer.from(unpack(client.messages[2] as Buffer).payload), Buffer.from([1, 2]))
  const [first] = received
  assert.equal(first?.target, 'service/chat.say')
  assert.equal(first?.headers['x-b'], 'c')
  assert.equal(first?.headers.upgrade, 'websocket')
  assert.equal(first?.timeoutMs, 500)
  assert.deepEqual(
    {
      ...first?.attributes,
      params: { ...(first?.attributes.params as object) },
      query: { ...(first?.attributes.query as object) },
    },
    {
      path: '/rooms/7',
      route: '/rooms/:id',
      params: { id: '7' },
      query: { a: '1' },
      remoteAddress: '127.0.0.1',
      subprotocol: '',
    },
  )
})

test('errors are answers; server errors keep their secrets', async t => {
  const { url } = await startChannel(t, {}, message => {
    if (message.payload === 'mine')
      throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404, details: { id: 7 } })
    throw new SignalboxError('SIGNALBOX_SERVICE_FAILED', 'password is x', { details: { password: 'x' } })
  })
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1,"payload":"mine"}')
  client.socket.send('{"id":2}')
  await eventually(() => client.messages.length === 2, 'errors')
  assert.deepEqual(client.json()[0]!.error, {
    code: 'ORDER_UNKNOWN',
    message: 'no order 7',
    details: { id: 7 },
    status: 404,
    retryable: false,
  })
  assert.doesNotMatch(String(client.messages[1]), /password/)
})

test('malformed messages are told so, one by one, and pollute nothing', async t => {
  const { url, received } = await startChannel(t, { maxDepth: 20 })
  const client = await new Client(t, url).opened()
  const bad = [
    'no json',
    '[]',
    'null',
    '{"id":{}}',
    '{"id":1.5}',
    '{"id":1,"cid":"a b"}',
    '{"id":1,"headers":{"a":1}}',
    '{"id":1,"timeoutMs":0}',
    '{"cancel":true}',
    '{"id":1,"payload":{"__proto__":{"polluted":1}}}',
    `{"id":1,"payload":${'['.repeat(50)}${']'.repeat(50)}}`,
  ]
  for (const text of bad) client.socket.send(text)
  client.socket.send(Buffer.from([0xc1]))
  client.socket.send(Buffer.from([0x93]))
  await eventually(() => client.messages.length === bad.length + 2, 'errors')
  for (const frame of client.json().slice(0, bad.length))
    assert.match((frame.error as { code: string }).code, /FORMAT_/)
  assert.equal(received.length, 0)
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  client.socket.send('{"id":1,"payload":1}')
  await eventually(() => received.length === 1, 'good message')
})

test('streams are sent item by item, and a request can be cancelled', async t => {
  let cancelled: unknown
  const { url } = await startChannel(t, {}, message => {
    if (message.payload !== 'wait') {
      return {
        payload: (async function* () {
          yield 1
          yield 2
        })(),
      }
    }
    return new Promise((_, reject) => {
      message.signal!.addEventListener('abort', () => {
        cancelled = message.signal!.reason
        reject(message.signal!.reason)
      })
    })
  })
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await eventually(() => client.messages.length === 3, 'items')
  assert.deepEqual(client.json(), [
    { id: 1, item: true, payload: 1 },
    { id: 1, item: true, payload: 2 },
    { id: 1, end: true, cid: 'made' },
  ])
  client.socket.send('{"id":2,"payload":"wait"}')
  client.socket.send('{"id":2,"payload":"again"}')
  await eventually(() => client.messages.length === 4, 'conflict')
  assert.equal((client.json()[3]!.error as { code: string }).code, 'SIGNALBOX_CONFLICT')
  client.socket.send('{"id":2,"cancel":true}')
  await eventually(() => client.messages.length === 5, 'cancelled answer')
  assert.equal((cancelled as SignalboxError).code, 'SIGNALBOX_CANCELLED')
})

test('a client that leaves aborts what it asked for, in raw mode too', async t => {
  for (const mode of ['json', 'raw']) {
    let aborted = false
    const { url, received } = await startChannel(t, { mode }, message => {
      message.signal!.addEventListener('abort', () => {
        aborted = true
      })
      return new Promise(() => undefined)
    })
    const client = await new Client(t, url).opened()
    client.socket.send('{"id":1}')
    await eventually(() => received.length === 1, 'message')
    client.socket.terminate()
    await eventually(() => aborted, `abort in ${mode} mode`)
  }
})

test('raw mode hands over frames and answers in order', async t => {
  let running = 0
  let most = 0
  const { url } = await startChannel(t, { mode: 'raw' }, async ({ payload }) => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    if (payload === 'fail') throw new SignalboxError('SIGNALBOX_CONFLICT', 'no')
    return { payload: payload === 'none' ? undefined : payload === 'object' ? { a: 1 } : payload }
  })
  const client = await new Client(t, url).opened()
  for (const data of ['a', Buffer.from([1]), 'none', 'object', 'fail', 'z']) client.socket.send(data)
  await eventually(() => client.messages.length === 5, 'answers')
  assert.deepEqual(client.messages.slice(0, 3), ['a', Buffer.from([1]), '{"a":1}'])
  assert.match(String(client.messages[3]), /SIGNALBOX_CONFLICT/)
  assert.equal(client.messages[4], 'z')
  assert.equal(most, 1)
})

test('a flood is held back at the limits, per connection and in all, and nothing is lost or out of order', async t => {
  let running = 0
  let most = 0
  const { url, received } = await startChannel(
    t,
    { maxInFlight: 5, maxInFlightPerConnection: 3 },
    async message => {
      most = Math.max(most, ++running)
      await new Promise(resolve => setImmediate(resolve))
      running--
      return { payload: message.payload }
    },
  )
  const clients = await Promise.all([1, 2, 3].map(() => new Client(t, url).opened()))
  for (let i = 0; i < 1000; i++)
    for (const [c, client] of clients.entries())
      client.socket.send(JSON.stringify({ id: i, payload: [c, i] }))
  await eventually(() => clients.every(client => client.messages.length === 1000), 'all answers')
  assert.ok(most <= 5, `${most} ran at once`)
  for (const c of [0, 1, 2]) {
    const order = received.map(message => message.payload as [number, number]).filter(([from]) => from === c)
    assert.deepEqual(
      order.map(([, i]) => i),
      Array.from({ length: 1000 }, (_, i) => i),
    )
  }
})

test('handshakes: unknown paths, foreign origins and missing subprotocols are refused', async t => {
  const { url } = await startChannel(t, {
    routes: [{ path: '/a' }],
    origins: ['https://shop.example'],
    subprotocols: ['v2', 'v1'],
  })
  const attempt = async (path: string, protocols: string[], origin?: string) => {
    const client = new Client(t, url + path, protocols, origin === undefined ? {} : { origin })
    await eventually(
      () => client.status !== undefined || client.socket.readyState === 1,
      'end of the handshake',
    )
    return client.status ?? client.socket.protocol
  }
  assert.equal(await attempt('/b', ['v1']), 404)
  assert.equal(await attempt('/a?__proto__=1', ['v1']), 400)
  assert.equal(await attempt('/a', []), 400)
  assert.equal(await attempt('/a', ['v3']), 400)
  assert.equal(await attempt('/a', ['v1', 'v2']), 'v2')
  assert.equal(await attempt('/a', ['v1'], 'https://evil.example'), 403)
  assert.equal(await attempt('/a', ['v1'], 'https://shop.example'), 'v1')
  assert.equal(await attempt('/a', ['v1'], url.replace('ws:', 'http:')), 'v1')
  const plain = await fetch(`${url.replace('ws:', 'http:')}/a`)
  assert.equal(plain.status, 426)
})

test('messages that are too large close the connection with 1009, invalid text with 1007', async t => {
  const { url, received } = await startChannel(t, { maxPayloadBytes: 1000, permessageDeflate: true })
  const large = await new Client(t, url, [], { perMessageDeflate: true }).opened()
  large.socket.send(JSON.stringify({ id: 1, payload: 'x'.repeat(100_000) }))
  await eventually(() => large.closeCode !== undefined, 'close')
  assert.equal(large.closeCode, 1009)
  const invalid = await new Client(t, url).opened()
  invalid.socket.send(Buffer.from([0xff, 0xfe]), { binary: false })
  await eventually(() => invalid.closeCode !== undefined, 'close')
  assert.equal(invalid.closeCode, 1007)
  assert.equal(received.length, 0)
})

test('a dead peer is noticed, a slow handshake cut, a client that reads nothing too', async t => {
  let cut = false
  const options = { pingIntervalMs: 30, pongTimeoutMs: 60, handshakeMs: 200, maxBufferedBytes: 100_000 }
  const { url } = await startChannel(t, options, message => {
    if (message.payload !== 'hold') return { payload: 'x'.repeat(500_000) }
    message.signal!.addEventListener('abort', () => {
      cut = true
    })
    return new Promise(() => undefined)
  })
  const alive = await new Client(t, url).opened()
  const dead = await new Client(t, url, [], { autoPong: false }).opened()
  await eventually(() => dead.closeCode !== undefined, 'end of the dead peer')
  const slow = net.connect(Number(new URL(url).port), '127.0.0.1')
  slow.on('error', () => slow.destroy()).resume()
  slow.write('GET / HTTP/1.1\r\n')
  await eventually(() => slow.closed, 'end of the slow handshake')
  const lazy = await new Client(t, url).opened()
  lazy.socket.pause()
  lazy.socket.send('{"id":"h","payload":"hold"}')
  for (let i = 0; i < 60; i++) lazy.socket.send(`{"id":${i}}`)
  await eventually(() => cut, 'cut')
  assert.equal(alive.closeCode, undefined)
})

test('one address has only so many connections', async t => {
  const { url } = await startChannel(t, { maxConnectionsPerAddress: 2 })
  await new Client(t, url).opened()
  await new Client(t, url).opened()
  const third = new Client(t, url)
  await eventually(() => third.closeCode !== undefined, 'refusal')
})

test('drain waits for what is under way and says goodbye with 1001', async t => {
  const release = Promise.withResolvers<void>()
  const { url, channel, received } = await startChannel(t, {}, async () => {
    await release.promise
    return { payload: 'done' }
  })
  const busy = await new Client(t, url).opened()
  const idle = await new Client(t, url).opened()
  busy.socket.send('{"id":1}')
  await eventually(() => received.length === 1, 'request')
  const draining = channel.drain()
  await eventually(() => idle.closeCode !== undefined, 'end of the idle client')
  assert.equal(idle.closeCode, 1001)
  busy.socket.send('{"id":2}')
  const late = new Client(t, url)
  await eventually(() => late.closeCode !== undefined, 'refusal')
  assert.equal(busy.closeCode, undefined)
  release.resolve()
  await draining
  await eventually(() => busy.closeCode !== undefined, 'end of the busy client')
  assert.equal(busy.closeCode, 1001)
  assert.deepEqual(busy.json(), [{ id: 1, payload: 'done', cid: 'made' }])
  assert.equal(received.length, 1)
  await channel.drain()
})

test('drain ends streams, also those that wait for their next item', async t => {
  const { url, channel } = await startChannel(t, {}, () => ({
    payload: (async function* () {
      yield 1
      await new Promise(() => undefined)
    })(),
  }))
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await eventually(() => client.messages.length === 1, 'item')
  await channel.drain()
  assert.equal((client.json()[1]!.error as { code: string }).code, 'SIGNALBOX_ACTOR_STOPPED')
})

test('close is idempotent and ends everything', async t => {
  const { url, channel } = await startChannel(t, {}, () => new Promise(() => undefined))
  await channel.ping()
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await Promise.all([channel.close(), channel.close()])
  await eventually(() => client.closeCode !== undefined, 'end')
  await assert.rejects(channel.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
  await assert.rejects(startChannel(t, { tls: { cert: '/none', key: 'x' } }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
})

test('no bytes whatever make it fail or stop serving others', async t => {
  const { url } = await startChannel(t, { handshakeMs: 500 })
  const { port } = new URL(url)
  const handshake =
    'GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  const sockets = fc.sample(fc.uint8Array({ maxLength: 200 }), { numRuns: 500, seed: 3 }).map((bytes, i) => {
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.on('error', () => socket.destroy()).resume()
    if (i % 4 > 0) socket.write(handshake)
    socket.end(bytes)
    return socket
  })
  await eventually(() => sockets.every(socket => socket.closed), 'end of all connections')
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1,"payload":"ok"}')
  await eventually(() => client.messages.length === 1, 'answer')
})

test('the capabilities in the README are those of the transport', () => {
  const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `(\w+)`\s*\| (yes|no)\s*\|/gm)].map(([, name, value]) => [
    name,
    value === 'yes',
  ])
  assert.deepEqual(Object.fromEntries(rows), transport.capabilities)
})
