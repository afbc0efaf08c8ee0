/** Clients that are slow on purpose: their connections are cut at the limits while honest ones are served. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HostileBus, RawSocket } from '../hostile-bus.ts'
import { call, until } from '../load.ts'

/** What the options of the project say, and what a busy machine may add. */
const HEADERS_MS = 10_000
const BODY_GRACE_MS = 3_000
const WRITE_MS = 5_000
const LATE_MS = 8_000
/** What the service of slow readers answers. */
const LARGE_BYTES = 16 * 1024 * 1024
const ADDRESSES = 20
const SLOW_HEADERS = Number(process.env.SIGNALBOX_SLOW_SOCKETS ?? 8_500)
const SLOW_BODIES = 1_200
const SLOW_READERS = 300
const ALL = SLOW_HEADERS + SLOW_BODIES + SLOW_READERS

/** Node.js itself keeps about 26 KB for a socket with a request under way. */
const MAX_RISE_MB = 512

let bus: HostileBus

before(async () => {
  bus = await HostileBus.start()
})
after(() => bus?.stop())

test(`${ALL} slow sockets at once: slow headers, bodies and readers are cut, honest clients are served`, async t => {
  const headers: RawSocket[] = []
  const bodies: RawSocket[] = []
  const readers: RawSocket[] = []
  const timers: NodeJS.Timeout[] = []
  try {
    await bus.under(
      t,
      async () => {
        for (let i = 0; i < ALL; i++) {
          const kind =
            i % 10 === 0 && readers.length < SLOW_READERS ? readers : i % 7 === 0 ? bodies : headers
          const raw = new RawSocket(bus.port, `127.0.1.${1 + (i % ADDRESSES)}`)
          kind.push(raw)
          raw.socket.write(
            kind === readers ? GET_LARGE : kind === bodies ? POST_SLOW : 'GET /where HTTP/1.1\r\n',
          )
          if (kind === readers) raw.socket.pause()
          // No more at once than the kernel's queue of new connections holds.
          if (i % 250 === 249) await until(() => !raw.socket.connecting, 'connections are accepted')
        }
        for (const [kind, text] of [
          [headers, 'x: y\r\n'],
          [bodies, 'y'],
        ] as const) {
          let at = 0
          const drip = () => {
            // All of them about every four seconds.
            for (let n = Math.ceil(kind.length / 40); n > 0 && kind.length > 0; n--) {
              const { socket } = kind[at++ % kind.length]!
              if (socket.writable) socket.write(text)
            }
          }
          timers.push(setInterval(drip, 100))
        }
        const all = [...headers, ...bodies, ...readers]
        const open = () => all.filter(({ socket }) => !socket.destroyed).length
        await until(() => all.every(({ socket }) => !socket.connecting), 'all are connected')
        t.diagnostic(`${open()} of ${ALL} sockets are open at once`)
        await until(
          () => headers.every(raw => raw.closedMs !== undefined),
          'slow headers are cut',
          HEADERS_MS + LATE_MS,
        )
        await until(
          () => bodies.every(raw => raw.closedMs !== undefined),
          'slow bodies are cut',
          BODY_GRACE_MS + LATE_MS,
        )
        // By now they were cut long ago, which a client sees when it reads what had come.
        for (const { socket } of readers) socket.resume()
        await until(
          () => readers.every(raw => raw.closedMs !== undefined),
          'slow readers are cut',
          WRITE_MS + LATE_MS,
        )
        assert.ok(readers.every(({ socket }) => socket.bytesRead < LARGE_BYTES))
      },
      MAX_RISE_MB,
    )
  } finally {
    for (const timer of timers) clearInterval(timer)
    for (const { socket } of [...headers, ...bodies, ...readers]) socket.destroy()
  }
  const cut = (kind: RawSocket[]) => Math.max(...kind.map(raw => raw.closedMs! - raw.openedMs))
  t.diagnostic(
    `the last slow header was cut after ${cut(headers).toFixed(0)} ms, body ${cut(bodies).toFixed(0)} ms`,
  )
  assert.ok(headers.every(({ status }) => status === 408 || Number.isNaN(status)))
  assert.ok(headers.filter(({ status }) => status === 408).length > SLOW_HEADERS / 2)
  assert.ok(bodies.every(({ status }) => status === 408 || Number.isNaN(status)))
})

test('one address gets only so many connections of each worker, others are served', async t => {
  const raws: RawSocket[] = []
  try {
    await bus.under(t, async () => {
      for (let i = 0; i < 3_000; i++) {
        const raw = new RawSocket(bus.port, '127.0.2.1')
        raws.push(raw)
        if (i % 250 === 249) await until(() => !raw.socket.connecting, 'connections are accepted')
      }
      const open = () => raws.filter(({ socket }) => !socket.destroyed).length
      await until(() => raws.every(({ socket }) => !socket.connecting) && open() <= 2_000, 'the rest is cut')
      assert.ok(open() >= 1_000, `${open()} are left`)
      assert.equal((await call(`${bus.url}/where`)).status, 200)
    })
  } finally {
    for (const { socket } of raws) socket.destroy()
  }
})

const GET_LARGE = 'GET /large HTTP/1.1\r\nhost: a\r\n\r\n'
const POST_SLOW =
  'POST /take HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\n'
