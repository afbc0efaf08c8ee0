/** Payloads that are made to exhaust parsers or to reach prototypes, through every door of the two channels. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { pack } from 'msgpackr'
import { WebSocket } from 'ws'
import { HostileBus, RawSocket } from '../hostile-bus.ts'
import { call, until } from '../load.ts'

let bus: HostileBus

before(async () => {
  bus = await HostileBus.start()
})
after(() => bus?.stop())

interface Taken {
  status: number
  code: string | undefined
  value: unknown
}

async function post(type: string, body: string | Buffer, path = '/take'): Promise<Taken> {
  const response = await fetch(bus.url + path, {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  })
  const answer = (await response.json()) as { code?: string; value?: unknown }
  return { status: response.status, code: answer.code, value: answer.value }
}

test('JSON: depth, digits, many names and cut texts are refused or read, never fatal', async t => {
  const refused: [string, string, string][] = [
    ['arrays 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000), 'SIGNALBOX_FORMAT_LIMIT'],
    ['arrays 100,000 deep, not closed', '['.repeat(100_000), 'SIGNALBOX_FORMAT_LIMIT'],
    ['objects 100,000 deep', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 'SIGNALBOX_FORMAT_LIMIT'],
    ['5,000,000 values', `[${'1,'.repeat(4_999_999)}1]`, 'SIGNALBOX_FORMAT_LIMIT'],
    ['closing only', ']'.repeat(1_000_000), 'SIGNALBOX_FORMAT_INVALID'],
    ['an open string', `"${'a'.repeat(5_000_000)}`, 'SIGNALBOX_FORMAT_INVALID'],
    ['an open escape', `"${'\\u'.repeat(1_000_000)}"`, 'SIGNALBOX_FORMAT_INVALID'],
    ['raw control characters', '"a\u0000\n"', 'SIGNALBOX_FORMAT_INVALID'],
    ['two values', '1 2', 'SIGNALBOX_FORMAT_INVALID'],
    ['NaN', '[NaN, Infinity]', 'SIGNALBOX_FORMAT_INVALID'],
    ['a leading zero', '[01]', 'SIGNALBOX_FORMAT_INVALID'],
  ]
  await bus.under(t, async () => {
    for (const [what, body, code] of refused) {
      const start = performance.now()
      const answer = await post('application/json', body)
      assert.ok(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status}`)
      assert.equal(answer.code, code, what)
      t.diagnostic(`${what}: ${(performance.now() - start).toFixed(0)} ms`)
    }
    // 10 MB of digits is one number; it overflows as JSON.parse says.
    const digits = await post('application/json', '9'.repeat(10_000_000))
    assert.deepEqual(digits, { status: 200, code: undefined, value: null })
    const fraction = await post('application/json', `0.${'3'.repeat(10_000_000)}`)
    assert.equal(fraction.value, 1 / 3)
    const names = Array.from({ length: 200_000 }, (_, i) => `"a${i}":${i}`)
    assert.equal((await post('application/json', `{${names.join()}}`)).status, 200)
  })
})

test('JSON: the last of duplicate names counts, also where the first is another type', async () => {
  assert.deepEqual((await post('application/json', '{"a":1,"b":2,"a":{"c":3}}')).value, { a: { c: 3 }, b: 2 })
  const doubled = `{${'"a":[1],'.repeat(100_000)}"a":2}`
  assert.deepEqual((await post('application/json', doubled)).value, { a: 2 })
})

test('lone surrogates stay what they are and never become other text', async () => {
  assert.equal((await post('application/json', '"\\ud800"')).value, '\ud800')
  assert.equal((await post('application/json', '"\\udc00\\ud800"')).value, '\udc00\ud800')
  // As raw bytes they are not UTF-8.
  const raw = Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])
  for (const type of [
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/xml',
  ])
    assert.equal((await post(type, raw)).status, 400, type)
  assert.equal((await post('application/x-www-form-urlencoded', 'a=%ED%A0%80')).status, 400)
})

test('names that reach prototypes are refused or harmless in every format and place', async () => {
  const nested = { constructor: { prototype: { polluted: 1 } } }
  const json = [
    '{"__proto__":{"polluted":1}}',
    '{"\\u005f_proto__":{"polluted":1}}',
    '{"\\u005f\\u005f\\u0070roto\\u005f\\u005f":{"polluted":1}}',
    '{"a":[{"b":{"__proto__":{"polluted":1}}}]}',
    '[{"__proto__":{"__proto__":{"polluted":1}}}]',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"a":{"const\\u0072uctor":{"proto\\u0074ype":{"polluted":1}}}}',
    '{"constructor":1,"constructor":{"prototype":{"polluted":1}}}',
  ]
  for (const body of json) {
    const { status, code } = await post('application/json', body)
    assert.deepEqual({ status, code }, { status: 400, code: 'SIGNALBOX_FORMAT_INVALID' }, body)
  }
  const packed = [
    pack(nested),
    pack({ a: [nested] }),
    // A map with the key __proto__, which no JavaScript object can be packed to.
    Buffer.concat([Buffer.from([0x81, 0xa9]), Buffer.from('__proto__'), pack({ polluted: 1 })]),
    Buffer.concat([Buffer.from([0x81, 0xc4, 9]), Buffer.from('__proto__'), pack({ polluted: 1 })]),
    Buffer.concat([Buffer.from([0x81, 0xd9, 9]), Buffer.from('__proto__'), pack({ polluted: 1 })]),
  ]
  for (const body of packed)
    assert.equal((await post('application/msgpack', body)).status, 400, body.toString('hex'))
  const xml = [
    '<__proto__><polluted>1</polluted></__proto__>',
    '<a><__proto__ polluted="1"/></a>',
    '<a __proto__="1"/>',
  ]
  for (const body of [
    ...xml,
    '<a><constructor><prototype><polluted>1</polluted></prototype></constructor></a>',
  ]) {
    const { status } = await post('application/xml', body)
    assert.ok(status === 400 || status === 200, `${body}: ${status}`)
  }
  const forms = [
    '__proto__=1',
    '__proto__[polluted]=1',
    '%5F%5Fproto__=1',
    'constructor[prototype][polluted]=1',
    'constructor.prototype.polluted=1',
    'a=1&__proto__=x&a=2',
    'toString=1&valueOf=1&hasOwnProperty=1',
  ]
  for (const body of forms) {
    const form = await post('application/x-www-form-urlencoded', body)
    const query = await fetch(`${bus.url}/take?${body}`)
    const wanted = /(^|&)(__|%5F%5F)proto__=/.test(body) ? 400 : 200
    assert.equal(form.status, wanted, body)
    assert.equal(query.status, wanted, body)
    await query.arrayBuffer()
  }
  await bus.assertPrototypes()
})

test('names that reach prototypes are harmless in multipart, headers and paths', async () => {
  for (const name of [
    '__proto__',
    'constructor',
    'constructor[prototype][polluted]',
    '__proto__[polluted]',
    'toString',
  ]) {
    for (const file of [false, true]) {
      const form = new FormData()
      form.append(name, file ? new Blob(['x']) : 'x', ...((file ? [name] : []) as []))
      const { status } = await fetch(`${bus.url}/upload`, { method: 'POST', body: form })
      assert.equal(status, name === '__proto__' ? 400 : 200, `${name} ${file}`)
    }
  }
  const names = [
    '__proto__',
    'constructor',
    'prototype',
    'tostring',
    'hasownproperty',
    'valueof',
    'x-signalbox-cid',
    'traceparent',
  ]
  for (const name of names) {
    const raw = new RawSocket(bus.port)
    try {
      raw.socket.write(
        `GET /take HTTP/1.1\r\nhost: a\r\n${name}: polluted\r\n${name}: {"polluted":1}\r\nconnection: close\r\n\r\n`,
      )
      assert.equal(await raw.answered(), 200, name)
    } finally {
      raw.socket.destroy()
    }
  }
  for (const path of [
    '/files/__proto__',
    '/files/constructor/prototype',
    '/pattern/constructor',
    '/date/__proto__-constructor-prototype',
    '/__proto__',
    '/constructor',
  ]) {
    const { status } = await call(bus.url + path)
    assert.ok(status === 200 || status === 404, `${path}: ${status}`)
  }
  await bus.assertPrototypes()
})

test('WebSocket frames: the same names, depths and digits in text and binary', async () => {
  const socket = new WebSocket(bus.socketUrl, { perMessageDeflate: false })
  try {
    const answers: unknown[] = []
    socket.on('message', data => answers.push(data))
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    const refused = [
      '{"id":1,"payload":{"__proto__":{"polluted":1}}}',
      '{"__proto__":{"polluted":1},"id":1}',
      '{"id":1,"headers":{"__proto__":"x"}}',
      '{"id":1,"payload":{"constructor":{"prototype":{"polluted":1}}}}',
      '{"id":{"__proto__":1}}',
      `{"id":1,"payload":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      pack({ id: 1, payload: { constructor: { prototype: { polluted: 1 } } } }),
      Buffer.concat([
        Buffer.from([0x82, 0xa2]),
        Buffer.from('id'),
        Buffer.from([1, 0xa9]),
        Buffer.from('__proto__'),
        pack({ polluted: 1 }),
      ]),
      Buffer.alloc(100_000, 0x91),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0xc7, 0xff, 0x01]),
    ]
    for (const frame of refused) socket.send(frame)
    await until(() => answers.length === refused.length, 'each is answered')
    for (const answer of answers) assert.match(String(answer), /SIGNALBOX_FORMAT_(INVALID|LIMIT)/)
    socket.send(`{"id":1,"payload":${'9'.repeat(1_000_000)}}`)
    socket.send('{"id":2,"headers":{"constructor":"x","toString":"y"},"payload":"ok"}')
    await until(() => answers.length === refused.length + 2, 'good frames are answered')
    assert.match(answers.slice(-2).map(String).join(), /"value":"ok"/)
  } finally {
    socket.terminate()
  }
  await bus.assertPrototypes()
})

test('paths that are made to backtrack, and queries without end, are answered at once', async t => {
  const long = 'a'.repeat(4_000)
  const paths = [
    `/pattern/${long}!`,
    `/pattern/${long}1${long}`,
    `/date/${'-'.repeat(8_000)}`,
    `/date/${'1-'.repeat(4_000)}`,
    `/files/${'../'.repeat(2_000)}`,
    `/files/${'%2e'.repeat(2_000)}`,
    `/files/${'%'.repeat(6_000)}`,
    `/take?${'&'.repeat(8_000)}`,
    `/take?${'a=1&'.repeat(2_000)}`,
    `/take?${'%'.repeat(8_000)}`,
    `/take?${'a[b]'.repeat(2_000)}=1`,
    `/${'/'.repeat(8_000)}`,
  ]
  const slow: string[] = []
  for (const path of paths) {
    const times: number[] = []
    // On a busy machine one try may have to wait for the processor.
    for (let round = 0; round < 5; round++) {
      const raw = new RawSocket(bus.port)
      try {
        const start = performance.now()
        raw.socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`)
        const status = await raw.answered()
        times.push(performance.now() - start)
        assert.ok(status === 200 || (status! >= 400 && status! < 500), `${path.slice(0, 50)}: ${status}`)
      } finally {
        raw.socket.destroy()
      }
    }
    if (Math.min(...times) > 100) slow.push(`${path.slice(0, 50)}: ${Math.min(...times)} ms`)
  }
  t.diagnostic(`${paths.length} paths`)
  assert.deepEqual(slow, [])
})
