import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestClock } from '../core/clock.ts'
import { SignalboxError } from '../core/errors.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import type { TransportContext } from '../core/transport.ts'
import { Endpoint } from './endpoint.ts'

const BACKOFF = { minMs: 100, maxMs: 1_000, factor: 2, jitter: 0 }

/** One life of a scripted endpoint: the test decides how `connect` ends. */
class Life {
  readonly context: TransportContext
  readonly connecting = Promise.withResolvers<void>()
  closed = 0
  closing: Promise<void> = Promise.resolve()

  constructor(context: TransportContext) {
    this.context = context
  }

  connect(): Promise<void> {
    return this.connecting.promise
  }

  close(): Promise<void> {
    this.closed++
    return this.closing
  }
}

function setUp() {
  const clock = new TestClock()
  const lives: Life[] = []
  const endpoint = new Endpoint({
    name: 'channel/test/a',
    create: context => {
      const life = new Life(context)
      lives.push(life)
      return life
    },
    log: silentLogger,
    clock,
    random: () => 0,
    backoff: BACKOFF,
  })
  return { clock, lives, endpoint }
}

/** Lets promises that are settled take their effect. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

const refused = () => new SignalboxError('SIGNALBOX_CONNECT_FAILED', 'nobody there')
const credentials = () => new SignalboxError('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', 'wrong password')

test('opens, and says so', async () => {
  const { endpoint, lives } = setUp()
  const opened = endpoint.open()
  assert.equal(endpoint.state, 'connecting')
  lives[0]!.connecting.resolve()
  assert.equal(await opened, undefined)
  assert.equal(endpoint.state, 'open')
  assert.equal(endpoint.instance, lives[0])
  assert.equal(lives[0]!.context.signal.aborted, false)
})

test('tries again with growing pauses, which begin anew after a success', async () => {
  const { endpoint, lives, clock } = setUp()
  const opened = endpoint.open()
  lives[0]!.connecting.reject(refused())
  assert.equal((await opened)?.code, 'SIGNALBOX_CONNECT_FAILED')
  for (const [attempt, pauseMs] of [100, 200, 400, 800, 1_000, 1_000].entries()) {
    await turns()
    assert.equal(endpoint.state, 'waiting')
    assert.equal(lives[attempt]!.closed, 1)
    assert.equal(lives[attempt]!.context.signal.aborted, true)
    clock.advance(pauseMs - 1)
    assert.equal(lives.length, attempt + 1, `attempt ${attempt + 2} comes too early`)
    clock.advance(1)
    assert.equal(lives.length, attempt + 2, `attempt ${attempt + 2} comes too late`)
    if (attempt < 5) lives.at(-1)!.connecting.reject(refused())
  }
  lives.at(-1)!.connecting.resolve()
  await turns()
  assert.equal(endpoint.state, 'open')
  assert.equal(endpoint.lastError, undefined)
  lives.at(-1)!.context.lost(new Error('cut'))
  await turns()
  const before = lives.length
  clock.advance(100)
  assert.equal(lives.length, before + 1)
})

test('waits as long as an error says', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  lives[0]!.connecting.reject(new SignalboxError('SIGNALBOX_OVERLOADED', 'later', { retryAfterMs: 5_000 }))
  await turns()
  clock.advance(4_999)
  assert.equal(lives.length, 1)
  clock.advance(1)
  assert.equal(lives.length, 2)
})

test('says of a first failure that trying again is of no use, and tries again all the same', async () => {
  const { endpoint, lives, clock } = setUp()
  const opened = endpoint.open()
  lives[0]!.connecting.reject(credentials())
  assert.equal((await opened)?.retryable, false)
  await turns()
  clock.advance(100)
  lives[1]!.connecting.resolve()
  await turns()
  assert.equal(endpoint.state, 'open')
})

test('makes any error a typed one', async () => {
  const { endpoint, lives } = setUp()
  const opened = endpoint.open()
  lives[0]!.connecting.reject(new TypeError('a mistake'))
  assert.equal((await opened)?.code, 'SIGNALBOX_CONNECT_FAILED')
  assert.equal(endpoint.lastError?.message, 'a mistake')
})

test('an instance that cannot even be made counts as a failed attempt', async () => {
  const clock = new TestClock()
  let made = 0
  const endpoint = new Endpoint({
    name: 'x',
    create: () => {
      made++
      throw new Error('no such option')
    },
    log: silentLogger,
    clock,
    random: () => 0,
    backoff: BACKOFF,
  })
  assert.match((await endpoint.open())!.message, /no such option/)
  await turns()
  clock.advance(100)
  assert.equal(made, 2)
  await endpoint.close()
})

test('lost while it connects: one new life, not two', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  lives[0]!.context.lost(new Error('cut'))
  lives[0]!.context.lost(new Error('cut again'))
  lives[0]!.connecting.reject(new Error('cut'))
  await turns()
  assert.equal(lives[0]!.closed, 1)
  clock.advance(10_000)
  assert.equal(lives.length, 2)
  // The old life has no say any more.
  lives[0]!.context.lost(new Error('late'))
  lives[1]!.connecting.resolve()
  await turns()
  assert.equal(endpoint.state, 'open')
})

test('closed while it connects: stays closed, whatever connect does', async () => {
  for (const end of ['resolve', 'reject'] as const) {
    const { endpoint, lives, clock } = setUp()
    const opened = endpoint.open()
    const closed = endpoint.close()
    assert.equal(lives[0]!.context.signal.aborted, true)
    if (end === 'resolve') lives[0]!.connecting.resolve()
    else lives[0]!.connecting.reject(refused())
    await closed
    assert.equal(await opened, undefined)
    clock.advance(60_000)
    await turns()
    assert.equal(endpoint.state, 'closed')
    assert.equal(endpoint.instance, undefined)
    assert.equal(lives.length, 1)
    assert.equal(lives[0]!.closed, 1)
    assert.equal(clock.pending, 0)
  }
})

test('closed while it waits: no further attempt, no timer left', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  lives[0]!.connecting.reject(refused())
  await turns()
  await endpoint.close()
  await endpoint.close()
  assert.equal(clock.pending, 0)
  assert.equal(lives.length, 1)
})

test('opened again while the end of a lost life takes its time: one life, no second timer', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  const slow = Promise.withResolvers<void>()
  lives[0]!.closing = slow.promise
  lives[0]!.connecting.reject(refused())
  await turns()
  await endpoint.close()
  void endpoint.open()
  lives[1]!.connecting.resolve()
  await turns()
  slow.resolve()
  await turns()
  clock.advance(60_000)
  assert.equal(endpoint.state, 'open')
  assert.equal(lives.length, 2)
  assert.equal(clock.pending, 0)
})

test('an instance that fails to close does not stop the next attempt', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  lives[0]!.closing = Promise.reject(new Error('cannot close'))
  lives[0]!.connecting.reject(refused())
  await turns()
  clock.advance(100)
  assert.equal(lives.length, 2)
})

test('drains what is open, and does not open it again when it is lost meanwhile', async () => {
  const { endpoint, lives, clock } = setUp()
  void endpoint.open()
  lives[0]!.connecting.resolve()
  await turns()
  const settled = Promise.withResolvers<void>()
  const drained: Life[] = []
  const draining = endpoint.drain(life => {
    drained.push(life)
    return settled.promise
  })
  assert.deepEqual(drained, lives)
  lives[0]!.context.lost(new Error('cut'))
  settled.resolve()
  await draining
  await turns()
  clock.advance(60_000)
  assert.equal(lives.length, 1)
  assert.equal(clock.pending, 0)
})

test('a drain of what is not open closes it: nothing may come in any more', async () => {
  for (const state of ['connecting', 'waiting'] as const) {
    const { endpoint, lives, clock } = setUp()
    void endpoint.open()
    if (state === 'waiting') lives[0]!.connecting.reject(refused())
    await turns()
    assert.equal(endpoint.state, state)
    await endpoint.drain(() => Promise.reject(new Error('never called')))
    lives[0]!.connecting.resolve()
    clock.advance(60_000)
    await turns()
    assert.equal(endpoint.state, 'closed')
    assert.equal(lives.length, 1)
    assert.ok(lives[0]!.closed >= 1)
  }
})
