import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { settle, testSystem, until } from './actor-test-kit.ts'
import { ActorSystem } from './system.ts'

test('replace: new calls to the new one, running ones end on the old one, nothing is lost', async () => {
  const { system } = testSystem()
  const open = Promise.withResolvers<void>()
  const events: string[] = []
  const version = (name: string, wait?: Promise<void>) => ({
    concurrency: 2,
    behaviour: () => ({
      receive: async () => {
        await wait
        return name
      },
      stopped: () => void events.push(`${name} stopped`),
    }),
  })
  const reference = system.spawn('service/x', version('old', open.promise))
  const before = [1, 2, 3, 4].map(() => system.ask('service/x', 1))
  await settle()
  const replaced = system.replace('service/x', version('new'))
  assert.equal(await system.ask('service/x', 1), 'new')
  assert.equal(await reference.ask(1), 'new', 'by an old reference as well')
  assert.deepEqual(events, [])
  assert.equal(system.idle, false)
  open.resolve()
  assert.deepEqual(await Promise.all(before), Array(4).fill('old'))
  await replaced
  assert.deepEqual(events, ['old stopped'])
  assert.equal(await system.ask('service/x', 1), 'new')
  await system.replace('service/y', version('first'))
  assert.equal(await system.ask('service/y', 1), 'first')
})

test('replace with a spec that is none changes nothing; a child is not replaced', async () => {
  const { system } = testSystem()
  const behaviour = () => ({ receive: () => 'old' })
  system.spawn('service/x', { behaviour })
  await assert.rejects(system.replace('service/x', { behaviour, concurrency: 0 }), {
    code: 'SIGNALBOX_USAGE',
  })
  assert.equal(await system.ask('service/x', 1), 'old')
  system.spawnChild(system.cell('service/x')!, 'child', { behaviour })
  await assert.rejects(system.replace('service/x/child', { behaviour }), { code: 'SIGNALBOX_USAGE' })
})

test('an actor with children can be replaced while the old ones still work', async () => {
  const { system } = testSystem()
  const open = Promise.withResolvers<void>()
  const version = (name: string) => ({
    behaviour: () => ({
      started: (context: Parameters<NonNullable<import('./behaviour.ts').Behaviour['started']>>[0]) => {
        context.spawn('child', { behaviour: () => ({ receive: () => name }) })
      },
      receive: () => open.promise,
    }),
  })
  system.spawn('service/x', version('old'))
  const running = system.ask('service/x', 1)
  await settle()
  const replaced = system.replace('service/x', version('new'))
  assert.equal(await system.ask('service/x/child', 1), 'new')
  open.resolve()
  await running
  await replaced
  assert.equal(await system.ask('service/x/child', 1), 'new')
})

test('who watches an address is not told when its actor is replaced, only when it ends', async () => {
  const { system } = testSystem()
  const spec = { behaviour: () => ({ receive: () => {} }) }
  let down = 0
  system.spawn('service/x', spec)
  system.monitor('service/x', () => down++)
  await system.replace('service/x', spec)
  assert.equal(down, 0)
  await system.stop('service/x')
  assert.equal(down, 1)
})

test('shutdown ends those that were replaced as well', async () => {
  const { system, clock } = testSystem()
  let stopped = 0
  const spec = { behaviour: () => ({ receive: () => new Promise(() => {}), stopped: () => void stopped++ }) }
  system.spawn('service/x', spec)
  const hanging = system.ask('service/x', 1)
  await settle()
  const replaced = system.replace('service/x', spec)
  const down = system.shutdown()
  await settle()
  clock.advance(5_000)
  await assert.rejects(hanging, { code: 'SIGNALBOX_ACTOR_STOPPED' })
  await Promise.all([replaced, down])
  assert.equal(stopped, 2)
})

function keyed(idleMs?: number) {
  const kit = testSystem()
  const events: string[] = []
  const ends: PromiseWithResolvers<void>[] = []
  kit.system.keyed('service/account', {
    ...(idleMs !== undefined && { idleMs }),
    behaviour: key => {
      events.push(`+${key}`)
      return {
        receive: payload => `${key} ${payload}`,
        async stopped() {
          const end = Promise.withResolvers<void>()
          ends.push(end)
          await end.promise
          events.push(`-${key}`)
        },
      }
    },
  })
  return { ...kit, events, ends }
}

test('keyed: one actor for each key, made by its first message', async () => {
  const { system, events } = keyed()
  const answers = await Promise.all(
    ['a', 'b', 'a', 'c#d'].map(key => system.ask(`service/account#${key}`, 1)),
  )
  assert.deepEqual(answers, ['a 1', 'b 1', 'a 1', 'c#d 1'])
  assert.deepEqual(events, ['+a', '+b', '+c#d'])
  await assert.rejects(system.ask('service/account', 1), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
  assert.throws(() => system.keyed('service/account', { behaviour: () => ({ receive: () => {} }) }), {
    code: 'SIGNALBOX_ADDRESS_TAKEN',
  })
})

test('keyed: a key too long for an address fails its message and nothing else', async () => {
  const { system } = keyed()
  const address = `service/account#${'k'.repeat(1_000)}`
  await assert.rejects(system.ask(address, 1), { code: 'SIGNALBOX_ADDRESS_INVALID' })
  void system.tell(address, 1)
  await settle()
  assert.equal(system.deadLetters, 2)
})

test('keyed: idle for the whole time they stop, not before; with none left no timer is', async () => {
  const { system, clock, events, ends } = keyed(1_000)
  await system.ask('service/account#a', 1)
  clock.advance(499)
  await system.ask('service/account#a', 2)
  clock.advance(990)
  await settle()
  assert.equal(system.has('service/account#a') && ends.length, 0)
  assert.equal(system.cell('service/account#a')!.state, 'running')
  clock.advance(600)
  await settle()
  ends[0]!.resolve()
  await until(() => events.at(-1) === '-a', 'the end')
  clock.advance(2_000)
  assert.equal(clock.pending, 0)
})

test('keyed: a message during the stop starts the next one only when the last has ended', async () => {
  const { system, clock, events, ends } = keyed(1_000)
  await system.ask('service/account#a', 1)
  clock.advance(2_000)
  await settle()
  const asked = system.ask('service/account#a', 2)
  await settle()
  assert.deepEqual(events, ['+a'])
  ends[0]!.resolve()
  assert.equal(await asked, 'a 2')
  assert.deepEqual(events, ['+a', '-a', '+a'])
  // The next one is watched for idleness as well.
  clock.advance(2_500)
  await settle()
  assert.equal(ends.length, 2)
  ends[1]!.resolve()
})

test('keyed: what waits for one that ends itself goes to the next one', async () => {
  const { system } = testSystem()
  let lives = 0
  system.keyed('service/once', {
    behaviour: () => {
      const life = ++lives
      return {
        async receive(payload, _, context) {
          await context.stop()
          return `${payload} in ${life}`
        },
      }
    },
  })
  const asks = [1, 2, 3].map(n => system.ask('service/once#k', n))
  assert.deepEqual(await Promise.all(asks), ['1 in 1', '2 in 2', '3 in 3'])
  assert.equal(system.deadLetters, 0)
})

test('keyed: those whose key belongs elsewhere end after what they have; the others stay', async () => {
  const { system, events, ends } = keyed()
  await Promise.all(['a', 'b'].map(key => system.ask(`service/account#${key}`, 1)))
  const last = system.ask('service/account#a', 'last')
  const released = system.releaseKeys('service/account', address => address.endsWith('b'))
  assert.equal(await last, 'a last')
  await until(() => ends.length === 1, 'the end of a')
  ends[0]!.resolve()
  await released
  assert.deepEqual(events, ['+a', '+b', '-a'])
  assert.equal(system.cell('service/account#b')!.state, 'running')
  await system.releaseKeys('service/nobody', () => false)
})

test('keyed: stopping the base stops all; a new one waits for what it claims', async () => {
  const { system, ends } = keyed()
  await Promise.all(['a', 'b'].map(key => system.ask(`service/account#${key}`, 1)))
  const stopped = system.stop('service/account')
  await until(() => ends.length === 2, 'both')
  for (const end of ends) end.resolve()
  await stopped
  assert.deepEqual(system.inspect(), [])
  const claim = Promise.withResolvers<void>()
  system.remote = {
    deliver: envelope => system.deliver(envelope),
    shares: () => false,
    monitor: () => () => {},
    claim: () => claim.promise,
  }
  system.keyed('service/next', { behaviour: key => ({ receive: () => key }) })
  const asked = system.ask('service/next#k', 1)
  await settle()
  assert.equal(system.cell('service/next#k')!.state, 'starting')
  claim.reject(new Error('the other place is gone'))
  assert.equal(await asked, 'k')
})

test('children of keyed actors have the key of their parent', async () => {
  const { system } = testSystem()
  system.keyed('service/account', {
    behaviour: key => ({
      started: context =>
        void context.spawn('log', { behaviour: () => ({ receive: () => `log of ${key}` }) }),
      receive: () => {},
    }),
  })
  await Promise.all(['a', 'b'].map(key => system.ask(`service/account#${key}`, 1)))
  assert.equal(await system.ask('service/account/log#b', 1), 'log of b')
})

test('retire ends an actor when it has nothing to do; again, or of nobody, it does nothing', async () => {
  const { system } = testSystem()
  const open = Promise.withResolvers<void>()
  const actor = system.spawn('test/x', { behaviour: () => ({ receive: () => open.promise }) })
  const asks = [actor.ask(1), actor.ask(2)]
  await settle()
  let ended = false
  const retired = Promise.all([system.retire('test/x'), system.retire('test/x')]).then(() => {
    ended = true
  })
  await settle()
  assert.equal(ended, false)
  open.resolve()
  await Promise.all(asks)
  await retired
  assert.equal(system.has('test/x'), false)
  await system.retire('test/x')
})

test('retiring one whose handler never ends comes to its end when it is stopped', async () => {
  const { system, clock } = testSystem()
  const actor = system.spawn('test/x', { behaviour: () => ({ receive: () => new Promise(() => {}) }) })
  void actor.tell(1)
  await settle()
  const retired = system.retire('test/x')
  const stopped = system.stop('test/x')
  await settle()
  clock.advance(5_000)
  await Promise.all([retired, stopped])
})

test('an address is taken once', () => {
  const { system } = testSystem()
  const spec = { behaviour: () => ({ receive: () => {} }) }
  system.spawn('test/x', spec)
  assert.throws(() => system.spawn('test/x', spec), { code: 'SIGNALBOX_ADDRESS_TAKEN', message: /test\/x/ })
  assert.throws(() => system.spawn('Test', spec), { code: 'SIGNALBOX_ADDRESS_INVALID' })
})

test('an idle actor costs less than 1 KiB, and 100,000 of them answer and stop', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const system = new ActorSystem()
  const spec = { behaviour: () => ({ receive: (x: unknown) => x }) }
  const count = 100_000
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < count; i++) system.spawn(`test/n${i}`, spec)
  await system.whenIdle()
  await settle()
  gc()
  const each = (process.memoryUsage().heapUsed - before) / count
  assert.ok(each < 1_024, `${Math.round(each)} bytes for each`)
  assert.deepEqual(
    await Promise.all([0, 50_000, 99_999].map(i => system.ask(`test/n${i}`, i))),
    [0, 50_000, 99_999],
  )
  await system.shutdown()
  assert.deepEqual(system.inspect(), [])
})
