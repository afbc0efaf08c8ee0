import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eventually, RawClient, startChannel } from './testing.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

test('a request with both Content-Length and Transfer-Encoding is refused, and nothing smuggled through', async t => {
  const { port, received } = await startChannel(t, {})
  const smuggled = 'GET /admin HTTP/1.1\r\nhost: a\r\n\r\n'
  const attempts = [
    `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\nhost: a\ncontent-length: 0\n\n${smuggled}`,
    `GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\rbad\r\n\r\n`,
    `GET / HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\nHOST: b\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a/b\r\n\r\n`,
  ]
  for (const attempt of attempts) {
    const client = new RawClient(t, port)
    client.send(attempt)
    await client.until(() => client.closed || client.text.includes('HTTP/1.1 '), 'answer')
    assert.ok(client.status >= 400 && client.status <= 501, `${JSON.stringify(attempt)} got ${client.text}`)
    client.socket.destroy()
  }
  assert.equal(received.filter(message => message.attributes.path === '/admin').length, 0)
  assert.deepEqual(
    received.map(m => m.attributes),
    [],
  )
})

test('headers that are too large get 431', async t => {
  const { port } = await startChannel(t, { limits: { maxHeaderBytes: 2048 } })
  const client = new RawClient(t, port)
  client.send(`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(4000)}\r\n\r\n`)
  await client.untilClosed()
  assert.equal(client.status, 431)
})

test('headers that come too slowly are cut, also those of a connection that says nothing', async t => {
  const { port, received } = await startChannel(t, { timeouts: { headersMs: 300 } })
  const slow = new RawClient(t, port)
  const silent = new RawClient(t, port)
  const start = performance.now()
  slow.send('GET / HTTP/1.1\r\n')
  let sent = 0
  const drip = setInterval(() => slow.socket.write(`x-${sent++}: y\r\n`), 20)
  t.after(() => clearInterval(drip))
  await Promise.all([slow.untilClosed(), silent.untilClosed()])
  const elapsed = performance.now() - start
  assert.ok(elapsed >= 200 && elapsed < 1500, `cut after ${elapsed} ms`)
  assert.equal(slow.status, 408)
  assert.equal(received.length, 0)
})

test('a body that comes too slowly is cut with 408, a slow but steady one is not', async t => {
  const timeouts = { bodyMinBytesPerSecond: 1000, bodyGraceMs: 100 }
  const { port, received } = await startChannel(t, { timeouts })
  const head = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n'
  const slow = new RawClient(t, port)
  slow.send(`${head}x`)
  const steady = new RawClient(t, port)
  steady.send(head)
  let sent = 0
  const drip = setInterval(() => {
    if (sent < 2000) steady.socket.write('x'.repeat(Math.min(200, 2000 - sent)))
    sent += 200
  }, 20)
  t.after(() => clearInterval(drip))
  await slow.untilClosed()
  assert.equal(slow.status, 408)
  await steady.untilText('HTTP/1.1 200')
  assert.equal(received.length, 1)
})

test('one address has only so many connections, and the others are not touched', async t => {
  const { port } = await startChannel(t, { maxConnectionsPerAddress: 5 })
  const held: RawClient[] = []
  for (let i = 0; i < 5; i++) held.push(new RawClient(t, port))
  for (const client of held) await client.send(GET).untilText('HTTP/1.1 204')
  const sixth = new RawClient(t, port)
  await sixth.untilClosed()
  assert.equal(sixth.text, '')
  held[0]!.socket.destroy()
  await held[0]!.untilClosed()
  let served = false
  while (!served) {
    const next = new RawClient(t, port)
    await next.send(GET).until(() => next.closed || next.text !== '', 'answer or end')
    served = next.status === 204
  }
  assert.equal(held[1]!.closed, false)
})

test('1 GiB is refused before it is read, and the client gets to see the answer', async t => {
  const { port, received } = await startChannel(t, {})
  const client = new RawClient(t, port)
  client.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${1 << 30}\r\n\r\n`)
  const chunk = Buffer.alloc(64 * 1024)
  const pump = () => {
    while (!client.closed && client.socket.writable && client.socket.write(chunk));
  }
  client.socket.on('drain', pump)
  pump()
  await client.untilText('"code":"SIGNALBOX_FORMAT_LIMIT"')
  assert.equal(client.status, 413)
  assert.match(client.text, /connection: close/i)
  await client.untilClosed()
  assert.ok(client.socket.bytesWritten - client.socket.writableLength < 64 * 1024 * 1024)
  assert.equal(received.length, 0)
})

test('a client that waits for 100 Continue is told of a refusal instead', async t => {
  const { port, received } = await startChannel(t, { limits: { maxBodyBytes: 10 } })
  const client = new RawClient(t, port)
  client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n')
  await client.untilClosed()
  assert.equal(client.status, 413)
  const accepted = new RawClient(t, port)
  accepted.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n')
  await accepted.untilText('HTTP/1.1 100 Continue\r\n\r\n')
  accepted.send('hi')
  await accepted.untilText('HTTP/1.1 200')
  assert.equal(received.length, 1)
})

test('a small refused body does not cost the connection', async t => {
  const { port } = await startChannel(t, { routes: [{ path: '/' }] })
  const client = new RawClient(t, port)
  client.send(`POST /none HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello${GET}`)
  await client.untilText('HTTP/1.1 204')
  assert.match(client.text, /HTTP\/1\.1 404/)
  assert.equal(client.closed, false)
})

test('chunk extensions and trailers without end are refused', async t => {
  const { port } = await startChannel(t, {})
  const head = 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n'
  const extensions = new RawClient(t, port)
  extensions.send(`${head}1;${'x'.repeat(40_000)}\r\na\r\n0\r\n\r\n`)
  await extensions.untilClosed()
  assert.equal(extensions.status, 413)
  const trailers = new RawClient(t, port)
  trailers.send(`${head}1\r\na\r\n0\r\n${`x: ${'y'.repeat(1000)}\r\n`.repeat(40)}\r\n`)
  await trailers.untilClosed()
  assert.ok(!trailers.text.includes('HTTP/1.1 200'), trailers.text.slice(0, 100))
})

test('no bytes whatever make it fail, hang or stop serving others', async t => {
  const { port, url } = await startChannel(t, {
    timeouts: { headersMs: 500, requestMs: 500, keepAliveMs: 100 },
  })
  const fragment = fc.constantFrom(
    'GET ',
    'POST ',
    '/',
    '/%00',
    '/%zz',
    '/?__proto__=1',
    ' HTTP/1.1\r\n',
    'host: a\r\n',
    'content-length: 3\r\n',
    'content-length: 99999999999999999999\r\n',
    'transfer-encoding: chunked\r\n',
    '\r\n',
    '\n',
    '\0',
    'abc',
    '0\r\n\r\n',
    'FFFFFFFFFFFFFFFFF\r\n',
    'content-type: multipart/form-data; boundary=b\r\n',
    '--b--',
    'expect: 100-continue\r\n',
    'connection: upgrade\r\nupgrade: h2c\r\n',
    'http://x/',
    '*',
    'é',
  )
  const clients: RawClient[] = []
  for (const parts of fc.sample(fc.array(fc.oneof(fragment, fc.string()), { maxLength: 12 }), {
    numRuns: 500,
    seed: 7,
  })) {
    const client = new RawClient(t, port)
    client.socket.end(Buffer.from(parts.join(''), 'latin1'))
    clients.push(client)
  }
  await eventually(() => clients.every(client => client.closed), 'end of all connections')
  assert.equal((await fetch(url)).status, 204)
})
