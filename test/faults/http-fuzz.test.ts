/** Random and mutated requests and frames at the raw sockets: nothing crashes, hangs or grows, others are served. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { pack } from 'msgpackr'
import { HostileBus } from '../hostile-bus.ts'
import { call } from '../load.ts'

const REQUESTS = Number(process.env.SIGNALBOX_FUZZ_REQUESTS ?? 60_000)
const FRAMES = Number(process.env.SIGNALBOX_FUZZ_FRAMES ?? 100_000)
const SEED = Number(process.env.SIGNALBOX_FUZZ_SEED ?? 30)
const CONNECTIONS = 16
const WARM = 60_000
const MAX_RISE_MB = 64
/** What the last well-formed message of a connection is answered with. */
const MARK = 'mark-30'
/** Longer than a busy machine takes, shorter than any time limit of the channels but that of idle connections. */
const HANG_MS = 20_000
/** What is wrong with a message is its sender's fault, never a failure of ours. */
const FAILURE = /HTTP\/1\.1 500|SIGNALBOX_(ACTOR|SERVICE)_FAILED/

let bus: HostileBus

before(async () => {
  bus = await HostileBus.start()
})
after(() => bus?.stop())

test(`${REQUESTS} random and mutated requests, pipelined (seed ${SEED})`, async t => {
  const random = lcg(SEED)
  const corpus = sample(request, 4_000)
  const odd = sample(oddRequest, 2_000)
  const mark = Buffer.from(`GET /where HTTP/1.1\r\nhost: a\r\nx-signalbox-cid: ${MARK}\r\n\r\n`)
  const attack = { port: bus.port, before: undefined, corpus, mark, odd, share: 8, random }
  // The first of them compile code and make the young generation grow; after that nothing may.
  await flood(t, WARM, attack)
  await bus.under(t, () => flood(t, REQUESTS, attack), MAX_RISE_MB)
  await bus.assertPrototypes()
  assert.equal((await call(`${bus.url}/where`)).status, 200)
})

test(`${FRAMES} random and mutated WebSocket frames (seed ${SEED})`, async t => {
  const random = lcg(SEED)
  const corpus = sample(frame, 4_000)
  const odd = sample(oddFrame, 2_000)
  const mark = framed(Buffer.from(`{"id":"${MARK}"}`), 1, Buffer.from('mask'))
  const port = Number(new URL(bus.socketUrl).port)
  const attack = { port, before: HANDSHAKE, corpus, mark, odd, share: 40, random }
  await flood(t, WARM, attack)
  await bus.under(t, () => flood(t, FRAMES, attack), MAX_RISE_MB)
  await bus.assertPrototypes()
  const socket = new WebSocket(bus.socketUrl)
  try {
    const answer = new Promise<string>((resolve, reject) => {
      socket.addEventListener('open', () => socket.send('{"id":1,"payload":"ok"}'))
      socket.addEventListener('message', ({ data }) => resolve(String(data)))
      socket.addEventListener('error', () => reject(new Error('the channel does not serve any more')))
    })
    assert.match(await answer, /"value":"ok"/)
  } finally {
    socket.close()
  }
})

interface Attack {
  port: number
  /** Sent at the start of each connection. */
  before: string | undefined
  /** Well-formed on the wire, whatever they mean: the parser goes on after each of them. */
  corpus: Buffer[]
  mark: Buffer
  odd: Buffer[]
  /** How many well-formed messages a connection sends, at most. */
  share: number
  random: (below: number) => number
}

/**
 * Each connection sends some messages of the corpus and the mark; when that is answered, so that all before it were
 * read, something odd or mutated and no more. All have to end soon.
 */
async function flood(t: { diagnostic(text: string): void }, count: number, attack: Attack): Promise<void> {
  const { corpus, odd, random, share, port, before, mark } = attack
  const start = performance.now()
  let [sent, connections, read, slowestMs] = [0, 0, 0, 0]
  const line = async () => {
    while (sent < count) {
      const good = Array.from({ length: 1 + random(share) }, () => corpus[random(corpus.length)]!)
      const bad =
        random(3) === 0 ? odd[random(odd.length)]! : mutate(corpus[random(corpus.length)]!, corpus, random)
      sent += good.length + 1
      connections++
      const begin = performance.now()
      const wholly = await exchange(port, Buffer.concat([Buffer.from(before ?? ''), ...good, mark]), bad)
      slowestMs = Math.max(slowestMs, performance.now() - begin)
      if (wholly) read += good.length + 1
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, line))
  t.diagnostic(
    `${sent} messages over ${connections} connections, ${read} of them on connections that answered all well-formed ones, ` +
      `${Math.round((sent / (performance.now() - start)) * 1000)}/s, the slowest connection took ${slowestMs.toFixed(0)} ms`,
  )
  assert.ok(read > sent * 0.9, `only ${read} of ${sent} messages were read`)
}

/** Resolves when the other side has ended the connection, with whether the mark was answered. */
function exchange(port: number, good: Buffer, bad: Buffer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let text = ''
    let marked = false
    const timer = setTimeout(() => {
      const bytes = Buffer.concat([good, bad]).toString('base64')
      reject(new Error(`a connection hangs${marked ? '' : ' before the mark'}; its bytes: ${bytes}`))
      socket.destroy()
    }, HANG_MS)
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      const failure = FAILURE.exec(chunk)
      if (failure) {
        clearTimeout(timer)
        const bytes = Buffer.concat([good, bad]).toString('base64')
        reject(new Error(`${failure[0]} is no answer to nonsense; its bytes: ${bytes}`))
        socket.destroy()
        return
      }
      if (marked) return
      text += chunk
      if (!text.includes(MARK)) return
      marked = true
      socket.end(bad)
    })
    // Being cut off in the middle of a write is what nonsense gets.
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(marked)
    })
    socket.write(good)
  })
}

/** Numbers below a bound, the same ones for the same seed. */
function lcg(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function sample(arbitrary: fc.Arbitrary<Buffer>, numRuns: number): Buffer[] {
  return fc.sample(arbitrary, { numRuns, seed: SEED })
}

/** One thing is changed, cut off, put in or joined. */
function mutate(bytes: Buffer, corpus: Buffer[], random: (below: number) => number): Buffer {
  const kind = random(6)
  if (bytes.length === 0) return bytes
  const at = random(bytes.length)
  if (kind === 0) return bytes.subarray(0, at)
  if (kind === 1) return bytes.subarray(at)
  if (kind === 2) {
    const other = corpus[random(corpus.length)]!
    return Buffer.concat([bytes.subarray(0, at), other.subarray(random(other.length + 1))])
  }
  const copy = Buffer.from(bytes)
  if (kind === 3) copy[at] = copy[at]! ^ (1 << random(8))
  else if (kind === 4) copy[at] = random(256)
  else
    return Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from(Array.from({ length: 1 + random(16) }, () => random(256))),
      bytes.subarray(at),
    ])
  return copy
}

const methods = fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH', 'TRACE')
const oddMethods = fc.constantFrom('CONNECT', 'get', 'PRI', '', 'GET\0', 'GET GET')
const paths = fc.oneof(
  fc.constantFrom(
    '/where',
    '/take',
    '/upload',
    '/files/a/b',
    '/pattern/abc1',
    '/date/2026-01-02',
    '/',
    '//',
    '/..',
  ),
  fc.constantFrom(
    '/%zz',
    '/take?a=1&a=2',
    '/take?__proto__=1',
    '/take?%zz',
    'http://b/take',
    '/%00',
    '/files/%2e%2e',
  ),
  fc.webPath().map(path => path || '/'),
)
const oddPaths = fc.oneof(
  fc.constantFrom('*', '', 'take', 'http:', 'ftp://a/b', '/\0', '/a b'),
  fc.string({ maxLength: 30 }).map(text => `/${text}`),
)
const header = fc.oneof(
  fc.constantFrom(
    'connection: keep-alive',
    'accept: text/event-stream',
    'accept: */*;q=0',
    'accept: nonsense',
  ),
  fc.constantFrom(
    'accept-encoding: br, gzip;q=2',
    'content-encoding: gzip',
    'content-encoding: x',
    'range: bytes=0-1',
  ),
  fc.constantFrom('cookie: a=b', 'traceparent: 00-0-0-0', 'origin: null', '__proto__: x', 'constructor: x'),
  fc.constantFrom(
    'te: trailers',
    'trailer: x',
    'x-signalbox-cid: a b',
    'if-match: *',
    'authorization: Basic x',
  ),
  fc
    .tuple(fc.stringMatching(/^x-[a-z0-9-]{1,10}$/), fc.stringMatching(/^[!-~]{0,30}$/))
    .map(pair => pair.join(': ')),
)
const oddHeader = fc.oneof(
  fc.constantFrom(
    'host: b',
    'expect: nothing',
    'connection: upgrade\r\nupgrade: h2c',
    'content-length: 1',
    'x',
  ),
  fc.constantFrom(
    'transfer-encoding: chunked',
    'transfer-encoding: gzip',
    ' folded: x',
    'x : y',
    ': y',
    'connection: close',
  ),
  fc.tuple(fc.string({ maxLength: 12 }), fc.string({ maxLength: 30 })).map(pair => pair.join(': ')),
)
const typed = fc.oneof(
  fc.json().map(text => ['application/json', Buffer.from(text)] as const),
  fc.jsonValue().map(value => ['application/msgpack', Buffer.from(pack(value))] as const),
  fc
    .dictionary(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }))
    .map(
      fields =>
        ['application/x-www-form-urlencoded', Buffer.from(String(new URLSearchParams(fields)))] as const,
    ),
  fc
    .constantFrom('<a/>', '<a><b c="d">&amp;</b></a>', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '<a', '')
    .map(text => ['application/xml', Buffer.from(text)] as const),
  fc
    .string({ maxLength: 40 })
    .map(
      text =>
        [
          'multipart/form-data; boundary=b',
          Buffer.from(
            `--b\r\ncontent-disposition: form-data; name="a"; filename="f"\r\n\r\n${text}\r\n--b--\r\n`,
          ),
        ] as const,
    ),
  fc.uint8Array({ maxLength: 60 }).map(bytes => ['application/octet-stream', Buffer.from(bytes)] as const),
  fc.uint8Array({ maxLength: 60 }).map(bytes => ['application/json', Buffer.from(bytes)] as const),
)

/** A request, and how long its body is said to be: exactly, in chunks, or not as it is. */
function requestOf(
  line: string,
  lines: string[],
  body: readonly [string, Buffer] | null,
  framing: 'length' | 'chunked' | 'wrong',
): Buffer {
  const head = [line, 'host: a', ...lines]
  let bytes = Buffer.alloc(0)
  if (body) {
    head.push(`content-type: ${body[0]}`)
    bytes = Buffer.from(body[1])
    if (framing === 'chunked') {
      head.push('transfer-encoding: chunked')
      const size = Buffer.from(`${bytes.length.toString(16)};x=y\r\n`)
      bytes = Buffer.concat([size, bytes, Buffer.from(bytes.length > 0 ? '\r\n0\r\n\r\n' : '\r\n')])
    } else head.push(`content-length: ${framing === 'wrong' ? bytes.length + 1 : bytes.length}`)
  }
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}

/** A refused body in chunks ends its connection, as nobody knows how much of it is to come: those are not refused. */
const request = fc.oneof(
  fc
    .tuple(methods, paths, fc.array(header, { maxLength: 5 }), fc.option(typed))
    .map(([method, path, lines, body]) => requestOf(`${method} ${path} HTTP/1.1`, lines, body, 'length')),
  typed.map(body => requestOf('POST /take HTTP/1.1', [], body, 'chunked')),
)

const oddRequest = fc
  .record({
    method: fc.oneof(methods, oddMethods),
    path: fc.oneof(paths, oddPaths),
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/', ''),
    lines: fc.array(oddHeader, { minLength: 1, maxLength: 5 }),
    body: fc.option(typed),
    framing: fc.constantFrom('length', 'chunked', 'wrong'),
  })
  .map(({ method, path, version, lines, body, framing }) =>
    requestOf(`${method} ${path} ${version}`, lines, body, framing as 'length'),
  )

const HANDSHAKE =
  'GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

const contents = fc.oneof(
  fc.jsonValue().map(payload => Buffer.from(JSON.stringify({ id: 1, payload }))),
  fc.jsonValue().map(payload => Buffer.from(pack({ id: 'a', payload }))),
  fc.json().map(text => Buffer.from(text)),
  fc.stringMatching(/^[ -~]{0,200}$/).map(text => Buffer.from(text)),
  fc
    .constantFrom(
      '{"cancel":true,"id":1}',
      '{"id":1,"timeoutMs":1}',
      '{"id":1,"cid":"a"}',
      '{"payload":1}',
      '{}',
      '',
    )
    .map(text => Buffer.from(text)),
  fc.constantFrom('{"id":1,"payload":{"__proto__":1}}', '{"id":{}}', '[').map(text => Buffer.from(text)),
)
const mask = fc.uint8Array({ minLength: 4, maxLength: 4 })

/** A frame as a client sends it (RFC 6455, section 5.2). */
function framed(
  payload: Uint8Array,
  opcode: number,
  key: Uint8Array,
  first = 0x80,
  masked = 0x80,
  extra = 0,
): Buffer {
  const length = payload.length + extra
  const size = length < 126 ? [masked | length] : [masked | 126, length >> 8, length & 0xff]
  const bytes = masked ? payload.map((byte, i) => byte ^ key[i % 4]!) : payload
  return Buffer.concat([Buffer.from([first | opcode, ...size]), masked ? key : Buffer.alloc(0), bytes])
}

/** Text frames hold ASCII or JSON, binary ones anything; control frames hold little. */
const frame = fc.oneof(
  fc
    .tuple(fc.jsonValue(), mask)
    .map(([payload, key]) => framed(Buffer.from(JSON.stringify({ id: 1, payload })), 1, key)),
  fc.tuple(contents, mask).map(([payload, key]) => framed(payload, 2, key)),
  fc.tuple(fc.uint8Array({ maxLength: 200 }), mask).map(([payload, key]) => framed(payload, 2, key)),
  fc
    .tuple(fc.uint8Array({ maxLength: 125 }), fc.constantFrom(9, 10), mask)
    .map(([bytes, code, key]) => framed(bytes, code, key)),
)

const oddFrame = fc
  .record({
    payload: fc.oneof(contents, fc.uint8Array({ maxLength: 200 })),
    opcode: fc.nat(15),
    first: fc.constantFrom(0x80, 0x00, 0xc0, 0xa0, 0x90),
    masked: fc.constantFrom(0x80, 0),
    extra: fc.nat(2),
    key: mask,
  })
  .map(({ payload, opcode, first, masked, extra, key }) => framed(payload, opcode, key, first, masked, extra))
