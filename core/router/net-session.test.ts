import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestClock } from '../clock.ts'
import { Session, WINDOW_BYTES, WINDOW_MESSAGES } from './net-session.ts'
import { isOverdue, linkSettings, startBeat } from './net-socket.ts'
import { encodeHeader, KIND } from './net-wire.ts'

function sessionOf(o: { maxFrameBytes?: number; maxQueueBytes?: number } = {}) {
  const sent: { kind: number; count: number; frames: readonly Uint8Array[] }[] = []
  const delivered: Buffer[][] = []
  const session = new Session({
    peer: { id: 'p', role: 'node', name: 'p' },
    transmit: (header, frames) => sent.push({ kind: header[0]!, count: header.readUInt32BE(1), frames }),
    deliver: (_peer, frames) => delivered.push(frames),
    maxFrameBytes: 1 << 30,
    maxQueueBytes: 1 << 20,
    ...o,
  })
  const data = () => sent.filter(({ kind }) => kind === KIND.data).length
  const heartbeat = (count: number) => session.receive(Buffer.from(encodeHeader(KIND.heartbeat, count)), [])
  return { session, sent, delivered, data, heartbeat }
}

const kibibyte = Buffer.alloc(1024 - 64)

test('the window stops at its number of messages and opens as the other side counts', () => {
  const { session, data, heartbeat } = sessionOf()
  for (let i = 0; i < WINDOW_MESSAGES + 10; i++) assert.ok(session.send([Buffer.from([i & 255])]))
  assert.equal(data(), WINDOW_MESSAGES)
  assert.ok(heartbeat(4))
  assert.equal(data(), WINDOW_MESSAGES + 4)
  assert.ok(heartbeat(WINDOW_MESSAGES + 4))
  assert.equal(data(), WINDOW_MESSAGES + 10)
})

test('the window stops at its bytes, the queue at its own, and a large message passes alone', () => {
  const large = Buffer.alloc(WINDOW_BYTES + 1)
  const { session, data, heartbeat } = sessionOf({ maxQueueBytes: WINDOW_BYTES + 1024 })
  assert.ok(session.send([large]))
  assert.ok(session.send([kibibyte]))
  assert.equal(data(), 1)
  assert.ok(!session.send([large]))
  assert.ok(heartbeat(1))
  assert.equal(data(), 2)
})

test('empty frames cannot grow the queue without bound', () => {
  const { session } = sessionOf()
  let taken = 0
  while (session.send([Buffer.alloc(0)])) taken++
  assert.equal(taken, WINDOW_MESSAGES + (1 << 20) / 64)
})

test('the order holds across the queue', () => {
  const { session, sent, heartbeat } = sessionOf()
  for (let i = 0; i < 3000; i++) assert.ok(session.send([Buffer.from([i >> 8, i & 255])]))
  for (let count = 0; count < 3000; count += 100) heartbeat(count)
  heartbeat(3000)
  const order = sent
    .filter(({ kind }) => kind === KIND.data)
    .map(({ frames }) => frames[0]![0]! * 256 + frames[0]![1]!)
  assert.deepEqual(order, [...Array(3000).keys()])
})

test('a count of more than was sent is malformed and opens nothing', () => {
  const { session, data, heartbeat } = sessionOf()
  for (let i = 0; i < WINDOW_MESSAGES + 1; i++) session.send([kibibyte.subarray(0, 1)])
  assert.ok(!heartbeat(WINDOW_MESSAGES + 1))
  assert.ok(!heartbeat(0xffffffff))
  assert.equal(data(), WINDOW_MESSAGES)
  assert.ok(heartbeat(WINDOW_MESSAGES))
})

test('the receiver tells its count after a quarter of the window, in messages or bytes', () => {
  const { session, sent } = sessionOf()
  const data = Buffer.from(encodeHeader(KIND.data, 0))
  for (let i = 0; i < WINDOW_MESSAGES / 4; i++) session.receive(data, [Buffer.alloc(1)])
  assert.deepEqual(
    sent.map(({ kind, count }) => [kind, count]),
    [[KIND.heartbeat, 256]],
  )
  session.receive(data, [Buffer.alloc(WINDOW_BYTES / 4)])
  assert.equal(sent.at(-1)!.count, 257)
  session.receive(Buffer.from(encodeHeader(KIND.flush, 0)), [])
  assert.equal(sent.length, 3)
})

test('malformed headers are refused', () => {
  const { session, delivered } = sessionOf()
  const header = (kind: number) => Buffer.from(encodeHeader(kind, 0))
  const wrong: [Buffer, Buffer[]][] = [
    [header(KIND.data), []],
    [header(KIND.heartbeat), [Buffer.alloc(1)]],
    [header(KIND.hello), []],
    [header(77), []],
    [header(KIND.data).subarray(0, 4), [Buffer.alloc(1)]],
    [Buffer.alloc(0), []],
  ]
  for (const [bytes, frames] of wrong) assert.equal(session.receive(bytes, frames), false)
  assert.deepEqual(delivered, [])
})

test('drained asks for a count, and resolves when all is counted or the session closes', async () => {
  const { session, sent, heartbeat } = sessionOf()
  await session.drained()
  session.send([kibibyte])
  const drained = session.drained()
  assert.equal(sent.at(-1)!.kind, KIND.flush)
  heartbeat(1)
  await drained
  session.send([kibibyte])
  const closed = session.drained()
  session.close()
  await closed
  assert.equal(session.send([kibibyte]), false)
})

test('a silent peer is overdue in time; a thread that was held up blames nobody', () => {
  const settings = linkSettings({})
  const clock = new TestClock()
  let silentMs = 0
  let overdueAt: number | undefined
  const stop = startBeat(clock, settings.heartbeatMs, passed => {
    silentMs += passed
    if (isOverdue(silentMs, settings)) overdueAt ??= clock.monotonic()
  })
  clock.advance(3000)
  assert.equal(overdueAt, undefined)
  clock.advance(1000)
  assert.equal(overdueAt, 4000)
  stop()
  assert.equal(clock.pending, 0)

  const held = { nowMs: 0, passed: [] as number[], run: () => {} }
  const slow = {
    now: () => 0,
    monotonic: () => held.nowMs,
    after(_ms: number, run: () => void) {
      held.run = run
      return { cancel() {} }
    },
  }
  startBeat(slow, 1000, passed => held.passed.push(passed))
  held.nowMs = 60_000
  held.run()
  assert.deepEqual(held.passed, [1500])
})
