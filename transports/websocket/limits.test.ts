import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { unpack } from 'msgpackr'
import { Client, eventually, startChannel } from './testing.ts'

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
  for (const text of client.messages.slice(0, bad.length))
    assert.match(String(text), /"code":"SIGNALBOX_FORMAT_/)
  assert.equal(unpack(client.messages.at(-1) as Buffer).error.code, 'SIGNALBOX_FORMAT_INVALID')
  assert.equal(received.length, 0)
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  client.socket.send('{"id":1,"payload":1}')
  await eventually(() => received.length === 1, 'good message')
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
