/** A cluster of three masters, and a master that Sentinels replace. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { rejection } from '../../test/conformance/scenario.ts'
import { until } from '../../test/conformance/wait.ts'
import { freePort, startCluster, startSentinels } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { makeConnection, startChannel, startConnection } from './redis-test-kit.ts'

const FAILOVER_MS = 30_000

describe('redis topologies', serverTest('redis-server'), () => {
  test('a cluster: streams, lists, subscriptions, values, locks, whichever node has them', async t => {
    const cluster = await startCluster()
    t.after(() => cluster.close())
    const options = {
      cluster: { nodes: [`127.0.0.1:${await freePort()}`, ...cluster.nodes] },
      keyPrefix: 'app:',
    }
    const connection = await startConnection(t, options)
    const bare = await startConnection(t, { ...options, keyPrefix: '' })
    // Enough keys to meet every node.
    const keys = Array.from({ length: 12 }, () => randomUUID())
    for (const key of keys.slice(0, 4)) {
      const stream = await startChannel(
        t,
        { ...options, stream: { name: key, group: 'g', start: '0' } },
        message => {
          if (String(message.payload) === 'bad') throw new Error('bad')
        },
      )
      await connection.xadd(key, 'good')
      await connection.xadd(key, 'bad')
      await stream.count(2)
      await until(
        async () => (await bare.client.xlen(`{app:${key}}:dead`)) === 1,
        'the dead letter is written',
      )
      const list = await startChannel(t, { ...options, list: { name: `${key}-list` } })
      await connection.push(`${key}-list`, 'x')
      await list.count(1)
      await stream.channel.close()
      await list.channel.close()
    }
    const subscription = await startChannel(t, { ...options, pubsub: { channels: ['news'] } })
    await connection.publish('news', 'x')
    await subscription.count(1)
    await Promise.all(keys.map((key, i) => connection.set(`v:${key}`, i)))
    assert.deepEqual(await Promise.all(keys.map(key => connection.get(`v:${key}`))), [...keys.keys()])
    assert.equal(await connection.deleteByPrefix('v:'), keys.length)
    assert.equal(await connection.lock('one', async () => 'done'), 'done')
    assert.equal(
      String(await connection.pop('nothing', { waitMs: 20 }).then(value => value ?? 'none')),
      'none',
    )
    const { connection: wrong } = makeConnection(t, { ...options, db: 1 })
    await rejection(wrong.connect(), 'another database', 'SIGNALBOX_OPTIONS_INVALID')
  })

  test('a cluster that is gone is lost', async t => {
    const cluster = await startCluster()
    t.after(() => cluster.close())
    const options = { cluster: { nodes: cluster.nodes }, commandTimeoutMs: 1_000 }
    const { connection, losses } = makeConnection(t, options)
    await connection.connect()
    const channel = await startChannel(t, { ...options, stream: { name: 'x', group: 'g' } })
    await Promise.all(cluster.servers.map(server => server.kill()))
    await until(() => losses.length > 0 && channel.losses.length > 0, 'both are lost')
    const failed = await rejection(connection.ping(), 'ping')
    assert.equal(failed.retryable, true)
    const { connection: again } = makeConnection(t, options)
    assert.equal((await rejection(again.connect(), 'connect')).code, 'SIGNALBOX_CONNECT_FAILED')
  })

  test('Sentinel: the master dies under traffic, the next one is found, what it had is handled', async t => {
    const group = await startSentinels()
    t.after(() => group.close())
    const sentinel = { name: 'mymaster', nodes: group.nodes }
    const stream = { name: 's', group: 'g', start: '0', claimIdleMs: 500 }
    const options = { sentinel, commandTimeoutMs: 1_000 }
    const first = makeConnection(t, options)
    await first.connection.connect()
    const channel = await startChannel(t, { ...options, stream })
    await first.connection.xadd('s', 'before')
    await channel.count(1)
    // What Sentinel promises is that of asynchronous replication: this one has reached the replicas.
    await first.connection.client.set('kept', 'yes')
    await until(async () => (await first.connection.client.wait(2, 200)) === 2, 'the replicas have it')
    await group.master.kill()
    await until(() => first.losses.length > 0 && channel.losses.length > 0, 'the loss is noticed')
    await channel.channel.close()
    let next = makeConnection(t, options).connection
    await until(
      async () => {
        next = makeConnection(t, options).connection
        return next.connect().then(
          () => true,
          () => false,
        )
      },
      'the next master',
      FAILOVER_MS,
    )
    assert.equal(await next.client.get('kept'), 'yes')
    const again = await startChannel(t, { ...options, stream })
    await next.xadd('s', 'after')
    await again.count(1)
    assert.equal(again.texts().at(-1), 'after')
  })

  test('Sentinel: a name that it does not know, and Sentinels that are not there', async t => {
    const nodes = [`127.0.0.1:${await freePort()}`]
    const { connection } = makeConnection(t, { sentinel: { name: 'nobody', nodes } })
    const error = await rejection(connection.connect(), 'connect', 'SIGNALBOX_CONNECT_FAILED')
    assert.equal(error.retryable, true)
  })
})
