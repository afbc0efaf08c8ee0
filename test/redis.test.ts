/** The Redis example on a bus of two workers: streams, lists and subscriptions in, cache and streams out. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Redis } from 'ioredis'
import { type RunningProject, startProject } from '../cli/start.ts'
import { until } from './conformance/wait.ts'
import { RedisServer } from './servers/redis.ts'
import { serverTest } from './servers/require.ts'

const PROJECT = fileURLToPath(new URL('../examples/redis-orders', import.meta.url))

describe('redis on the bus', serverTest('redis-server'), () => {
  let server: RedisServer
  let outside: Redis
  let bus: RunningProject
  before(async () => {
    server = await RedisServer.start()
    outside = server.client()
    process.env.REDIS_URL = server.url
    bus = await startProject(PROJECT, { workers: 2 })
  })
  after(async () => {
    await bus.stop(2_000)
    outside.disconnect()
    await server.close()
  })

  const invoices = async () => {
    const entries = await outside.xrange('invoices', '-', '+')
    return entries.map(
      ([, fields]) => JSON.parse(fields[fields.indexOf('payload') + 1]!) as { id: number; total: number },
    )
  }
  const connected = async (name: string) => {
    const { workers } = await bus.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; connection?: string }[])
    return actors.filter(actor => actor.address === `channel/redis/${name}` && actor.connection === 'open')
      .length
  }

  test('each worker reads streams and lists; one of them subscribes', async () => {
    await until(async () => (await connected('prices')) === 1, 'the subscription')
    await until(async () => (await connected('orders')) === 2, 'orders in both workers')
    await until(async () => (await connected('jobs')) === 2, 'jobs in both workers')
    assert.equal(Number(await outside.pubsub('NUMPAT')), 1)
  })

  test('a published price is handled once, and used for the orders that follow', async () => {
    await outside.publish('prices.A-1', '12.5')
    await until(async () => (await outside.get('price:A-1')) === '12.5', 'the price')
    await outside.xadd('orders', '*', 'id', '7', 'sku', 'A-1', 'quantity', '3')
    await outside.rpush('jobs', '{"id":8,"sku":"A-1","quantity":1}')
    await until(async () => (await invoices()).length === 2, 'two invoices')
    const totals = (await invoices()).map(({ id, total }) => [id, total])
    assert.deepEqual(totals.toSorted(), [
      [7, 37.5],
      [8, 12.5],
    ])
    assert.equal(await outside.get('prices-seen'), '1')
  })

  test('what is no order goes to the dead letters with the reason', async () => {
    await outside.xadd('orders', '*', 'id', '9', 'sku', 'A-1', 'quantity', 'none')
    await until(async () => (await outside.xlen('{orders}:dead')) === 1, 'the dead letter')
    const [[, fields]] = (await outside.xrange('{orders}:dead', '-', '+')) as [[string, string[]]]
    const value = (name: string) => fields[fields.indexOf(name) + 1]
    assert.equal(value('dead-code'), 'SIGNALBOX_INPUT_INVALID')
    assert.match(value('dead-reason')!, /quantity/)
  })

  test('the server killed and started again under traffic: every order that was taken has its invoice', async () => {
    const accepted: number[] = []
    const sending = (async () => {
      for (let id = 100; id < 400; id++) {
        try {
          await outside.xadd('orders', '*', 'id', id, 'sku', 'A-1', 'quantity', '1')
          accepted.push(id)
        } catch {
          // Not taken. The client of the test connects again.
          await new Promise(resolve => setTimeout(resolve, 5))
        }
      }
    })()
    await until(() => accepted.length > 50, 'traffic')
    await server.kill()
    await server.start()
    await sending
    await until(async () => (await unsettled()) === 0, 'all is settled', 30_000)
    const done = new Set((await invoices()).map(({ id }) => id))
    assert.deepEqual(
      accepted.filter(id => !done.has(id)),
      [],
    )
  })

  const unsettled = async () => {
    const [info] = (await outside.xinfo('GROUPS', 'orders')) as unknown[][]
    return Number(info![info!.indexOf('lag') + 1]) + Number(info![info!.indexOf('pending') + 1])
  }
})
