import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SignalboxError } from '../errors.ts'
import { settle, testSystem, until } from './actor-test-kit.ts'
import type { Behaviour } from './behaviour.ts'
import type { Envelope } from './envelope.ts'

const gate = () => Promise.withResolvers<void>()

test('one message at a time, in order, sync or async', async () => {
  const { system } = testSystem()
  let active = 0
  const order: unknown[] = []
  const actor = system.spawn('test/one', {
    behaviour: () => ({
      async receive(payload) {
        assert.equal(++active, 1)
        await settle()
        order.push(payload)
        active--
        return payload
      },
    }),
  })
  const answers = await Promise.all([1, 2, 3, 4].map(n => actor.ask(n)))
  assert.deepEqual(
    [answers, order],
    [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
  )
})

test('as many at a time as declared, no more', async () => {
  const { system } = testSystem()
  const gates = Array.from({ length: 10 }, gate)
  let started = 0
  const actor = system.spawn('test/three', {
    concurrency: 3,
    behaviour: () => ({
      receive(n) {
        started++
        return gates[n as number]!.promise
      },
    }),
  })
  const asks = gates.map((_, n) => actor.ask(n))
  await settle()
  assert.equal(started, 3)
  gates[1]!.resolve()
  await asks[1]
  await settle()
  assert.equal(started, 4)
  for (const one of gates) one.resolve()
  await Promise.all(asks)
  assert.equal(started, 10)
})

test('limits that are none are refused when the actor is started', () => {
  const { system } = testSystem()
  const behaviour = () => ({ receive: () => {} })
  for (const wrong of [
    { concurrency: 0 },
    { mailboxCapacity: 0 },
    { mailboxMaxBytes: Number.NaN },
    { concurrency: '4' as never },
  ]) {
    assert.throws(() => system.spawn('test/wrong', { behaviour, ...wrong }), { code: 'SIGNALBOX_USAGE' })
  }
  assert.equal(system.has('test/wrong'), false)
})

function blocked(overflow: 'wait' | 'reject' | 'dropOldest', mailboxCapacity = 2) {
  const { system, ...rest } = testSystem()
  const open = gate()
  const handled: unknown[] = []
  const letters: string[] = []
  system.onDeadLetter = ({ error }) => letters.push(error.code)
  const actor = system.spawn('test/full', {
    overflow,
    mailboxCapacity,
    behaviour: () => ({
      async receive(payload) {
        await open.promise
        handled.push(payload)
      },
    }),
  })
  return { system, actor, open, handled, letters, ...rest }
}

test('a full mailbox that waits: the promise is the back-pressure, order is kept, nothing is lost', async () => {
  const { system, actor, open, handled } = blocked('wait')
  assert.equal(actor.tell(0), undefined)
  await settle()
  const told = [1, 2, 3, 4].map(n => actor.tell(n))
  assert.deepEqual(
    told.map(one => one === undefined),
    [true, true, false, false],
  )
  let accepted = false
  void told[2]!.then(() => {
    accepted = true
  })
  await settle()
  assert.equal(accepted, false)
  open.resolve()
  await Promise.all(told)
  await system.whenIdle()
  assert.deepEqual(handled, [0, 1, 2, 3, 4])
  assert.equal(system.deadLetters, 0)
})

test('a full mailbox that rejects counts each refusal and says it is full; an ignored refusal crashes nothing', async () => {
  const { system, actor, open, handled, letters } = blocked('reject')
  void actor.tell(0)
  await settle()
  for (const n of [1, 2]) assert.equal(actor.tell(n), undefined)
  void actor.tell('ignored')
  await assert.rejects(actor.tell('awaited')!, { code: 'SIGNALBOX_MAILBOX_FULL', retryAfterMs: 1_000 })
  await assert.rejects(actor.ask('asked'), { code: 'SIGNALBOX_MAILBOX_FULL' })
  assert.deepEqual([system.deadLetters, letters], [3, Array(3).fill('SIGNALBOX_MAILBOX_FULL')])
  assert.equal(system.cell('test/full')!.dropped, 3)
  open.resolve()
  await system.whenIdle()
  assert.deepEqual(handled, [0, 1, 2])
})

test('a full mailbox that drops the oldest tells who sent it, and keeps the newest', async () => {
  const { system, actor, open, handled, letters } = blocked('dropOldest')
  void actor.tell(0)
  await settle()
  const asked = actor.ask(1)
  for (const n of [2, 3, 4]) assert.equal(actor.tell(n), undefined)
  await assert.rejects(asked, { code: 'SIGNALBOX_MAILBOX_DROPPED' })
  assert.deepEqual([system.deadLetters, letters], [2, Array(2).fill('SIGNALBOX_MAILBOX_DROPPED')])
  open.resolve()
  await system.whenIdle()
  assert.deepEqual(handled, [0, 3, 4])
})

test('a big message makes room for itself by bytes, however many small ones that takes', async () => {
  const { system } = testSystem()
  const open = gate()
  const actor = system.spawn('test/bytes', {
    overflow: 'dropOldest',
    mailboxMaxBytes: 100,
    behaviour: () => ({ receive: () => open.promise }),
  })
  void actor.tell('first')
  await settle()
  for (let i = 0; i < 5; i++) void actor.tell('big', { bytes: 90 })
  assert.ok(system.cell('test/bytes')!.mailbox.bytes <= 180)
  open.resolve()
  await system.whenIdle()
})

test('a failure restarts with a new behaviour, keeps the mailbox and answers the message that failed', async () => {
  const { system, clock, lines } = testSystem()
  let lives = 0
  const actor = system.spawn('test/fails', {
    behaviour: () => {
      const life = ++lives
      return {
        receive(payload) {
          if (payload === 'crash') throw new Error('broken')
          return `${payload} in ${life}`
        },
      }
    },
  })
  const asks = ['a', 'crash', 'b'].map(payload => actor.ask(payload))
  assert.equal(await asks[0], 'a in 1')
  await assert.rejects(asks[1]!, { code: 'SIGNALBOX_ACTOR_FAILED', message: 'broken' })
  await settle()
  assert.equal(system.cell('test/fails')!.state, 'restarting')
  clock.advance(10)
  assert.equal(await asks[2], 'b in 2')
  const { restarts, lastError, state } = system.cell('test/fails')!.inspect()
  assert.deepEqual([restarts, lastError, state], [1, 'SIGNALBOX_ACTOR_FAILED: broken', 'running'])
  assert.deepEqual(
    lines.map(line => line.level),
    ['warn'],
  )
})

test('a message whose sender gave up may throw without bringing the actor down', async () => {
  const { system } = testSystem()
  const actor = system.spawn('test/abort', {
    behaviour: () => ({
      receive: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    }),
  })
  const controller = new AbortController()
  const asked = actor.ask('x', { signal: controller.signal })
  await settle()
  controller.abort()
  await assert.rejects(asked, { code: 'SIGNALBOX_CANCELLED' })
  await settle()
  assert.equal(system.cell('test/abort')!.state, 'running')
  assert.equal(system.cell('test/abort')!.busy, 0)
})

test('handlers of the life before end before the next begins, and their late failures do not count', async () => {
  const { system, clock } = testSystem()
  const open = gate()
  const events: string[] = []
  let lives = 0
  const actor = system.spawn('test/lives', {
    concurrency: 10,
    behaviour: () => {
      const life = ++lives
      events.push(`start ${life}`)
      return {
        async receive(payload) {
          if (payload === 'crash') throw new Error('broken')
          await open.promise
          events.push(`handled ${life}`)
          throw new Error('late')
        },
        stopped: () => void events.push(`stopped ${life}`),
      }
    },
  })
  const slow = actor.ask('slow')
  await assert.rejects(actor.ask('crash'), /broken/)
  await settle()
  clock.advance(20)
  await settle()
  assert.deepEqual(events, ['start 1'], 'waits for what is being handled')
  open.resolve()
  await assert.rejects(slow, /late/)
  await settle()
  clock.advance(20)
  await settle()
  assert.deepEqual(events, ['start 1', 'handled 1', 'stopped 1', 'start 2'])
  assert.equal(system.cell('test/lives')!.restarts, 1)
})

test('a handler that never ends is cancelled and left behind, in a restart as in a stop', async () => {
  const { system, clock } = testSystem()
  const signals: AbortSignal[] = []
  const actor = system.spawn('test/hangs', {
    concurrency: 2,
    shutdownMs: 100,
    behaviour: () => ({
      receive(payload, envelope) {
        if (payload === 'crash') throw new Error('broken')
        if (payload === 'ping') return 'pong'
        signals.push(envelope.signal)
        return new Promise(() => {})
      },
    }),
  })
  const hanging = actor.ask('hang', { timeoutMs: Number.POSITIVE_INFINITY })
  await assert.rejects(actor.ask('crash'))
  await settle()
  clock.advance(100)
  await assert.rejects(hanging, { code: 'SIGNALBOX_ACTOR_STOPPED' })
  assert.equal(signals[0]!.aborted, true)
  await settle()
  clock.advance(20)
  assert.equal(await actor.ask('ping'), 'pong')
  const again = actor.ask('hang', { timeoutMs: Number.POSITIVE_INFINITY })
  await settle()
  const stopped = system.stop('test/hangs')
  await settle()
  clock.advance(100)
  await assert.rejects(again, { code: 'SIGNALBOX_ACTOR_STOPPED' })
  await stopped
  assert.equal(system.has('test/hangs'), false)
})

test('an async start holds messages back; a failing one is a failure of the actor', async () => {
  const { system, clock } = testSystem()
  const open = gate()
  let attempts = 0
  const actor = system.spawn('test/starts', {
    behaviour: () => ({
      async started() {
        if (++attempts === 1) throw new Error('not yet')
        await open.promise
      },
      receive: () => 'ready',
    }),
  })
  const asked = actor.ask('x')
  await settle()
  assert.equal(system.cell('test/starts')!.state, 'restarting')
  clock.advance(10)
  await settle()
  assert.deepEqual([attempts, system.cell('test/starts')!.state], [2, 'starting'])
  open.resolve()
  assert.equal(await asked, 'ready')
})

test('a behaviour that cannot be made is a failure as well, sync start too', async () => {
  const { system, clock } = testSystem()
  let attempts = 0
  const actor = system.spawn('test/made', {
    behaviour: () => {
      if (++attempts === 1) throw new Error('cannot be made')
      return {
        started() {
          if (attempts === 2) throw new Error('cannot start')
        },
        receive: () => attempts,
      }
    },
  })
  const asked = actor.ask('x')
  for (let i = 0; i < 2; i++) {
    await settle()
    clock.advance(50)
  }
  assert.equal(await asked, 3)
})

test('the end of an earlier start does not set a later life running', async () => {
  const { system, clock } = testSystem()
  const gates = [gate(), gate()]
  let life = 0
  system.spawn('test/early', {
    behaviour: () => ({ started: () => gates[life++]!.promise, receive: () => {} }),
  })
  await settle()
  system.cell('test/early')!.fail(new Error('from elsewhere'))
  await settle()
  clock.advance(10)
  gates[0]!.resolve()
  await settle()
  assert.equal(system.cell('test/early')!.state, 'starting')
  gates[1]!.resolve()
  await until(() => system.cell('test/early')!.state === 'running', 'the second start')
})

test('stop: children first in reverse, then the parent; what waits fails; stopping twice is the same', async () => {
  const { system } = testSystem()
  const events: string[] = []
  const named = (name: string): Behaviour => ({
    async stopped(_, reason) {
      await settle()
      events.push(`${name} ${reason?.code}`)
    },
    receive: () => {},
  })
  const open = gate()
  const parent = system.spawn('test/parent', {
    behaviour: () => ({
      ...named('parent'),
      started(context) {
        context.spawn('a', { behaviour: () => named('a') })
        context.spawn('b', { behaviour: () => named('b') })
      },
      receive: () => open.promise.then(() => 'done'),
    }),
  })
  const running = parent.ask(1)
  await settle()
  const waiting = parent.ask(2)
  const stopped = Promise.all([system.stop('test/parent'), system.stop('test/parent')])
  await assert.rejects(waiting, { code: 'SIGNALBOX_ACTOR_STOPPED' })
  await assert.rejects(parent.ask(3), { code: 'SIGNALBOX_ACTOR_STOPPED' })
  open.resolve()
  await stopped
  assert.equal(await running, 'done')
  assert.deepEqual(events, ['b undefined', 'a undefined', 'parent undefined'])
  assert.deepEqual([system.has('test/parent/a'), system.has('test/parent')], [false, false])
  await assert.rejects(parent.ask(4), { code: 'SIGNALBOX_ACTOR_STOPPED' })
})

test('a tell that waits for a place is refused when the actor stops, and crashes nothing when ignored', async () => {
  const { system, actor, open } = blocked('wait', 1)
  void actor.tell(0)
  await settle()
  void actor.tell(1)
  void actor.tell('ignored')
  const waiting = actor.tell(2)!
  const stopped = system.stop('test/full')
  await assert.rejects(waiting, { code: 'SIGNALBOX_ACTOR_STOPPED' })
  open.resolve()
  await stopped
  assert.equal(system.deadLetters, 3)
})

test('a stop waits for a restart under way; the next actor never overlaps', async () => {
  const { system } = testSystem()
  const open = gate()
  let ended = false
  const actor = system.spawn('test/slow-end', {
    behaviour: () => ({
      receive() {
        throw new Error('broken')
      },
      async stopped() {
        await open.promise
        ended = true
      },
    }),
  })
  await assert.rejects(actor.ask(1))
  const stopped = system.stop('test/slow-end')
  await settle()
  assert.equal(system.has('test/slow-end'), true)
  open.resolve()
  await stopped
  assert.equal(ended, true)
})

test('stopped() that throws is logged, and the stop comes to its end', async () => {
  const { system, lines } = testSystem()
  system.spawn('test/bad-end', {
    behaviour: () => ({
      receive: () => {},
      stopped() {
        throw new Error('cannot end')
      },
    }),
  })
  await settle()
  await system.stop('test/bad-end')
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [['error', 'stopped() failed']],
  )
})

test('configuration and notices overtake messages', async () => {
  const { system } = testSystem()
  const open = gate()
  const order: unknown[] = []
  system.spawn('test/other', { behaviour: () => ({ receive: () => {} }) })
  const actor = system.spawn('test/lane', {
    behaviour: () => ({
      started: context => void context.monitor('test/other'),
      configure: options => void order.push(options),
      down: notice => void order.push(`down ${notice.address}`),
      receive(payload) {
        order.push(payload)
        return payload === 0 ? open.promise : undefined
      },
    }),
  })
  void actor.tell(0)
  await settle()
  for (const n of [1, 2, 3]) void actor.tell(n)
  await system.stop('test/other')
  const configured = system.cell('test/lane')!.configure('new')
  open.resolve()
  await configured
  await system.whenIdle()
  assert.deepEqual(order, [0, 'down test/other', 'new', 1, 2, 3])
})

test('configuration always has an answer: refused, failed, too late, or after the restart', async () => {
  const { system, clock } = testSystem()
  system.spawn('test/none', { behaviour: () => ({ receive: () => {} }) })
  await assert.rejects(system.cell('test/none')!.configure(1), { code: 'SIGNALBOX_USAGE' })
  const none = system.cell('test/none')!
  await system.stop('test/none')
  await assert.rejects(none.configure(1), { code: 'SIGNALBOX_ACTOR_STOPPED' })
  const configured: unknown[] = []
  system.spawn('test/some', {
    behaviour: () => ({
      receive: () => {},
      down() {
        throw new Error('bad news')
      },
      async configure(options) {
        if (options === 'bad') throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID')
        configured.push(options)
      },
    }),
  })
  const some = system.cell('test/some')!
  await assert.rejects(some.configure('bad'), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  some.notifyDown({ address: 'test/x', reason: undefined })
  const after = some.configure('kept')
  await settle()
  assert.equal(some.state, 'restarting')
  clock.advance(10)
  await after
  assert.deepEqual(configured, ['kept'])
})

test('an actor that ends itself does so after the message it handles', async () => {
  const { system } = testSystem()
  const events: string[] = []
  const actor = system.spawn('test/ends', {
    behaviour: () => ({
      async receive(_, __, context) {
        await context.stop()
        await settle()
        events.push('handled')
        return 'done'
      },
      stopped: () => void events.push('stopped'),
    }),
  })
  assert.equal(await actor.ask('x'), 'done')
  await until(() => !system.has('test/ends'), 'the end')
  assert.deepEqual(events, ['handled', 'stopped'])
})

test('whenIdle resolves after any number of messages, those of a full turn included', async () => {
  const { system } = testSystem()
  for (const count of [1, 63, 64, 65, 128, 500]) {
    let handled = 0
    const actor = system.spawn(`test/n${count}`, { behaviour: () => ({ receive: () => void handled++ }) })
    for (let i = 0; i < count; i++) void actor.tell(i)
    await system.whenIdle()
    assert.equal(handled, count)
  }
  assert.equal(system.idle, true)
})

test('inspect says what is there, also when the behaviour cannot', () => {
  const { system } = testSystem()
  system.spawn('test/said', { behaviour: () => ({ receive: () => {}, inspect: () => ({ extra: 1 }) }) })
  system.spawn('test/mute', {
    behaviour: () => ({
      receive: () => {},
      inspect() {
        throw new Error('no view')
      },
    }),
  })
  const [said, mute] = system.inspect()
  assert.deepEqual([said!.address, said!.queued, said!.extra], ['test/said', 0, 1])
  assert.deepEqual([mute!.address, mute!.inspectError], ['test/mute', 'no view'])
})

test('the envelope says what it is, and cancelling is idempotent', async () => {
  const { system } = testSystem()
  let seen: Envelope | undefined
  const actor = system.spawn('test/envelope', {
    behaviour: () => ({
      receive(_, envelope) {
        seen = envelope
        return envelope.kind
      },
    }),
  })
  assert.equal(await actor.ask('x', { cid: 'c', headers: { a: 'b' } }), 'ask')
  assert.deepEqual([seen!.context.cid, seen!.context.headers?.a, seen!.to], ['c', 'b', 'test/envelope'])
  await actor.tell('x')
  await system.whenIdle()
  assert.equal(seen!.kind, 'tell')
  const first = new SignalboxError('SIGNALBOX_CANCELLED')
  seen!.cancel(first)
  seen!.cancel(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE'))
  assert.equal(seen!.signal.reason, first)
})
