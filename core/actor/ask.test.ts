import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SignalboxError } from '../errors.ts'
import { settle, testSystem } from './actor-test-kit.ts'
import type { Envelope } from './envelope.ts'

function silent() {
  const { system, clock, lines } = testSystem()
  const seen: Envelope[] = []
  const actor = system.spawn('test/silent', {
    concurrency: 2,
    behaviour: () => ({
      receive(_, envelope) {
        seen.push(envelope)
        return new Promise(() => {})
      },
    }),
  })
  return { system, clock, lines, actor, seen }
}

test('an ask fails at its deadline, and the receiver is told', async () => {
  const { system, clock, actor, seen } = silent()
  const asked = actor.ask('x', { timeoutMs: 100 })
  await settle()
  const { signal } = seen[0]!
  clock.advance(99)
  assert.equal(signal.aborted, false)
  clock.advance(11)
  await assert.rejects(asked, { code: 'SIGNALBOX_TIMEOUT_DEADLINE', message: /test\/silent/ })
  assert.equal(signal.reason.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
  assert.deepEqual([system.deadlines.size, clock.pending], [0, 0])
})

test('without a time limit an ask has 30 seconds; Infinity has none', async () => {
  const { clock, actor, seen } = silent()
  const asked = actor.ask('x')
  void actor.ask('y', { timeoutMs: Number.POSITIVE_INFINITY })
  await settle()
  assert.deepEqual(
    seen.map(envelope => envelope.deadline),
    [clock.monotonic() + 30_000, 0],
  )
  clock.advance(30_010)
  await assert.rejects(asked, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
})

test('a time limit that is none is refused, instead of never ending', async () => {
  const { actor } = silent()
  for (const timeoutMs of [Number.NaN, -1, '500' as never]) {
    await assert.rejects(actor.ask('x', { timeoutMs }), { code: 'SIGNALBOX_USAGE' })
  }
})

test('a signal cancels what runs, what waits in the mailbox, and what has not begun', async () => {
  const { system, actor, seen } = silent()
  const controller = new AbortController()
  const asks = [1, 2, 3].map(n => actor.ask(n, { signal: controller.signal }))
  await settle()
  assert.equal(seen.length, 2)
  const { signal } = seen[0]!
  controller.abort(new Error('enough'))
  for (const asked of asks) await assert.rejects(asked, { code: 'SIGNALBOX_CANCELLED' })
  assert.equal(signal.aborted, true)
  await assert.rejects(actor.ask(4, { signal: controller.signal }), { code: 'SIGNALBOX_CANCELLED' })
  await settle()
  assert.equal(seen.length, 2, 'nobody works on what was cancelled while it waited')
  assert.equal(system.deadlines.size, 0)
})

test('a typed reason of the signal stays what it is', async () => {
  const { actor } = silent()
  const reason = new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', 'mine')
  await assert.rejects(actor.ask(1, { signal: AbortSignal.abort(reason) }), reason)
})

test('an ask belongs to its parent: no longer than its deadline, cancelled with it, forgotten when settled', async () => {
  const { system, clock, actor, seen } = silent()
  const echo = system.spawn('test/echo', { behaviour: () => ({ receive: x => x }) })
  const outer = actor.ask('outer', { timeoutMs: 1_000 })
  await settle()
  const parent = seen[0]!
  assert.equal(await echo.ask('x', { parent }), 'x')
  assert.equal(parent.dependents!.size, 0)
  const inner = actor.ask('inner', { parent, timeoutMs: 60_000 })
  await settle()
  assert.equal(seen[1]!.deadline, parent.deadline)
  const shorter = system.deadlineOf({ parent, timeoutMs: 10 })
  assert.equal(shorter, clock.monotonic() + 10)
  parent.cancel(new SignalboxError('SIGNALBOX_CANCELLED', 'the caller hung up'))
  await assert.rejects(inner, { code: 'SIGNALBOX_CANCELLED', message: 'the caller hung up' })
  assert.equal(seen[1]!.signal.aborted, true)
  await assert.rejects(actor.ask('late', { parent }), { message: 'the caller hung up' })
  clock.advance(1_100)
  // The parent itself was cancelled by hand: its own ask still has its deadline.
  await assert.rejects(outer, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
})

test('settled once: an answer after the deadline, or a second one, changes nothing', async () => {
  const { system, clock } = testSystem()
  const open = Promise.withResolvers<string>()
  const actor = system.spawn('test/late', { behaviour: () => ({ receive: () => open.promise }) })
  let settled = 0
  const asked = actor.ask('x', { timeoutMs: 10 }).finally(() => settled++)
  await settle()
  clock.advance(30)
  open.resolve('late')
  await assert.rejects(asked, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  await settle()
  assert.equal(settled, 1)
  const twice = system.spawn('test/twice', {
    behaviour: () => ({
      receive(_, envelope) {
        envelope.resolve('first', { status: 201 })
        envelope.reject(new SignalboxError('SIGNALBOX_CONFLICT'))
        return 'second'
      },
    }),
  })
  assert.equal(await twice.ask('x'), 'first')
  assert.deepEqual(await system.request('test/twice', 'x'), { payload: 'first', head: { status: 201 } })
})

test('signals keep no listener of asks that are settled', async () => {
  const { system } = testSystem()
  const echo = system.spawn('test/echo', { behaviour: () => ({ receive: x => x }) })
  const { signal } = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = ((...args: Parameters<typeof addEventListener>) => {
    listeners++
    return addEventListener.apply(signal, args)
  }) as typeof addEventListener
  signal.removeEventListener = ((...args: Parameters<typeof removeEventListener>) => {
    listeners--
    return removeEventListener.apply(signal, args)
  }) as typeof removeEventListener
  await Promise.all(Array.from({ length: 100 }, (_, n) => echo.ask(n, { signal })))
  assert.equal(listeners, 0)
})

test('unknown addresses: an ask rejects, a tell nobody awaits is counted and crashes nothing', async () => {
  const { system } = testSystem()
  const letters: string[] = []
  system.onDeadLetter = ({ to }) => letters.push(to)
  void system.tell('test/nobody', 'x')
  await assert.rejects(system.ask('test/nobody', 'x'), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
  await settle()
  assert.deepEqual([system.deadLetters, letters], [2, ['test/nobody', 'test/nobody']])
})
