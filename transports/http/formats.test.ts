/** Tables, lines and YAML over HTTP, in the character set that the Content-Type says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startChannel } from './testing.ts'

test('bodies are read by media type and charset', async t => {
  const { url, received } = await startChannel(t, {})
  const post = async (body: string | Uint8Array<ArrayBuffer>, type: string) => {
    const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } })
    return { status: response.status, payload: received.at(-1)?.payload, text: await response.text() }
  }
  const latin = new Uint8Array(Buffer.from('a,b\n1,gr\xfc\xdf\n', 'latin1'))
  assert.deepEqual((await post(latin, 'text/csv; charset=iso-8859-1')).payload, [{ a: '1', b: 'grüß' }])
  assert.deepEqual((await post('a\tb\n1\tü\n', 'text/tab-separated-values')).payload, [{ a: '1', b: 'ü' }])
  assert.deepEqual((await post('{"a":1}\n2\n', 'application/x-ndjson')).payload, [{ a: 1 }, 2])
  assert.deepEqual((await post('a: [1, b]\n', 'application/yaml')).payload, { a: [1, 'b'] })
  assert.equal((await post(new Uint8Array([0xa4]), 'text/plain; charset=iso-8859-15')).payload, '€')
  assert.equal((await post(new Uint8Array([0x93, 0xfa]), 'text/plain; charset=Shift_JIS')).payload, '日')
  const json = new Uint8Array(Buffer.from('{"a":"ü"}', 'utf16le'))
  assert.deepEqual((await post(json, 'application/json; charset=utf-16le')).payload, { a: 'ü' })
  const count = received.length
  assert.equal((await post(latin, 'text/csv')).status, 400)
  assert.equal((await post('__proto__\n1\n', 'text/csv')).status, 400)
  assert.equal((await post('a\n1\n', 'text/csv; charset=utf-7')).status, 415)
  assert.equal((await post('x', 'text/x-fixed-width')).status, 415)
  assert.equal(received.length, count)
})

test('data is written in the format and character set that the service says', async t => {
  let contentType = 'text/csv; charset=iso-8859-1'
  const { url } = await startChannel(t, {}, () => ({
    payload: [{ a: 'grüß' }],
    headers: { 'content-type': contentType },
  }))
  const latin = await fetch(url)
  assert.equal(latin.headers.get('content-type'), contentType)
  assert.deepEqual(Buffer.from(await latin.arrayBuffer()), Buffer.from('a\r\ngr\xfc\xdf\r\n', 'latin1'))
  contentType = 'application/yaml'
  assert.equal(await (await fetch(url)).text(), '- a: grüß\n')
  contentType = 'application/x-ndjson'
  assert.equal(await (await fetch(url)).text(), '{"a":"grüß"}\n')
})
