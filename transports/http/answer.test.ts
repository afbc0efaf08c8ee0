import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { unpack } from 'msgpackr'
import { SignalboxError } from '../../core/errors.ts'
import { type Answer, eventually, RawClient, startChannel } from './testing.ts'

/** A channel that answers with what the test puts in. */
async function answering(t: Parameters<typeof startChannel>[0], options: Record<string, unknown> = {}) {
  const next: { answer: Answer } = { answer: {} }
  const started = await startChannel(t, options, () => next.answer)
  const get = async (answer: Answer, headers: Record<string, string> = {}, path = '/') => {
    next.answer = answer
    return fetch(started.url + path, { headers })
  }
  return { ...started, get }
}

test('the kind of the payload chooses status and media type', async t => {
  const { get } = await answering(t)
  const cases: [unknown, number, string | null, string][] = [
    [undefined, 204, null, ''],
    ['grüß', 200, 'text/plain; charset=utf-8', 'grüß'],
    ['', 200, 'text/plain; charset=utf-8', ''],
    [{ a: 1 }, 200, 'application/json', '{"a":1}'],
    [[1], 200, 'application/json', '[1]'],
    [null, 200, 'application/json', 'null'],
    [7, 200, 'application/json', '7'],
    [false, 200, 'application/json', 'false'],
    [Buffer.from('abc'), 200, 'application/octet-stream', 'abc'],
    [new Uint8Array([97]), 200, 'application/octet-stream', 'a'],
  ]
  for (const [payload, status, type, text] of cases) {
    const response = await get({ payload })
    assert.equal(response.status, status, text)
    assert.equal(response.headers.get('content-type'), type)
    assert.equal(await response.text(), text)
  }
})

test('the client chooses among representations, or gets 406', async t => {
  const { get } = await answering(t, {
    routes: [{ path: '/' }, { path: '/csv', produces: ['text/csv', 'text/html'] }],
  })
  const packed = await get({ payload: { a: 1 } }, { accept: 'application/msgpack, application/json;q=0.5' })
  assert.equal(packed.headers.get('content-type'), 'application/msgpack')
  assert.equal(packed.headers.get('vary'), 'accept')
  assert.deepEqual(unpack(new Uint8Array(await packed.arrayBuffer())), { a: 1 })
  const text = await get({ payload: 'x' }, { accept: 'application/json' })
  assert.equal(await text.text(), '"x"')
  const refused = await get({ payload: { a: 1 } }, { accept: 'image/png' })
  assert.equal(refused.status, 406)
  const csv = await get({ payload: 'a,b' }, { accept: 'text/html;q=0.1, text/csv' }, '/csv')
  assert.equal(csv.headers.get('content-type'), 'text/csv; charset=utf-8')
})

test('406 comes before the service runs where the route says what it produces', async t => {
  const { get, received } = await answering(t, { routes: [{ path: '/', produces: ['text/csv'] }] })
  assert.equal((await get({ payload: 'x' }, { accept: 'application/json' })).status, 406)
  assert.equal(received.length, 0)
  assert.equal((await get({ payload: { data: 1 } })).status, 500)
})

test('status and headers of the service are used, framing headers are not', async t => {
  const { get } = await answering(t)
  const response = await get({
    payload: { a: 1 },
    status: 201,
    headers: {
      location: '/a/1',
      'Content-Length': '9999',
      'transfer-encoding': 'chunked',
      connection: 'upgrade',
    },
  })
  assert.equal(response.status, 201)
  assert.equal(response.headers.get('location'), '/a/1')
  assert.equal(response.headers.get('content-length'), '7')
  assert.equal(await response.text(), '{"a":1}')
  const typed = await get({ payload: '<a/>', headers: { 'Content-Type': 'application/xml' } })
  assert.equal(typed.headers.get('content-type'), 'application/xml')
  assert.equal(await typed.text(), '<a/>')
  const created = await get({ status: 201 })
  assert.equal(created.status, 201)
  assert.equal(created.headers.get('content-length'), '0')
  assert.equal((await get({ payload: 'x', status: 304 })).status, 304)
})

test('line breaks in headers and impossible statuses are refused with a typed error', async t => {
  const { get } = await answering(t, { exposeErrorDetails: true })
  const bad: Answer[] = [
    { payload: 'x', headers: { 'x-a': 'b\r\nset-cookie: evil=1' } },
    { payload: 'x', headers: { 'x-a': 'b\0' } },
    { payload: 'x', headers: { 'x-a\r\nx-b': 'c' } },
    { payload: 'x', headers: { 'content-type': 'text/html\r\n\r\n<script>' } },
    { payload: 'x', headers: { 'x-a': 7 as unknown as string } },
    { payload: 'x', status: 99 },
    { payload: 'x', status: 200.5 },
  ]
  for (const answer of bad) {
    const response = await get(answer)
    assert.equal(response.status, 500)
    assert.equal(response.headers.get('set-cookie'), null)
    assert.equal(((await response.json()) as { code: string }).code, 'SIGNALBOX_ANSWER_INVALID')
  }
  assert.equal((await get({ payload: { big: 1n } })).status, 500)
})

test('answers are compressed when the client takes it and it pays', async t => {
  const { get, port } = await answering(t, {
    compression: { thresholdBytes: 100, encodings: ['br', 'gzip', 'zstd'] },
  })
  const payload = { text: 'x'.repeat(1000) }
  for (const encoding of ['br', 'gzip']) {
    const response = await get({ payload }, { 'accept-encoding': encoding })
    assert.equal(response.headers.get('content-encoding'), encoding)
    assert.equal(response.headers.get('vary'), 'accept-encoding')
    assert.deepEqual(await response.json(), payload)
  }
  const client = new RawClient(t, port)
  client.send('GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: zstd\r\nconnection: close\r\n\r\n')
  await client.untilClosed()
  const body = Buffer.from(client.text.slice(client.text.indexOf('\r\n\r\n') + 4), 'latin1')
  assert.deepEqual(JSON.parse(zlib.zstdDecompressSync(body).toString()), payload)
  const plain = { 'accept-encoding': 'gzip' }
  assert.equal((await get({ payload: 'short' }, plain)).headers.get('content-encoding'), null)
  assert.equal((await get({ payload: Buffer.alloc(1000) }, plain)).headers.get('content-encoding'), null)
  const own = await get(
    { payload: zlib.gzipSync('own'), headers: { 'content-encoding': 'gzip', 'content-type': 'text/plain' } },
    plain,
  )
  assert.equal(await own.text(), 'own')
})

test('errors are problem details; server errors hide what is inside', async t => {
  const errors: Record<string, unknown> = {
    '/input': new SignalboxError('SIGNALBOX_INPUT_INVALID', 'bad', {
      details: { errors: [{ pointer: '/a' }] },
    }),
    '/own': new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404 }),
    '/secret': new SignalboxError('SIGNALBOX_SERVICE_FAILED', 'password is x', {
      details: { password: 'x' },
    }),
    '/busy': new SignalboxError('SIGNALBOX_MAILBOX_FULL', undefined, { retryAfterMs: 2500 }),
    '/auth': new SignalboxError('SIGNALBOX_UNAUTHENTICATED'),
    '/basic': new SignalboxError('SIGNALBOX_UNAUTHENTICATED', 'x', {
      details: { challenge: 'Basic realm="a"' },
    }),
    '/raw': new TypeError('password is y'),
    '/cycle': new SignalboxError('ODD', 'odd', { status: 400, details: { n: 1n } }),
  }
  const { url } = await startChannel(t, {}, message => {
    throw errors[message.attributes.path as string]
  })
  const get = async (path: string) => {
    const response = await fetch(url + path, { headers: { 'x-request-id': 'abc-1' } })
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    return { response, problem: (await response.json()) as Record<string, unknown> }
  }
  assert.deepEqual((await get('/input')).problem, {
    type: 'urn:signalbox:error:SIGNALBOX_INPUT_INVALID',
    title: 'The input does not match the schema of the service.',
    status: 400,
    detail: 'bad',
    instance: '/input',
    code: 'SIGNALBOX_INPUT_INVALID',
    cid: 'abc-1',
    details: { errors: [{ pointer: '/a' }] },
  })
  assert.equal((await get('/own')).problem.detail, 'no order 7')
  for (const path of ['/secret', '/raw']) {
    const { response, problem } = await get(path)
    assert.equal(response.status, 500)
    assert.doesNotMatch(JSON.stringify(problem), /password/)
  }
  const busy = await get('/busy')
  assert.equal(busy.response.status, 503)
  assert.equal(busy.response.headers.get('retry-after'), '3')
  assert.equal((await get('/auth')).response.headers.get('www-authenticate'), 'Bearer realm="test"')
  assert.equal((await get('/basic')).response.headers.get('www-authenticate'), 'Basic realm="a"')
  assert.equal((await get('/cycle')).response.status, 400)
})

test('a sane correlation id and the trace context are taken over, others replaced', async t => {
  const { url, received } = await startChannel(t, {})
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const first = await fetch(url, { headers: { 'x-signalbox-cid': 'a.b_c-1', traceparent } })
  assert.equal(first.headers.get('x-signalbox-cid'), 'a.b_c-1')
  assert.equal(received[0]?.traceparent, traceparent)
  for (const cid of ['a b', 'x'.repeat(129), '<script>']) {
    const response = await fetch(url, { headers: { 'x-signalbox-cid': cid } })
    assert.notEqual(response.headers.get('x-signalbox-cid'), cid)
    assert.match(response.headers.get('x-signalbox-cid')!, /^[A-Za-z0-9_-]{12,}$/)
  }
})

test('the signal is aborted when the client goes away', async t => {
  let aborted: unknown
  let running = false
  const { url } = await startChannel(t, {}, message => {
    running = true
    return new Promise((_, reject) => {
      message.signal!.addEventListener('abort', () => {
        aborted = message.signal!.reason
        reject(message.signal!.reason)
      })
    })
  })
  const controller = new AbortController()
  const request = fetch(url, { signal: controller.signal })
  await eventually(() => running, 'start of the request')
  controller.abort()
  await assert.rejects(request)
  await eventually(() => aborted !== undefined, 'abort')
  assert.equal((aborted as SignalboxError).code, 'SIGNALBOX_CANCELLED')
})

test('beyond maxInFlight clients get 503 and Retry-After', async t => {
  const release = Promise.withResolvers<void>()
  const { url, received } = await startChannel(t, { maxInFlight: 2 }, async () => {
    await release.promise
    return { payload: 'done' }
  })
  const held = [fetch(url), fetch(url)]
  await eventually(() => received.length === 2, 'two requests')
  const third = await fetch(url)
  assert.equal(third.status, 503)
  assert.equal(third.headers.get('retry-after'), '1')
  release.resolve()
  for (const response of await Promise.all(held)) assert.equal(response.status, 200)
  assert.equal((await fetch(url)).status, 200)
})
