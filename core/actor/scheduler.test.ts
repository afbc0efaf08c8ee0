import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { until } from './actor-test-kit.ts'
import { type Runnable, Scheduler } from './scheduler.ts'
import { ActorSystem } from './system.ts'

test('everything in line runs before anything runs twice', async () => {
  const scheduler = new Scheduler()
  const order: string[] = []
  const runnable = (name: string, times: number): Runnable => {
    return { run: () => order.push(name) > 0 && --times > 0 }
  }
  for (const name of ['a', 'b', 'c']) scheduler.schedule(runnable(name, 3))
  await until(() => order.length === 9, 'all pieces')
  assert.equal(order.join(''), 'abcabcabc')
})

test('an actor with a long backlog does not hold up one with a single message', async () => {
  const system = new ActorSystem()
  let handled = 0
  let before = -1
  const busy = system.spawn('test/busy', {
    mailboxCapacity: 10_000,
    behaviour: () => ({ receive: () => void handled++ }),
  })
  const quick = system.spawn('test/quick', {
    behaviour: () => ({
      receive: () => {
        before = handled
      },
    }),
  })
  for (let i = 0; i < 10_000; i++) void busy.tell(i)
  void quick.tell('one')
  await until(() => handled === 10_000, 'the backlog')
  assert.ok(before >= 0 && before <= 128, `after ${before} messages of the other`)
})

test('the event loop has its turn while two actors ping-pong for ever', async () => {
  const system = new ActorSystem()
  let hits = 0
  let over = false
  const player = (other: string) => () => ({
    receive: () => {
      hits++
      if (!over) void system.tell(other, 'ball')
    },
  })
  system.spawn('test/ping', { behaviour: player('test/pong') })
  system.spawn('test/pong', { behaviour: player('test/ping') })
  void system.tell('test/ping', 'ball')
  for (let i = 0; i < 20; i++) {
    const before = hits
    await turn()
    assert.ok(hits > before, 'the game goes on between the turns')
  }
  over = true
  await system.whenIdle()
})

test('slow handlers do not hold up the event loop for more than a few pieces', async () => {
  const system = new ActorSystem()
  let handled = 0
  let seen = -1
  const slow = system.spawn('test/slow', {
    behaviour: () => ({
      receive: () => {
        const end = performance.now() + 0.2
        while (performance.now() < end) {}
        handled++
      },
    }),
  })
  setImmediate(() => {
    seen = handled
  })
  for (let i = 0; i < 1_000; i++) void slow.tell(i)
  await until(() => handled === 1_000, 'all')
  assert.ok(seen <= 256, `${seen} of 1,000 before the event loop had its turn`)
})

test('an actor that tells itself with a backlog stands in line once', async () => {
  const system = new ActorSystem()
  let runs = 0
  const schedule = system.scheduler.schedule.bind(system.scheduler)
  system.scheduler.schedule = runnable => {
    runs++
    schedule(runnable)
  }
  let left = 5_000
  const self = system.spawn('test/self', {
    mailboxCapacity: 10_000,
    behaviour: () => ({ receive: (_, __, context) => void (left-- > 0 && context.self.tell('again')) }),
  })
  for (let i = 0; i < 500; i++) void self.tell(i)
  await system.whenIdle()
  assert.ok(runs < 5, `scheduled ${runs} times`)
})

test('one that throws keeps nobody else from its turn', () => {
  const scheduler = new Scheduler()
  const original = queueMicrotask
  let drain!: () => void
  globalThis.queueMicrotask = run => {
    drain = run
  }
  let ran = false
  try {
    scheduler.schedule({
      run: () => {
        throw new Error('no actor does this')
      },
    })
    scheduler.schedule({
      run: () => {
        ran = true
        return false
      },
    })
  } finally {
    globalThis.queueMicrotask = original
  }
  assert.throws(drain, /no actor does this/)
  return until(() => ran, 'the turn of the other')
})
