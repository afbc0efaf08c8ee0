import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ActorSystem } from '../core/actor/index.ts'
import { TestClock } from '../core/clock.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { type ServiceClass, type ServiceContext, service } from '../core/service/service.ts'
import { type Logger, silentLogger } from '../core/telemetry/log.ts'
import { serviceActor } from './service-host.ts'

function hosting(type: ServiceClass) {
  const clock = new TestClock()
  const lines: object[] = []
  const log: Logger = { ...silentLogger, warn: data => void lines.push(data), child: () => log }
  const system = new ActorSystem({ clock, log })
  const start = (name: string, one: ServiceClass) => {
    const runner = new ServiceRunner(name, one, {
      clock,
      log,
      ask: (to, payload, options) => system.ask(`service/${to}`, payload, options),
      tell: (to, payload, options) => system.tell(`service/${to}`, payload, options),
      connection: () => assert.fail('no connections here'),
      keep: () => assert.fail('nothing is kept here'),
      cpu: () => assert.fail('no CPU work here'),
    })
    system.spawn(`service/${name}`, serviceActor(system, runner))
  }
  start('x', type)
  return { system, clock, lines, start }
}

const hanging = (contexts: ServiceContext[], settings: object = {}) =>
  service({
    ...settings,
    handle: (_, context) => {
      contexts.push(context)
      void context.request.signal
      return new Promise(() => {})
    },
  })

test('a tell has the time limit of the service, and its end is logged since nobody else is told', async () => {
  const contexts: ServiceContext[] = []
  const { system, clock, lines } = hosting(hanging(contexts, { timeoutMs: 200 }))
  await system.tell('service/x', 1, { cid: 'c1' })
  await turn()
  clock.advance(199)
  assert.equal(contexts[0]!.request.signal.aborted, false)
  clock.advance(20)
  assert.equal(contexts[0]!.request.signal.reason.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
  assert.deepEqual(
    lines.map(line => ({ ...line })),
    [{ service: 'x', cid: 'c1', code: 'SIGNALBOX_TIMEOUT_DEADLINE' }],
  )
  assert.equal(system.deadlines.size, 0)
})

test('an ask without a deadline of its own has the limit of the service', async () => {
  const { system, clock, lines } = hosting(hanging([], { timeoutMs: 200 }))
  const asked = system.ask('service/x', 1, { timeoutMs: Number.POSITIVE_INFINITY })
  await turn()
  clock.advance(220)
  await assert.rejects(asked, { code: 'SIGNALBOX_TIMEOUT_DEADLINE', message: /service x/ })
  assert.deepEqual(lines, [])
})

test('limits end with the message: none is left for those that were quick, and none is early', async () => {
  const { system, clock } = hosting(service({ handle: input => (input === 'sync' ? 1 : Promise.resolve(1)) }))
  for (const input of ['sync', 'async']) await system.tell('service/x', input)
  await system.whenIdle()
  assert.equal(system.deadlines.size, 0)
  clock.advance(10)
  assert.equal(clock.pending, 0)
})

test('a caller that gives up cancels the services behind the service', async () => {
  const contexts: ServiceContext[] = []
  const { system, start } = hosting(service({ handle: (_, context) => context.invoke('leaf') }))
  start('leaf', hanging(contexts))
  const controller = new AbortController()
  const asked = system.ask('service/x', 1, { signal: controller.signal, timeoutMs: 5_000 })
  await turn()
  assert.equal(contexts[0]!.request.deadline, 5_000, 'the deadline of the caller')
  controller.abort()
  await assert.rejects(asked, { code: 'SIGNALBOX_CANCELLED' })
  assert.equal(contexts[0]!.request.signal.aborted, true)
})

test('a service that fails neither restarts its actor nor disturbs other messages', async () => {
  const { system } = hosting(
    service({
      handle: async input => {
        if (input === 'crash') throw new Error('broken')
        await turn()
        return input
      },
    }),
  )
  const answers = await Promise.allSettled(['a', 'crash', 'b'].map(input => system.ask('service/x', input)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(system.cell('service/x')!.restarts, 0)
})

test('the concurrency and mailbox of the service are those of its actor', async () => {
  const contexts: ServiceContext[] = []
  const { system } = hosting(hanging(contexts, { concurrency: 2, mailboxCapacity: 1 }))
  for (let i = 0; i < 2; i++) void system.tell('service/x', i)
  await turn()
  assert.equal(system.tell('service/x', 2), undefined)
  assert.ok(system.tell('service/x', 3) instanceof Promise)
  await turn()
  assert.deepEqual([contexts.length, system.loadOf('service/x')], [2, 4])
})
