/** Bodies that are too large, inflate without end, or are framed so that two readers disagree about them. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import zlib from 'node:zlib'
import { HostileBus, RawSocket } from '../hostile-bus.ts'
import { call, until } from '../load.ts'

const MEBIBYTE = 1024 * 1024
const CHUNK = Buffer.alloc(64 * 1024, 'x')

let bus: HostileBus

before(async () => {
  bus = await HostileBus.start()
})
after(() => bus?.stop())

test('ten uploads of 1 GiB at once, announced or chunked, get 413 early', async t => {
  await bus.under(t, async () => {
    const heads = [`content-length: ${1024 * MEBIBYTE}`, 'transfer-encoding: chunked']
    const attempts = Array.from({ length: 10 }, async (_, i) => {
      const chunked = i % 2 === 1
      const path = i % 4 < 2 ? '/take' : '/upload'
      const type = path === '/take' ? 'text/plain' : 'multipart/form-data; boundary=b'
      const raw = new RawSocket(bus.port)
      try {
        raw.socket.write(
          `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\n${heads[i % 2]}\r\n\r\n`,
        )
        if (!chunked && path === '/upload') raw.socket.write(FILE_PART)
        if (chunked && path === '/upload') raw.socket.write(chunk(Buffer.from(FILE_PART)))
        const flow = pump(raw, chunked ? chunk(CHUNK) : CHUNK)
        assert.equal(await raw.answered(), 413)
        await raw.closed
        flow.stop()
        const sent = raw.socket.bytesWritten
        assert.ok(sent < 128 * MEBIBYTE, `${sent} bytes were taken`)
      } finally {
        raw.socket.destroy()
      }
    })
    await Promise.all(attempts)
  })
  await assertNoUploads()
})

test('bombs of 10 MB that inflate to 10 GB are stopped, in every encoding', async t => {
  const bombs = makeBombs()
  for (const { encoding, bytes, inflated } of bombs)
    t.diagnostic(`${encoding}: ${bytes.length} bytes inflate to ${(inflated / 1e9).toFixed(1)} GB`)
  await bus.under(t, async () => {
    const attempts = bombs.flatMap(({ encoding, bytes }) =>
      ['application/json', 'text/plain', 'application/xml', 'multipart/form-data; boundary=b'].map(
        async type => {
          const path = type.startsWith('multipart') ? '/upload' : '/take'
          const { status, body } = await send(
            path,
            { 'content-type': type, 'content-encoding': encoding },
            bytes,
          )
          assert.equal(status, 413, `${encoding} ${type}: ${body}`)
          assert.match(body, /SIGNALBOX_FORMAT_LIMIT/)
        },
      ),
    )
    await Promise.all(attempts)
    const twice = zlib.gzipSync(zlib.gzipSync(Buffer.alloc(MEBIBYTE)))
    assert.equal((await send('/take', { 'content-encoding': 'gzip, gzip' }, twice)).status, 415)
    assert.equal((await send('/take', { 'content-encoding': 'gzip' }, twice)).status, 200)
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd']) {
      const type = { 'content-type': 'text/plain', 'content-encoding': encoding }
      assert.equal((await send('/take', type, Buffer.from('no such data'))).status, 400, encoding)
    }
  })
  await assertNoUploads()
})

test('multipart: 100,000 parts, endless headers, names and preambles are refused', async t => {
  const many = (text: string, count: number) => Buffer.from(`${text.repeat(count)}--b--\r\n`)
  const field = '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'
  const file = '--b\r\ncontent-disposition: form-data; name="a"; filename="f"\r\n\r\n1\r\n'
  const headed = (header: string) =>
    Buffer.from(
      `--b\r\n${header}content-disposition: form-data; name="a"; filename="f"\r\n\r\n1\r\n--b--\r\n`,
    )
  const bodies: [string, Buffer, number[]][] = [
    ['100,000 fields', many(field, 100_000), [413]],
    ['100,000 files', many(file, 100_000), [413]],
    ['100,000 empty parts', many('--b\r\n\r\n\r\n', 100_000), [400, 413]],
    ['a header of 5 MB', headed(`x: ${'y'.repeat(5_000_000)}\r\n`), [200, 400, 413]],
    ['100,000 headers', headed('x: y\r\n'.repeat(100_000)), [200, 400, 413]],
    ['a name of 1 MB', Buffer.from(field.replace('"a"', `"${'a'.repeat(MEBIBYTE)}"`)), [400, 413]],
    ['a file name of 1 MB', Buffer.from(file.replace('"f"', `"${'f'.repeat(MEBIBYTE)}"`)), [200, 400, 413]],
    ['a preamble of 9 MB', Buffer.from(`${'\r\n-b'.repeat(2_250_000)}`), [400]],
    ['almost boundaries', Buffer.from(field.repeat(10).replaceAll('--b', '--B')), [400]],
    ['no end', Buffer.from(file.slice(0, -4)), [400]],
  ]
  await bus.under(t, async () => {
    const type = { 'content-type': 'multipart/form-data; boundary=b' }
    for (const [what, body, expected] of bodies) {
      const { status } = await send('/upload', type, body)
      assert.ok(expected.includes(status), `${what}: ${status}`)
    }
    for (const boundary of [
      '',
      '; boundary=',
      `; boundary=${'b'.repeat(2_000)}`,
      '; boundary="',
      '; boundary=b; boundary=c',
    ]) {
      const { status } = await send(
        '/upload',
        { 'content-type': `multipart/form-data${boundary}` },
        bodies[0]![1],
      )
      assert.ok(status >= 400 && status < 500, `boundary ${JSON.stringify(boundary)}: ${status}`)
    }
  })
  await bus.assertPrototypes()
  await assertNoUploads()
})

test('chunk extensions and trailers without end are refused', async t => {
  const attempts: [string, string, number?][] = [
    ['one long extension', `1;${'x'.repeat(200_000)}\r\na\r\n0\r\n\r\n`],
    ['many extensions', `1${';a=b'.repeat(50_000)}\r\na\r\n0\r\n\r\n`],
    // Nothing of it is kept, and the least speed of a body counts without it.
    ['an extension on each chunk', `${`1;${'x'.repeat(1_000)}\r\na\r\n`.repeat(1_000)}0\r\n\r\n`, 200],
    ['one long trailer', `1\r\na\r\n0\r\nx: ${'y'.repeat(200_000)}\r\n\r\n`],
    ['many trailers', `1\r\na\r\n0\r\n${'x: y\r\n'.repeat(50_000)}\r\n`],
  ]
  await bus.under(t, async () => {
    for (const [what, body, allowed] of attempts) {
      const { status } = await sendRaw(`${CHUNKED}${body}`)
      assert.ok(
        status === undefined || status === allowed || (status >= 400 && status < 500),
        `${what}: ${status}`,
      )
    }
  })
})

test('what a proxy in front could read in another way is refused, and nothing is smuggled in', async t => {
  const before = await bus.ask('smuggled')
  await bus.under(t, async () => {
    const accepted: string[] = []
    for (const probe of smugglingProbes()) {
      const { status, text } = await sendRaw(probe)
      if ((status !== undefined && (status < 400 || status > 505)) || text.includes('HTTP/1.1 2'))
        accepted.push(`${JSON.stringify(probe.slice(0, 160))}: ${text.slice(0, 160)}`)
      const { status: after, text: answer } = { status, text }
      if (JSON.stringify(await bus.ask('smuggled')) !== JSON.stringify(before))
        accepted.push(
          `acted upon what follows ${JSON.stringify(probe.slice(0, 300))}: ${after} ${answer.slice(0, 300)}`,
        )
    }
    assert.deepEqual(accepted.slice(0, 1), [])
  })
  assert.deepEqual(await bus.ask('smuggled'), before)
})

const FILE_PART = '--b\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\n'
const CHUNKED =
  'POST /take HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n'

/** Requests whose end, or whose headers, are read differently by different programs. */
function smugglingProbes(): string[] {
  const post = (headers: string, body: string) =>
    `POST /take HTTP/1.1\r\nhost: a\r\n${headers}\r\n\r\n${body}`
  const ended = `0\r\n\r\n${SMUGGLED}`
  const lengths = [
    '+4',
    '-4',
    '0x4',
    '4 4',
    '4,4',
    '4, 5',
    '4.0',
    '4e0',
    '',
    ' ',
    '\v4',
    '4\0',
    '٤',
    '9'.repeat(40),
  ]
  const codings = [
    'xchunked',
    'chunked, identity',
    'identity, chunked',
    'chunked, chunked',
    'gzip, chunked',
    '"chunked"',
    ' chunked;q=1',
    '\vchunked',
    'chunked\v',
    'chunked\0',
    'chunk',
    'identity',
    'x',
    'chunked,',
    ',chunked',
  ]
  const chunks = [
    `0x4\r\nabcd\r\n${ended}`,
    `+4\r\nabcd\r\n${ended}`,
    `-4\r\nabcd\r\n${ended}`,
    `4 \r\nabcd\r\n${ended}`,
    ` 4\r\nabcd\r\n${ended}`,
    `4\nabcd\n0\n\n${SMUGGLED}`,
    `4\r\nabcdefgh\r\n${ended}`,
    `4\r\nabc\r\n${ended}`,
    `10000000000000004\r\nabcd\r\n${ended}`,
    `4;\nabcd\r\n${ended}`,
    `4\rXabcd\r\n${ended}`,
    `4\r\nabcdXX${ended}`,
    `\r\nabcd\r\n${ended}`,
    `4_0\r\nabcd\r\n${ended}`,
  ]
  return [
    ...lengths.map(length => post(`content-length: ${length}`, `abcd${SMUGGLED}`)),
    ...codings.map(coding => post(`transfer-encoding: ${coding}`, ended)),
    ...chunks.map(body => post('transfer-encoding: chunked', body)),
    post('content-length: 4\r\ntransfer-encoding: chunked', ended),
    post('transfer-encoding: chunked\r\ncontent-length: 4', ended),
    post('content-length: 4\r\ncontent-length: 5', `abcd${SMUGGLED}`),
    post('content-length: 5\r\ncontent-length: 4', `abcd${SMUGGLED}`),
    post('transfer-encoding: chunked\r\ntransfer-encoding: identity', ended),
    post('transfer-encoding: identity\r\ntransfer-encoding: chunked', ended),
    post('transfer-encoding : chunked', ended),
    post('transfer-encoding\t: chunked', ended),
    post(' transfer-encoding: chunked', ended),
    post('x: y\r\n\ttransfer-encoding: chunked', SMUGGLED),
    post('transfer-encoding:\r\n chunked', ended),
    post('content-length:\r\n 4', `abcd${SMUGGLED}`),
    post('x: y\ntransfer-encoding: chunked', ended),
    post('x: y\rtransfer-encoding: chunked', ended),
    post('x: y\0', ''),
    post('x\0: y', ''),
    post(': y', ''),
    post('x y: z', ''),
    post('host: b', ''),
    `POST /take HTTP/1.1\nhost: a\ncontent-length: 0\n\n${SMUGGLED}`,
    `POST /take HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\n${SMUGGLED}`,
    `POST /take HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n${ended}`,
    `POST /take HTTP/1.1\r\n\r\n${SMUGGLED}`,
    `GET /take HTTP/1.1 \r\nhost: a\r\n\r\n`,
    `GET /take\tHTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /take HTTP/1.1\rhost: a\r\n\r\n`,
    `GET /take HTTP/2.0\r\nhost: a\r\n\r\n${SMUGGLED}`,
    `GET /take HTTP/01.1\r\nhost: a\r\n\r\n${SMUGGLED}`,
    `get /take HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /take\r\n\r\n`,
    `GET /ta\0ke HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /take HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 4, 9\r\n\r\nabcd${SMUGGLED}`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    `CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n${SMUGGLED}`,
  ]
}

/** Sends what is not necessarily HTTP; a connection that stays open without an answer is ended by the client. */
async function sendRaw(text: string): Promise<{ status: number | undefined; text: string }> {
  const raw = new RawSocket(bus.port)
  try {
    raw.socket.end(Buffer.from(text, 'latin1'))
    await Promise.race([
      raw.closed,
      until(() => false, `end of ${JSON.stringify(text.slice(0, 100))}`, 20_000),
    ])
    return { status: Number.isNaN(raw.status) ? undefined : raw.status, text: raw.text }
  } finally {
    raw.socket.destroy()
  }
}

/** A whole request with a body, over a connection of its own. */
async function send(
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ status: number; body: string }> {
  const raw = new RawSocket(bus.port)
  try {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    raw.socket.write(
      `POST ${path} HTTP/1.1\r\nhost: a\r\n${lines.join('')}connection: close\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    raw.socket.write(body)
    await Promise.race([raw.closed, until(() => false, `answer of ${path}`, 60_000)])
    return { status: raw.status, body: raw.text.slice(raw.text.indexOf('\r\n\r\n') + 4) }
  } finally {
    raw.socket.destroy()
  }
}

function pump(raw: RawSocket, bytes: Buffer): { stop(): void } {
  let stopped = false
  const flow = () => {
    while (!stopped && raw.socket.writable && raw.socket.write(bytes));
  }
  raw.socket.on('drain', flow)
  flow()
  return {
    stop() {
      stopped = true
    },
  }
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

interface Bomb {
  encoding: string
  bytes: Buffer
  inflated: number
}

/** Members of gzip and frames of zstd may follow each other; brotli and zlib have to say it all in one stream. */
function makeBombs(): Bomb[] {
  const zeros = Buffer.alloc(100 * MEBIBYTE)
  const gzip = zlib.gzipSync(zeros, { level: 9 })
  const zstd = zlib.zstdCompressSync(zeros)
  const zeroStream = (bytes: Buffer) => ({ bytes, inflated: zeros.length })
  return [
    { encoding: 'gzip', bytes: Buffer.concat(Array(95).fill(gzip)), inflated: 95 * zeros.length },
    { encoding: 'zstd', bytes: Buffer.concat(Array(95).fill(zstd)), inflated: 95 * zeros.length },
    { encoding: 'br', ...zeroStream(zlib.brotliCompressSync(zeros, BROTLI)) },
    { encoding: 'deflate', ...zeroStream(zlib.deflateSync(zeros)) },
  ]
}
const BROTLI = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } }

async function assertNoUploads(): Promise<void> {
  const left = async () => {
    const entries = await readdir(bus.uploads, { recursive: true, withFileTypes: true })
    return entries.filter(entry => !entry.isDirectory()).length
  }
  await until(async () => (await left()) === 0, 'uploads are removed')
  assert.equal((await call(`${bus.url}/where`)).status, 200)
}
