import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle, type TestSystem, testSystem, until } from './actor-test-kit.ts'
import type { ActorSpec, Behaviour } from './behaviour.ts'
import type { RestartType, Strategy } from './supervision.ts'

/** Fails at `crash`, ends itself at `end`; answers with its life. */
function fragile(events: string[], name: string): () => Behaviour {
  let lives = 0
  return () => {
    const life = ++lives
    return {
      started: () => void events.push(`+${name}`),
      async stopped() {
        await settle()
        events.push(`-${name}`)
      },
      receive(payload, _, context) {
        if (payload === 'crash') throw new Error(`${name} is broken`)
        if (payload === 'end') return context.stop()
        return life
      },
    }
  }
}

function family(kit: TestSystem, events: string[], strategy: Strategy, restart: RestartType = 'transient') {
  const spec = (name: string): ActorSpec => ({ restart, behaviour: fragile(events, name) })
  kit.system.spawn('test/parent', {
    supervision: { strategy },
    behaviour: () => ({
      started(context) {
        for (const name of ['a', 'b', 'c']) context.spawn(name, spec(name))
      },
      receive: () => {},
    }),
  })
}

test('each strategy stops in reverse, one after the other, and starts in order', async () => {
  const expected: [Strategy, string][] = [
    ['oneForOne', '-b +b'],
    ['oneForAll', '-b -c -a +a +b +c'],
    ['restForOne', '-b -c +b +c'],
  ]
  for (const [strategy, order] of expected) {
    const kit = testSystem()
    const events: string[] = []
    family(kit, events, strategy)
    await settle()
    events.length = 0
    await assert.rejects(kit.system.ask('test/parent/b', 'crash'), /b is broken/)
    await until(() => events.length >= Math.floor(order.split(' ').length / 2), 'the stops')
    await settle()
    kit.clock.advance(10)
    await settle()
    assert.equal(events.join(' '), order, strategy)
    assert.equal(await kit.system.ask('test/parent/b', 'life'), 2)
  }
})

test('permanent children come back whenever they end, transient ones after failures, temporary ones never', async () => {
  const expected: [RestartType, string, boolean][] = [
    ['permanent', 'end', true],
    ['permanent', 'crash', true],
    ['transient', 'end', false],
    ['transient', 'crash', true],
    ['temporary', 'end', false],
    ['temporary', 'crash', false],
  ]
  for (const [restart, message, back] of expected) {
    const kit = testSystem()
    family(kit, [], 'oneForOne', restart)
    await settle()
    await kit.system.ask('test/parent/a', message).catch(() => {})
    for (let i = 0; i < 4; i++) await settle()
    kit.clock.advance(20)
    await settle()
    assert.equal(kit.system.has('test/parent/a'), back, `${restart} ${message}`)
    assert.equal(await kit.system.ask('test/parent/b', 'life'), 1)
  }
})

async function crash(
  { system, clock }: TestSystem,
  address: string,
  times: number,
  everyMs: number,
): Promise<void> {
  const asks: Promise<unknown>[] = []
  for (let i = 0; i < times; i++) {
    asks.push(system.ask(address, 'crash').catch(() => {}))
    // The hooks take turns of the event loop before the pause begins.
    for (let turns = 0; turns < 4; turns++) await settle()
    clock.advance(everyMs)
    await settle()
  }
  await Promise.all(asks)
}

test('ten crashes within a second: failed with the last error, siblings untouched, few log lines', async () => {
  const kit = testSystem()
  kit.system.spawn('service/bad', { behaviour: fragile([], 'bad') })
  const good = kit.system.spawn('service/good', { behaviour: fragile([], 'good') })
  const bad = kit.system.cell('service/bad')!
  await crash(kit, 'service/bad', 10, 100)
  const failed = kit.system.inspect().find(one => one.address === 'service/bad')!
  assert.equal(failed.state, 'failed')
  assert.match(String(failed.lastError), /SIGNALBOX_SUPERVISION_ESCALATED.*bad is broken/)
  assert.equal(kit.system.has('service/bad'), false)
  await assert.rejects(kit.system.ask('service/bad', 1), {
    code: 'SIGNALBOX_SUPERVISION_ESCALATED',
    details: { address: 'service/bad', lastError: 'SIGNALBOX_ACTOR_FAILED: bad is broken' },
  })
  await assert.rejects(bad.ask(1), { code: 'SIGNALBOX_SUPERVISION_ESCALATED' }, 'by a reference as well')
  assert.equal(await good.ask('life'), 1)
  assert.deepEqual(
    kit.lines.map(line => line.level),
    [...Array(5).fill('warn'), 'error'],
  )
})

test('what waits in the mailbox of an actor that fails for good is told why', async () => {
  const kit = testSystem({ supervision: { intensity: 0 } })
  const actor = kit.system.spawn('test/actor', { behaviour: fragile([], 'it') })
  const asks = [actor.ask('crash'), actor.ask(1), actor.ask(2)]
  const codes = (await Promise.allSettled(asks)).map(one => (one as PromiseRejectedResult).reason.code)
  assert.deepEqual(codes, ['SIGNALBOX_ACTOR_FAILED', ...Array(2).fill('SIGNALBOX_SUPERVISION_ESCALATED')])
})

test('an actor that failed for good can be started again, or stopped and forgotten', async () => {
  const kit = testSystem({ supervision: { intensity: 0 } })
  const spec = { behaviour: fragile([], 'it') }
  for (const again of [
    () => void kit.system.spawn('test/it', spec),
    () => kit.system.replace('test/it', spec),
  ]) {
    await again()
    await kit.system.ask('test/it', 'crash').catch(() => {})
    await until(() => !kit.system.has('test/it'), 'the end')
    assert.equal(kit.system.inspect()[0]!.state, 'failed')
  }
  await kit.system.stop('test/it')
  assert.deepEqual(kit.system.inspect(), [])
  await assert.rejects(kit.system.ask('test/it', 1), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
})

test('crashes spread over time do not escalate', async () => {
  const kit = testSystem()
  kit.system.spawn('test/slow', { behaviour: fragile([], 'slow') })
  await crash(kit, 'test/slow', 20, 7_000)
  assert.equal(kit.system.cell('test/slow')!.restarts, 20)
})

test('past the intensity the parent fails and is restarted with fresh children, and only then the root fails', async () => {
  const kit = testSystem()
  const events: string[] = []
  family(kit, events, 'oneForOne')
  await settle()
  await crash(kit, 'test/parent/a', 6, 400)
  for (let i = 0; i < 10; i++) await settle()
  kit.clock.advance(20)
  await settle()
  assert.deepEqual(
    [kit.system.cell('test/parent')!.restarts, await kit.system.ask('test/parent/b', 'life')],
    [1, 1],
  )
  // The children of the new life have all their restarts before them.
  await crash(kit, 'test/parent/a', 5, 400)
  assert.equal(kit.system.cell('test/parent')!.restarts, 1)
  assert.equal(kit.system.cell('test/parent/a')!.restarts, 5)
})

test('a child that stops for good leaves its parent, and its name can be used again', async () => {
  const kit = testSystem()
  family(kit, [], 'oneForOne', 'temporary')
  await settle()
  await kit.system.ask('test/parent/a', 'end')
  await until(() => !kit.system.has('test/parent/a'), 'the end')
  const parent = kit.system.cell('test/parent')!
  assert.deepEqual(
    parent.children!.map(child => child.address),
    ['test/parent/b', 'test/parent/c'],
  )
  kit.system.spawnChild(parent, 'a', { behaviour: fragile([], 'a') })
  assert.equal(await kit.system.ask('test/parent/a', 'life'), 1)
  assert.throws(() => kit.system.spawnChild(parent, 'b', { behaviour: fragile([], 'b') }), {
    code: 'SIGNALBOX_ADDRESS_TAKEN',
  })
})

test('an actor that comes to its end starts no children', async () => {
  const kit = testSystem()
  let code: string | undefined
  kit.system.spawn('test/late', {
    behaviour: () => ({
      receive: () => {},
      stopped(context) {
        try {
          context.spawn('child', { behaviour: fragile([], 'child') })
        } catch (error) {
          code = (error as { code: string }).code
        }
      },
    }),
  })
  await settle()
  await kit.system.stop('test/late')
  assert.equal(code, 'SIGNALBOX_ACTOR_STOPPED')
  assert.deepEqual(kit.system.inspect(), [])
})

test('two of a group that fail at once are both back once, after both have ended', async () => {
  const kit = testSystem()
  const events: string[] = []
  family(kit, events, 'oneForAll')
  await settle()
  events.length = 0
  const both = ['a', 'b'].map(name => kit.system.ask(`test/parent/${name}`, 'crash'))
  await Promise.allSettled(both)
  for (let i = 0; i < 10; i++) await settle()
  kit.clock.advance(50)
  await settle()
  assert.deepEqual([...events].sort(), ['+a', '+b', '+c', '-a', '-b', '-c'])
  assert.ok(
    events.slice(0, 3).every(event => event.startsWith('-')),
    events.join(' '),
  )
})

test('monitors: once, with the reason; at once for nobody; not when they were ended', async () => {
  const kit = testSystem({ supervision: { intensity: 0 } })
  const { system } = kit
  const seen: string[] = []
  const watch = (address: string) =>
    system.monitor(address, ({ reason }) => seen.push(`${address} ${reason?.code}`))
  system.spawn('test/stops', { behaviour: fragile([], 'a') })
  system.spawn('test/fails', { behaviour: fragile([], 'b') })
  for (const address of ['test/stops', 'test/fails', 'test/nobody']) watch(address)
  watch('test/stops')()
  assert.deepEqual(seen, ['test/nobody SIGNALBOX_ADDRESS_UNKNOWN'])
  await system.stop('test/stops')
  await system.ask('test/fails', 'crash').catch(() => {})
  await until(() => seen.length === 3, 'the news')
  assert.deepEqual(seen.slice(1), ['test/stops undefined', 'test/fails SIGNALBOX_SUPERVISION_ESCALATED'])
  watch('test/fails')
  assert.equal(seen[3], 'test/fails SIGNALBOX_SUPERVISION_ESCALATED', 'the reason is known later as well')
  system.spawn('test/stops', { behaviour: fragile([], 'a') })
  await settle()
  await system.stop('test/stops')
  assert.equal(seen.length, 4)
})

test('an actor that stops or restarts watches no more', async () => {
  const { system, clock } = testSystem()
  let down = 0
  system.spawn('test/watched', { behaviour: fragile([], 'watched') })
  const watcher = system.spawn('test/watcher', {
    behaviour: () => ({
      started: context => void context.monitor('test/watched'),
      down: () => void down++,
      receive() {
        throw new Error('broken')
      },
    }),
  })
  for (let i = 0; i < 3; i++) {
    await watcher.ask('x').catch(() => {})
    await settle()
    clock.advance(100)
    await settle()
  }
  await system.stop('test/watched')
  await settle()
  assert.equal(down, 1, 'the last life alone is told, once')
})

test('linked actors fail together, in both directions, but not when one is stopped on purpose', async () => {
  for (const [ended, other] of [
    ['a', 'b'],
    ['b', 'a'],
  ]) {
    const { system } = testSystem({ supervision: { intensity: 0 } })
    system.spawn('test/b', { behaviour: fragile([], 'b') })
    system.spawn('test/a', {
      behaviour: () => ({ ...fragile([], 'a')(), started: context => context.link('test/b') }),
    })
    await settle()
    await system.ask(`test/${ended}`, 'crash').catch(() => {})
    await until(() => !system.has(`test/${other}`), `the end of ${other}`)
    await assert.rejects(system.ask(`test/${other}`, 1), new RegExp(`test/${ended}.*linked|linked.*`))
  }
  const { system } = testSystem()
  system.spawn('test/b', { behaviour: fragile([], 'b') })
  system.spawn('test/a', {
    behaviour: () => ({ receive: () => 'here', started: context => context.link('test/b') }),
  })
  await settle()
  await system.stop('test/b')
  assert.equal(await system.ask('test/a', 1), 'here')
})

test('shutdown stops everything, the youngest first, and nothing starts any more', async () => {
  const { system, clock } = testSystem()
  const events: string[] = []
  for (const name of ['a', 'b']) system.spawn(`test/${name}`, { behaviour: fragile(events, name) })
  system.keyed('test/key', { behaviour: () => fragile(events, 'k')() })
  await system.ask('test/key#1', 'life')
  events.length = 0
  await system.shutdown()
  assert.deepEqual(events, ['-k', '-b', '-a'])
  assert.deepEqual(system.inspect(), [])
  await assert.rejects(system.ask('test/key#2', 1), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
  assert.throws(() => system.spawn('test/c', { behaviour: fragile([], 'c') }), {
    code: 'SIGNALBOX_ACTOR_STOPPED',
  })
  clock.advance(600_000)
  assert.equal(clock.pending, 0)
})
