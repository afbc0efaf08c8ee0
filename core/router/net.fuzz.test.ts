/**
 * Hostile peers that hold an authorised key, and strangers on the port. `SIGNALBOX_FUZZ_FRAMES` sets how many
 * frames (default 1,000,000), `SIGNALBOX_FUZZ_SEED` repeats a run.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Context, type Dealer, Router } from 'zeromq'
import { type Random, seededRandom } from '../clock.ts'
import { type CurveKeys, makeCurveKeys } from './net.ts'
import { helloOf, peerOf, rawDealer, type Seen, startNet, until } from './net-test-kit.ts'
import * as wire from './net-wire.ts'

const FRAMES = Number(process.env.SIGNALBOX_FUZZ_FRAMES ?? 1_000_000)
const SEED = Number(process.env.SIGNALBOX_FUZZ_SEED ?? Date.now() % 1_000_000)
const MAX_RISE_BYTES = 64 << 20
const MAX_HANG_MS = 1500

test('garbage from an authorised key leaves an honest peer undisturbed', async t => {
  t.diagnostic(`SIGNALBOX_FUZZ_SEED=${SEED}`)
  const random = seededRandom(SEED)
  const keys = makeCurveKeys()
  const { b, honest } = await startHonest(t, keys)
  const hostile = [0, 1, 2].map(() => rawDealer(t, b.endpoint, b.keys.publicKey, keys))
  const corpus = corpusOf(keys, b.keys.publicKey)
  const warmUp = Math.floor(FRAMES / 10)
  let before = 0
  for (let sent = 0; sent < FRAMES; ) {
    if (sent >= warmUp && before === 0) before = await settledMemory(b)
    // The first never has a session, the others begin one again: garbage that is a bye has ended it.
    for (const socket of hostile.slice(1)) await socket.send(helloOf(keys, b.keys.publicKey, 'app'))
    for (let i = 0; i < 300 && sent < FRAMES; i++, sent++)
      await hostile[sent % 3]!.send(garbage(random, corpus))
    for (const socket of hostile) await drain(socket)
  }
  const rise = (await settledMemory(b)) - before
  const counters = b.net.counters()
  t.diagnostic(
    `memory rose by ${rise >> 20} MiB, ${honest.turns} honest turns, longest ${honest.longestMs} ms`,
  )
  t.diagnostic(JSON.stringify(counters))
  assert.ok(rise < MAX_RISE_BYTES, `memory rose by ${rise >> 20} MiB`)
  assert.ok(counters.unknown > 0 && counters.malformed > 0 && counters.refusedHellos > 0)
  await honest.check(b)
})

test('raw TCP garbage on the port leaves an honest peer undisturbed', async t => {
  const random = seededRandom(SEED)
  const { b, honest } = await startHonest(t, makeCurveKeys())
  const port = Number(b.endpoint.split(':').at(-1))
  // The ZMTP 3.1 greeting of a CURVE client, so that some garbage comes as far as the handshake.
  const greeting = Buffer.alloc(64)
  Buffer.from('ff00000000000000017f03014355525645', 'hex').copy(greeting)
  const rss = process.memoryUsage().rss
  for (let round = 0; round < 10; round++) {
    const strangers = Array.from({ length: 50 }, () => {
      const parts = random() < 0.5 ? [greeting] : []
      return throwAt(port, Buffer.concat([...parts, randomBytes(Math.floor(random() * 4096))]))
    })
    await Promise.all(strangers)
  }
  assert.ok(process.memoryUsage().rss - rss < MAX_RISE_BYTES)
  await honest.check(b)
})

test('a node that answers a dialler with garbage does not disturb the other peers', async t => {
  const random = seededRandom(SEED)
  const evil = makeCurveKeys()
  const { a, b, honest } = await startHonest(t, makeCurveKeys())
  const router = new Router({
    context: new Context({ blocky: false }),
    curveServer: true,
    curveSecretKey: evil.secretKey,
    linger: 0,
  })
  t.after(() => router.close())
  await router.bind('tcp://127.0.0.1:*')
  const peer = { nodeId: 'e', endpoint: router.lastEndpoint!, publicKey: evil.publicKey }
  a.net.setPeers([peerOf('b', b), peer], [])
  const welcome = wire.encodeWelcome({ version: 1, nodeId: 'e', session: 1, maxFrameBytes: 1 << 20 })
  const corpus = [...corpusOf(evil, b.keys.publicKey), welcome]
  for (let round = 0; round < 4; round++) {
    const route = await nextHello(router)
    for (let i = 0; i < 100; i++) await router.send([route, Buffer.from([wire.KIND.data]), randomBytes(9)])
    await router.send([route, welcome])
    for (let i = 0; i < FRAMES / 100; i++) await router.send([route, ...garbage(random, corpus)])
    await router.send([route, wire.encodeBye('closing')])
  }
  await nextHello(router)
  await until('the garbage was read', () => a.net.counters().malformed > 0)
  await honest.check(b)
})

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

interface Honest {
  turns: number
  longestMs: number
  check(b: Seen): Promise<void>
}

/** Nodes a and b, where a always has one message on its way to b and back. */
async function startHonest(t: TestContext, client: CurveKeys): Promise<{ a: Seen; b: Seen; honest: Honest }> {
  const b = await startNet(t, 'b', {
    onFrames: (from, frames) => void (from.id === 'a' && b.net.send('a', frames)),
  })
  let sentAt = performance.now()
  const honest: Honest = { turns: 0, longestMs: 0, check }
  const a = await startNet(t, 'a', { onFrames: turn, peers: [peerOf('b', b)] })
  b.net.setPeers([peerOf('a', a)], [{ name: 'app', publicKey: client.publicKey }])
  await until('a is up', () => a.net.peers().length === 1 && b.net.peers().length === 1)
  turn()
  return { a, b, honest }

  function turn(): void {
    honest.longestMs = Math.max(honest.longestMs, Math.round(performance.now() - sentAt))
    honest.turns++
    sentAt = performance.now()
    a.net.send('b', [Buffer.from(String(honest.turns))])
  }

  async function check(): Promise<void> {
    const turns = honest.turns
    await until('honest messages still turn', () => honest.turns > turns + 10)
    assert.ok(honest.longestMs < MAX_HANG_MS, `an honest message took ${honest.longestMs} ms`)
    assert.deepEqual(a.events, ['b up', ...a.events.filter(event => event.startsWith('e '))])
    assert.ok(!b.events.some(event => event.startsWith('a down')))
  }
}

/** Reads until a dialler introduces itself; returns its route. */
async function nextHello(router: Router): Promise<Buffer> {
  for (;;) {
    const [route, header] = await router.receive()
    if (header![0] === wire.KIND.hello) return route!
  }
}

/** Well-formed messages of every kind, to mutate. */
function corpusOf(keys: CurveKeys, serverKey: string): Buffer[] {
  return [
    helloOf(keys, serverKey, 'app'),
    wire.encodeWelcome({ version: 1, nodeId: 'b', session: 1, maxFrameBytes: 1 << 20 }),
    wire.encodeRefuse(1),
    wire.encodeBye('closing'),
    ...[wire.KIND.heartbeat, wire.KIND.data, wire.KIND.flush].map(kind =>
      Buffer.from(wire.encodeHeader(kind, 0)),
    ),
  ]
}

function garbage(random: Random, corpus: Buffer[]): Buffer[] {
  const frames: Buffer[] = []
  for (let i = Math.floor(random() * 3); i >= 0; i--) frames.push(oneFrame(random, corpus))
  return frames
}

function oneFrame(random: Random, corpus: Buffer[]): Buffer {
  if (random() < 0.3) {
    const bytes = Buffer.alloc(Math.floor(random() * (random() < 0.02 ? 20_000 : 150)))
    for (let i = 0; i < bytes.length; i += 1 + (i >> 4)) bytes[i] = random() * 256
    return bytes
  }
  let bytes = Buffer.from(corpus[Math.floor(random() * corpus.length)]!)
  for (let i = Math.floor(random() * 4); i > 0; i--)
    bytes[Math.floor(random() * bytes.length)] = random() * 256
  if (random() < 0.1) bytes = bytes.subarray(0, Math.floor(random() * bytes.length))
  if (random() < 0.1) bytes = Buffer.concat([bytes, Buffer.alloc(1 + Math.floor(random() * 9), 7)])
  return bytes
}

async function drain(socket: Dealer): Promise<void> {
  while (socket.readable) await socket.receive()
}

/**
 * Resident memory, without garbage and the empty pages that V8 keeps for its heap, once the counters stand still:
 * everything that was sent has been read.
 */
async function settledMemory(b: Seen): Promise<number> {
  let last = ''
  let since = performance.now()
  await until('everything was read', () => {
    const now = JSON.stringify(b.net.counters())
    if (now !== last) since = performance.now()
    last = now
    return performance.now() - since > 200
  })
  collectGarbage()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return rss - heapTotal + heapUsed
}

function throwAt(port: number, bytes: Buffer): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.resume()
  })
}
