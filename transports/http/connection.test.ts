import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import {
  clientCertificate,
  otherClientCertificate,
  serverCertificate,
  testCa,
  untrustedCertificate,
  wrongHostCertificate,
} from '../../test/certificates/certificates.ts'
import { deferred, until, within } from '../../test/conformance/wait.ts'
import { open, serve } from './connection-test-fixture.ts'

test('the typed operations send their method and body, and give status, headers and parsed payload', async t => {
  const peer = await serve(t, (request, body, response) => {
    const { method, url, headers } = request
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.end(JSON.stringify({ method, url, type: headers['content-type'], body: body.toString() }))
  })
  const connection = await open(t, { url: `${peer.url}/v1` })
  const get = await connection.get<{ method: string; url: string }>('/items/{id}', { pathParams: { id: 7 } })
  assert.deepEqual([get.status, get.payload.method, get.payload.url], [200, 'GET', '/v1/items/7'])
  assert.deepEqual(get.setCookie, ['a=1', 'b=2'])
  const bodies = [
    await connection.post('/', { json: { a: 1 } }),
    await connection.put('/', { form: { a: '1 2', b: ['x', 'y'] } }),
    await connection.patch('/', { body: 'täxt' }),
    await connection.delete('/'),
    await connection.request({
      method: 'post',
      path: '/',
      stream: Readable.from([Buffer.from('str'), Buffer.from('eam')]),
    }),
  ]
  assert.deepEqual(
    bodies.map(({ payload }) => payload),
    [
      { method: 'POST', url: '/v1/', type: 'application/json', body: '{"a":1}' },
      { method: 'PUT', url: '/v1/', type: 'application/x-www-form-urlencoded', body: 'a=1+2&b=x&b=y' },
      { method: 'PATCH', url: '/v1/', type: 'text/plain; charset=utf-8', body: 'täxt' },
      { method: 'DELETE', url: '/v1/', body: '' },
      { method: 'POST', url: '/v1/', type: 'application/octet-stream', body: 'stream' },
    ],
  )
})

test('cid and traceparent travel; headers with CR, LF or NUL and reserved ones are refused', async t => {
  const peer = await serve(t, (request, _, response) => response.end(JSON.stringify(request.headers)))
  const connection = await open(t, { url: peer.url })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const seen = JSON.parse(String((await connection.get<Buffer>('/', { cid: 'c1', traceparent })).payload))
  assert.deepEqual([seen['x-signalbox-cid'], seen.traceparent], ['c1', traceparent])
  const bad: Record<string, string>[] = [
    { 'x-a': 'b\r\nx-evil: 1' },
    { 'x-a': 'b\nc' },
    { 'x-a': 'b\0' },
    { 'x-a': '日本' },
    { 'x a': 'b' },
    { 'x-a\r\n': 'b' },
    { 'Transfer-Encoding': 'chunked' },
    { host: 'evil.example' },
  ]
  for (const headers of bad)
    await assert.rejects(connection.get('/', { headers }), { code: 'SIGNALBOX_USAGE' })
  await assert.rejects(connection.get('/', { cid: 'a\r\nb' }), { code: 'SIGNALBOX_USAGE' })
  await assert.rejects(open(t, { url: peer.url, headers: { 'x-a': 'a\r\nb' } }), { code: 'SIGNALBOX_USAGE' })
  assert.equal(peer.sockets(), 1)
})

test('attributes of a message are checked', async t => {
  const connection = await open(t, { url: 'http://127.0.0.1:1' })
  for (const attributes of [
    { path: 7 },
    { query: 'a' },
    { pathParams: { a: {} } },
    { method: 'CONNECT' },
    { method: 'G T' },
  ]) {
    await assert.rejects(connection.send({ payload: '', attributes }), { code: 'SIGNALBOX_USAGE' })
  }
})

test('an error status is an error with status, headers and the start of the body, or a result', async t => {
  const peer = await serve(t, (request, _, response) => {
    const status = Number(request.url!.slice(1))
    response.writeHead(status, { 'content-type': 'text/plain', 'retry-after': '7', 'set-cookie': 's=1' })
    response.end(`no ${'x'.repeat(9000)}`)
  })
  const connection = await open(t, { url: peer.url, retry: { attempts: 1 } })
  const error = await connection.get('/403').catch(error => error)
  assert.equal(error.code, 'SIGNALBOX_HTTP_STATUS')
  assert.equal(error.details.status, 403)
  assert.equal(error.details.headers['content-type'], 'text/plain')
  assert.equal(error.details.headers['set-cookie'], undefined)
  assert.match(error.details.body, /^no x{2045}$/)
  assert.equal(error.retryable, false)
  const busy = await connection.get('/503').catch(error => error)
  assert.deepEqual([busy.retryable, busy.retryAfterMs], [true, 7000])
  await assert.rejects(connection.get('/401'), { code: 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS' })
  assert.equal((await connection.get('/404', { errorStatus: 'return' })).status, 404)
  const returning = await open(t, { url: peer.url, errorStatus: 'return', retry: { attempts: 1 } })
  assert.equal((await returning.send({ payload: '', attributes: { path: '/500' } })).status, 500)
})

test('compressed answers are decoded, within limits', async t => {
  const text = Buffer.from('hello '.repeat(1000))
  const bomb = gzipSync(Buffer.alloc(64 << 20))
  const answers: Record<string, [string, Buffer]> = {
    '/gzip': ['gzip', gzipSync(text)],
    '/br': ['br', brotliCompressSync(text)],
    '/zstd': ['zstd', zstdCompressSync(text)],
    '/two': ['gzip, br', brotliCompressSync(gzipSync(text))],
    '/bomb': ['gzip', bomb],
    '/double': ['gzip, gzip', gzipSync(bomb)],
    '/broken': ['gzip', text],
    '/cut': ['gzip', gzipSync(text).subarray(0, 30)],
    '/unknown': ['compress', text],
    '/many': ['gzip, gzip, gzip', text],
    '/empty': ['gzip', Buffer.alloc(0)],
  }
  const peer = await serve(t, (request, _, response) => {
    const [coding, body] = answers[request.url!]!
    response.writeHead(200, { 'content-encoding': coding, 'content-type': 'text/plain' }).end(body)
  })
  const connection = await open(t, { url: peer.url, maxResponseBytes: 1 << 20 })
  for (const path of ['/gzip', '/br', '/zstd', '/two']) {
    assert.equal((await connection.get(path)).payload, text.toString(), path)
  }
  assert.equal((await connection.request({ method: 'HEAD', path: '/gzip' })).payload, undefined)
  assert.equal((await connection.get('/empty')).payload, undefined)
  for (const path of ['/bomb', '/double']) {
    await assert.rejects(connection.get(path), { code: 'SIGNALBOX_FORMAT_LIMIT', status: 502 }, path)
  }
  for (const path of ['/broken', '/cut']) {
    await assert.rejects(connection.get(path), { code: 'SIGNALBOX_FORMAT_INVALID', status: 502 }, path)
  }
  for (const path of ['/unknown', '/many']) {
    await assert.rejects(connection.get(path), { code: 'SIGNALBOX_FORMAT_UNSUPPORTED' }, path)
  }
})

test('a body that is not what it claims, or too large, is an error of the server', async t => {
  const peer = await serve(t, (request, _, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(
      request.url === '/deep'
        ? '['.repeat(200_000)
        : request.url === '/large'
          ? `"${'x'.repeat(2000)}"`
          : '{"a":',
    )
  })
  const connection = await open(t, { url: peer.url, maxResponseBytes: 1_000_000 })
  await assert.rejects(connection.get('/cut'), { code: 'SIGNALBOX_FORMAT_INVALID', status: 502 })
  await assert.rejects(connection.get('/deep'), { code: 'SIGNALBOX_FORMAT_INVALID', status: 502 })
  const small = await open(t, { url: peer.url, maxResponseBytes: 1000 })
  await assert.rejects(small.get('/large'), { code: 'SIGNALBOX_FORMAT_LIMIT' })
})

test('stream() downloads with back-pressure', async t => {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  const total = 64 << 20
  let written = 0
  const peer = await serve(t, (_, __, response) => {
    const pump = () => {
      while (written < total) {
        written += chunk.length
        if (!response.write(chunk)) return response.once('drain', pump)
      }
      return response.end()
    }
    pump()
  })
  const connection = await open(t, { url: peer.url, maxResponseBytes: 1 })
  const { payload, status } = await connection.stream({ path: '/' })
  assert.equal(status, 200)
  let before = -1
  await until(() => {
    const still = written === before
    before = written
    return still
  }, 'the server stops writing')
  assert.ok(written < total / 2, `the server wrote ${written} bytes to a reader that does not read`)
  let read = 0
  for await (const part of payload) read += (part as Buffer).length
  assert.equal(read, total)
})

test('a stream ends with its signal, with the connection, and with a broken server', async t => {
  const peer = await serve(t, (request, _, response) => {
    response.write('x')
    if (request.url === '/break') setImmediate(() => response.destroy())
  })
  const connection = await open(t, { url: peer.url })
  const caller = new AbortController()
  const first = await connection.stream({ path: '/', signal: caller.signal })
  caller.abort()
  await assert.rejects(within(first.payload.toArray(), 'the cancelled stream'), {
    code: 'SIGNALBOX_CANCELLED',
  })
  const broken = await connection.stream({ path: '/break' })
  await assert.rejects(within(broken.payload.toArray(), 'the broken stream'), {
    code: 'SIGNALBOX_CONNECT_FAILED',
  })
  const last = await connection.stream({ path: '/' })
  await connection.close()
  await assert.rejects(within(last.payload.toArray(), 'the stream of a closed connection'), {
    code: 'SIGNALBOX_NOT_CONNECTED',
  })
})

test('a stream that is destroyed unread lets go of its socket', async t => {
  let closed = 0
  const peer = await serve(t, (_, __, response) => {
    response.write('x')
    response.once('close', () => closed++)
  })
  const connection = await open(t, { url: peer.url })
  const { payload } = await connection.stream({ path: '/' })
  payload.destroy()
  await until(() => closed === 1, 'the server sees the end')
})

test('failures of the network are typed', async t => {
  const gone = await serve(t, () => {})
  await gone.stop()
  const refused = await open(t, { url: gone.url, retry: { attempts: 1 } })
  await assert.rejects(refused.get('/'), { code: 'SIGNALBOX_CONNECT_FAILED', retryable: true })
  const unknown = await open(t, { url: 'http://no-such-host.invalid', retry: { attempts: 1 } })
  await assert.rejects(unknown.get('/'), { code: 'SIGNALBOX_CONNECT_FAILED' })
  const hangUp = await serve(t, (_, __, response) => response.destroy())
  const broken = await open(t, { url: hangUp.url, retry: { attempts: 1 } })
  await assert.rejects(broken.get('/'), { code: 'SIGNALBOX_CONNECT_FAILED' })
  const slow = await serve(t, () => deferred().promise)
  const waiting = await open(t, { url: slow.url, timeouts: { totalMs: 50 } })
  await assert.rejects(waiting.get('/'), { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  const impatient = await open(t, { url: slow.url, timeouts: { headersMs: 50 }, retry: { attempts: 1 } })
  await assert.rejects(within(impatient.get('/'), 'headersMs'), { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
})

test('certificates: unknown authority and wrong host are refused, unless verification is off', async t => {
  const answer = (_: unknown, __: unknown, response: { end(text: string): void }) => response.end('x')
  for (const certificate of [untrustedCertificate, wrongHostCertificate]) {
    const peer = await serve(t, answer, certificate)
    const strict = await open(t, { url: peer.url, tls: { ca: testCa }, retry: { attempts: 1 } })
    await assert.rejects(strict.get('/'), { code: 'SIGNALBOX_TLS_UNVERIFIED', retryable: false })
    const lax = await open(t, { url: peer.url, tls: { rejectUnauthorized: false } })
    assert.equal((await lax.get('/')).status, 200)
  }
  const named = await serve(t, answer, wrongHostCertificate)
  const renamed = await open(t, { url: named.url, tls: { ca: testCa, servername: 'server.invalid' } })
  assert.equal((await renamed.get('/')).status, 200)
})

test('mutual TLS: the client certificate is presented, and a wrong one refused', async t => {
  const peer = await serve(t, (_, __, response) => response.end('x'), {
    ...serverCertificate,
    ca: testCa,
    requestCert: true,
    rejectUnauthorized: true,
  })
  const right = await open(t, { url: peer.url, tls: { ca: testCa, ...clientCertificate } })
  assert.equal((await right.get('/')).status, 200)
  for (const tls of [{ ca: testCa, ...otherClientCertificate }, { ca: testCa }]) {
    const wrong = await open(t, { url: peer.url, tls, retry: { attempts: 1 } })
    await assert.rejects(wrong.get('/'), (error: { code: string }) => /SIGNALBOX_CONNECT_/.test(error.code))
  }
})

test('options that cannot be used are refused at connect', async t => {
  const invalid = { code: 'SIGNALBOX_OPTIONS_INVALID' }
  await assert.rejects(open(t, { url: 'https://user:secret@x.example' }), invalid)
  await assert.rejects(open(t, { url: 'https://x.example', tls: { cert: clientCertificate.cert } }), invalid)
  await assert.rejects(
    open(t, { url: 'https://x.example', tls: { ...clientCertificate, key: 'nonsense' } }),
    invalid,
  )
  await assert.rejects(open(t, { url: 'https://x.example', targets: { allow: ['10.0.0.0/99'] } }), invalid)
  const two = { basic: { username: 'a', password: 'b' }, bearer: { token: 'c' } }
  await assert.rejects(open(t, { url: 'https://x.example', auth: two }), invalid)
})

test('the pool opens no more sockets than allowed and uses them again', async t => {
  const peer = await serve(t, (_, __, response) => response.end('x'))
  const connection = await open(t, { url: peer.url, pool: { connections: 2 } })
  await Promise.all(Array.from({ length: 50 }, () => connection.get('/')))
  assert.ok(peer.sockets() <= 2, `${peer.sockets()} sockets`)
})
