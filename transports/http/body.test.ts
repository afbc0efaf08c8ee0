import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { pack } from 'msgpackr'
import { startChannel } from './testing.ts'

const post = (url: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  fetch(url, { method: 'POST', body, headers })
const JSON_TYPE = { 'content-type': 'application/json' }

test('bodies are read by their media type', async t => {
  const { url, received } = await startChannel(t, {})
  const payloadOf = async (body: string | Uint8Array<ArrayBuffer>, type: string) => {
    const response = await post(url, body, { 'content-type': type })
    assert.ok(response.ok, `${type}: ${response.status} ${await response.text()}`)
    return received.at(-1)!.payload
  }
  assert.deepEqual(await payloadOf('{"a":[1,2]}', 'application/json'), { a: [1, 2] })
  assert.deepEqual(await payloadOf('{"a":1}', 'application/vnd.x+json; charset=utf-8'), { a: 1 })
  assert.deepEqual(
    { ...((await payloadOf('a=1&a=2&b=c+d', 'application/x-www-form-urlencoded')) as object) },
    {
      a: ['1', '2'],
      b: 'c d',
    },
  )
  assert.equal(await payloadOf('grüß', 'text/plain'), 'grüß')
  assert.equal(await payloadOf(Uint8Array.from([0x67, 0xfc]), 'text/plain; charset=iso-8859-1'), 'gü')
  assert.deepEqual(await payloadOf(new Uint8Array(pack({ a: 1 })), 'application/msgpack'), {
    a: 1,
  })
  assert.deepEqual(
    await payloadOf(Uint8Array.from([1, 0, 255]), 'application/octet-stream'),
    Buffer.from([1, 0, 255]),
  )
  assert.deepEqual(await payloadOf(Uint8Array.from([1]), 'image/png'), Buffer.from([1]))
  assert.equal(received[0]?.bytes, 11)
})

test('a route may say how its body is read whatever its type', async t => {
  const { url, received } = await startChannel(t, {
    routes: [
      { path: '/json', method: 'POST', format: 'json' },
      { path: '/raw', method: 'POST', format: 'raw' },
    ],
  })
  await post(`${url}/json`, '{"a":1}', { 'content-type': 'text/plain' })
  assert.deepEqual(received[0]?.payload, { a: 1 })
  await post(`${url}/raw`, '{"a":1}', JSON_TYPE)
  assert.deepEqual(received[1]?.payload, Buffer.from('{"a":1}'))
})

test('an empty body is no payload', async t => {
  const { url, received } = await startChannel(t, {})
  const response = await post(url, '', JSON_TYPE)
  assert.equal(response.status, 204)
  assert.equal(received[0]?.payload, undefined)
})

test('payload: body keeps query and path parameters out of it', async t => {
  const { url, received } = await startChannel(t, { routes: [{ path: '/:id', payload: 'body' }] })
  await fetch(`${url}/7?a=1`)
  assert.equal(received[0]?.payload, undefined)
})

test('compressed bodies are inflated', async t => {
  const { url, received } = await startChannel(t, {})
  const body = JSON.stringify({ text: 'x'.repeat(1000) })
  const packed: [string, Buffer][] = [
    ['gzip', zlib.gzipSync(body)],
    ['deflate', zlib.deflateSync(body)],
    ['deflate', zlib.deflateRawSync(body)],
    ['br', zlib.brotliCompressSync(body)],
    ['zstd', zlib.zstdCompressSync(body)],
    ['identity', Buffer.from(body)],
  ]
  for (const [encoding, bytes] of packed) {
    const response = await post(url, new Uint8Array(bytes), { ...JSON_TYPE, 'content-encoding': encoding })
    assert.equal(response.status, 200, encoding)
    assert.deepEqual(received.at(-1)?.payload, JSON.parse(body), encoding)
    assert.equal(received.at(-1)?.bytes, bytes.length)
  }
})

test('compression bombs stop at the ratio and at the size', async t => {
  const { url, received } = await startChannel(t, {
    limits: { maxBodyBytes: 20_000_000, maxInflationRatio: 100 },
  })
  const bomb = zlib.gzipSync(Buffer.alloc(50_000_000))
  for (const [encoding, bytes] of [
    ['gzip', bomb],
    ['br', zlib.brotliCompressSync(Buffer.alloc(5_000_000))],
    ['zstd', zlib.zstdCompressSync(Buffer.alloc(50_000_000))],
  ] as const) {
    const response = await post(url, new Uint8Array(bytes), { ...JSON_TYPE, 'content-encoding': encoding })
    assert.equal(response.status, 413, encoding)
    assert.equal(((await response.json()) as { code: string }).code, 'SIGNALBOX_FORMAT_LIMIT')
  }
  const broken = await post(url, 'no gzip', { ...JSON_TYPE, 'content-encoding': 'gzip' })
  assert.equal(broken.status, 400)
  const unknown = await post(url, 'x', { 'content-encoding': 'lzma' })
  assert.equal(unknown.status, 415)
  assert.equal(received.length, 0)
})

test('bodies that are too large are refused, announced or not', async t => {
  const { url, received } = await startChannel(t, {
    limits: { maxBodyBytes: 1000 },
    routes: [
      { path: '/a', method: 'POST' },
      { path: '/big', method: 'POST', maxBodyBytes: 3000 },
    ],
  })
  assert.equal((await post(`${url}/a`, 'x'.repeat(1001))).status, 413)
  const chunked = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(100))
      controller.close()
    },
  })
  const init: RequestInit & { duplex: 'half' } = { method: 'POST', body: chunked, duplex: 'half' }
  assert.equal((await fetch(`${url}/a`, init)).status, 413)
  assert.equal(received.length, 0)
  assert.equal((await post(`${url}/a`, 'x'.repeat(1000))).status, 200)
  assert.equal((await post(`${url}/big`, 'x'.repeat(2000))).status, 200)
})

test('hostile JSON is refused in bounded time and pollutes nothing', async t => {
  const { url, received } = await startChannel(t, { limits: { maxBodyBytes: 12_000_000 } })
  const refused: [string, number][] = [
    ['{"__proto__":{"polluted":1}}', 400],
    ['{"a":[{"\\u005f_proto__":1}]}', 400],
    ['{"constructor":{"prototype":{"polluted":1}}}', 400],
    ['{"a":', 400],
    ['[1,]', 400],
    ['['.repeat(100_000) + ']'.repeat(100_000), 413],
    ['{"a":'.repeat(100_000), 413],
  ]
  for (const [body, status] of refused) {
    assert.equal((await post(url, body, JSON_TYPE)).status, status, body.slice(0, 40))
  }
  const invalidUtf8 = await post(url, Uint8Array.from([0x22, 0xff, 0x22]), JSON_TYPE)
  assert.equal(invalidUtf8.status, 400)
  assert.equal(received.length, 0)
  const start = performance.now()
  const digits = await post(url, '9'.repeat(10_000_000), JSON_TYPE)
  await digits.arrayBuffer()
  assert.ok(performance.now() - start < 3000, `took ${performance.now() - start} ms`)
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
})

test('hostile forms and media types are refused', async t => {
  const { url } = await startChannel(t, {})
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  assert.equal((await post(url, '__proto__=x', form)).status, 400)
  assert.equal((await post(url, 'a=1&'.repeat(20_000), form)).status, 413)
  assert.equal((await post(url, 'x', { 'content-type': 'nonsense' })).status, 415)
  assert.equal((await post(url, 'x', { 'content-type': 'text/plain; charset=klingon' })).status, 415)
})
