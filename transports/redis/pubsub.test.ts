/** Subscriptions: channels and patterns, failures, back-pressure, a server that says nothing. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import { deferred, turns, until, within } from '../../test/conformance/wait.ts'
import { RedisServer } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { redis } from './index.ts'
import { startChannel } from './redis-test-kit.ts'

describe('redis subscriptions', serverTest('redis-server'), () => {
  let server: RedisServer
  let outside: Redis
  before(async () => {
    server = await RedisServer.start()
    outside = server.client()
  })
  after(async () => {
    outside.disconnect()
    await server.close()
  })

  test('channels and patterns, with a prefix that is itself no pattern', async t => {
    const channel = await startChannel(t, {
      url: server.url,
      keyPrefix: 'app[1]*:',
      pubsub: { channels: ['news'], patterns: ['orders.*'] },
      contentType: 'application/json',
    })
    await outside.publish('app[1]*:news', '1')
    await outside.publish('app1x:orders.new', '2')
    await outside.publish('app[1]*:orders.new', '3')
    await outside.publish('app[1]*:other', '4')
    await channel.count(2)
    await turns()
    const about = channel.received.map(({ payload, attributes }) => [payload, attributes])
    assert.deepEqual(about, [
      [1, { destination: 'news', channel: 'news' }],
      [3, { destination: 'orders.new', channel: 'orders.new', pattern: 'orders.*' }],
    ])
  })

  test('a message that fails is not delivered again, and harms no other', async t => {
    const channel = await startChannel(
      t,
      { url: server.url, pubsub: { channels: ['fail'] }, contentType: 'application/json' },
      (_message, delivery) => {
        if (delivery === 1) throw new SignalboxError('SIGNALBOX_OVERLOADED')
      },
    )
    for (const payload of ['1', 'no json', '2']) await outside.publish('fail', payload)
    await channel.count(2)
    await turns()
    assert.deepEqual(
      channel.received.map(({ payload }) => payload),
      [1, 2],
    )
  })

  test('a slow service: the socket is read no further, and nothing is lost meanwhile', async t => {
    const gate = deferred()
    const options = { url: server.url, pubsub: { channels: ['slow'], pingIntervalMs: 20 }, maxInFlight: 2 }
    const channel = await startChannel(t, options, () => gate.promise)
    const body = 'x'.repeat(64 * 1024)
    const count = 100
    for (let i = 0; i < count; i++) await outside.publish('slow', body)
    await channel.count(2)
    const behind = async () => /sub=1.*? omem=(\d+)/.exec(String(await outside.client('LIST')))?.[1]
    await until(async () => Number(await behind()) > 0, 'the server keeps what is not read')
    assert.equal(channel.received.length, 2)
    gate.resolve()
    await channel.count(count)
    assert.deepEqual(channel.losses, [])
  })

  test('drain settles what was taken', async t => {
    const gate = deferred()
    const options = { url: server.url, pubsub: { channels: ['drain'] }, maxInFlight: 1 }
    const channel = await startChannel(t, options, () => gate.promise)
    for (const payload of ['a', 'b', 'c']) await outside.publish('drain', payload)
    await channel.count(1)
    // The three came with one read or with several: those that were read are handled.
    const draining = channel.channel.drain()
    gate.resolve()
    await within(draining, 'drain')
    assert.equal(channel.texts()[0], 'a')
    const subscribers = async () => Number(((await outside.pubsub('NUMSUB', 'drain')) as unknown[])[1])
    await until(async () => (await subscribers()) === 0, 'nobody is subscribed')
  })

  test('a server that says nothing any more is noticed by the ping', async t => {
    const frozen = await RedisServer.start({ durable: false })
    t.after(() => frozen.close())
    const channel = await startChannel(t, {
      url: frozen.url,
      pubsub: { channels: ['x'], pingIntervalMs: 20 },
      commandTimeoutMs: 200,
    })
    frozen.signal('SIGSTOP')
    await until(() => channel.losses.length > 0, 'the loss is noticed')
    await assert.rejects(channel.channel.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
    await within(channel.channel.close(), 'close')
  })

  test('one subscription in the cluster, not one for each worker', () => {
    const placement = (options: object) => redis.channel!.placementOf!(options as never)
    assert.equal(placement({ pubsub: { channels: ['x'] } }), 'singleton')
    assert.equal(placement({ stream: { name: 'x', group: 'g' } }), 'everyWorker')
  })
})
