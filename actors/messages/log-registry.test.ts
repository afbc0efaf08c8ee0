import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { ActorSystem } from '../../core/actor/index.ts'
import { parseOptions } from '../../core/schema.ts'
import { openFileJournal } from '../../core/store/files/file-journal.ts'
import type { Journal } from '../../core/store/journal.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import { ControlPort } from '../../core/worker/control-port.ts'
import type { WorkerInit } from '../../core/worker/messages.ts'
import { WorkerContext } from '../../core/worker/worker-context.ts'
import { fixture } from '../../test/fixture.ts'
import { LogRegistry } from './log-registry.ts'
import { DURABLE_OPTIONS, type QueueResource } from './options.ts'
import { opsAddress, QUEUE_SUBSCRIPTION } from './protocol.ts'

/** A registry with the queue `orders`, whose appends can be held back. */
async function registry(t: TestContext) {
  const { path, [Symbol.dispose]: dispose } = fixture({})
  const system = new ActorSystem()
  const { port1, port2 } = new MessageChannel()
  const init = { place: 'n.1', node: 'n', slot: 1, config: {} } as WorkerInit
  const worker = new WorkerContext(init, system, new ControlPort(port1), silentLogger)
  const disk = { held: undefined as Promise<void> | undefined, asked: () => {} }
  const logs = new LogRegistry(worker, path, async folder => {
    const journal = await openFileJournal({ folder, lockFolder: path, log: silentLogger })
    const append: Journal['append'] = async (records, options) => {
      disk.asked()
      await disk.held
      return journal.append(records, options)
    }
    return new Proxy(journal, {
      get: (target, name: keyof Journal) => {
        if (name === 'append') return append
        const value = target[name]
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  })
  t.after(async () => {
    await system.shutdown()
    await logs.close()
    port1.close()
    port2.close()
    dispose()
  })
  const options = parseOptions(DURABLE_OPTIONS.queue, {}, 'test') as QueueResource
  await logs.putQueue({ name: 'orders', options })
  const publish = (text: string) =>
    system.ask(opsAddress('queue', 'orders'), { op: 'publish', messages: [{ content: Buffer.from(text) }] })
  const take = async () => {
    const request = { op: 'take', subscription: QUEUE_SUBSCRIPTION, max: 10, consumer: 'test' }
    return (await system.ask(opsAddress('queue', 'orders'), request)) as { content: Buffer }[]
  }
  return { logs, disk, publish, take, folder: join(path, 'queues/orders') }
}

test('a queue that holds messages is not removed', async t => {
  const { logs, publish, take } = await registry(t)
  await publish('one')
  await assert.rejects(logs.remove('queue', 'orders'), { code: 'SIGNALBOX_LOG_NOT_EMPTY' })
  assert.equal((await take()).length, 1)
})

test('an empty one is removed, with its folder', async t => {
  const { logs, folder } = await registry(t)
  await logs.remove('queue', 'orders')
  assert.equal(existsSync(folder), false)
  assert.throws(() => logs.log('queue', 'orders'), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
})

test('a message that is acknowledged while its queue is removed is kept, and the queue with it', async t => {
  const { logs, disk, publish, take } = await registry(t)
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  disk.held = gate.promise
  disk.asked = asked.resolve
  const acknowledged = publish('late')
  await asked.promise
  const removed = assert.rejects(logs.remove('queue', 'orders'), { code: 'SIGNALBOX_LOG_NOT_EMPTY' })
  gate.resolve()
  await acknowledged
  await removed
  const [message] = await take()
  assert.equal(String(message!.content), 'late')
  await publish('next')
})
