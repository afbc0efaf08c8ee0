/** Lists: order, dead letters, and what becomes of messages whose worker or server dies. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import { deferred, until, within } from '../../test/conformance/wait.ts'
import { RedisServer } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { entriesOf, startChannel } from './redis-test-kit.ts'

describe('redis lists', serverTest('redis-server'), () => {
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

  const options = (key: string, list: Record<string, unknown> = {}, more: Record<string, unknown> = {}) => ({
    url: server.url,
    list: { name: key, redeliveryDelayMs: 5, claimIdleMs: 200, ...list },
    ...more,
  })

  test('messages are taken from the end that is wanted', async t => {
    const [left, right] = [randomUUID(), randomUUID()]
    await outside.rpush(left, 'a', 'b', 'c')
    await outside.rpush(right, 'a', 'b', 'c')
    const fromLeft = await startChannel(t, options(left), undefined, 'left')
    const fromRight = await startChannel(t, options(right, { from: 'right' }), undefined, 'right')
    await Promise.all([fromLeft.count(3), fromRight.count(3)])
    assert.deepEqual(fromLeft.texts(), ['a', 'b', 'c'])
    assert.deepEqual(fromRight.texts(), ['c', 'b', 'a'])
    assert.deepEqual(fromLeft.received[0]!.attributes, { destination: left, list: left, attempt: 1 })
  })

  test('what cannot be handled goes to the dead letters with the reason; equal messages are told apart', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key, { maxDeliveries: 2 }), (message, delivery) => {
      if (delivery === 1) throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'not this')
      if (String(message.payload) === 'bad') throw new SignalboxError('SIGNALBOX_OVERLOADED', 'later')
    })
    await outside.rpush(key, 'same', 'same', 'bad')
    const dead = `{${key}}:dead`
    await until(async () => (await outside.xlen(dead)) === 2, 'the dead letters')
    const letters = await entriesOf(outside, dead)
    const about = letters.map(letter => [letter.payload, letter['dead-code'], letter['dead-deliveries']])
    assert.deepEqual(about, [
      ['same', 'SIGNALBOX_REQUEST_REFUSED', '1'],
      ['bad', 'SIGNALBOX_OVERLOADED', '2'],
    ])
    assert.equal(channel.received.length, 4)
    await until(async () => (await outside.keys(`{${key}}:under-way:*`)).length === 0, 'nothing is under way')
  })

  test('messages of a worker that is gone go back to the list, in their order', async t => {
    const key = randomUUID()
    await outside.rpush(key, 'c')
    await outside.rpush(`{${key}}:under-way:gone`, 'a', 'b')
    const [seconds] = await outside.time()
    await outside.zadd(`{${key}}:workers`, String((Number(seconds) - 60) * 1000), 'gone')
    const channel = await startChannel(t, options(key), undefined, 'heir')
    await channel.count(3)
    assert.deepEqual(channel.texts(), ['a', 'b', 'c'])
    assert.equal(await outside.zscore(`{${key}}:workers`, 'gone'), null)
  })

  test('messages of a worker that is alive stay with it', async t => {
    const key = randomUUID()
    const gate = deferred()
    const first = await startChannel(t, options(key, { claimIdleMs: 150 }), () => gate.promise, 'first')
    await outside.rpush(key, 'slow')
    await first.count(1)
    const second = await startChannel(t, options(key, { claimIdleMs: 150 }), undefined, 'second')
    const rounds = async () =>
      Number(/cmdstat_zrangebyscore:calls=(\d+)/.exec(await outside.info('commandstats'))?.[1])
    const enough = (await rounds()) + 20
    await until(async () => (await rounds()) >= enough, 'several looks at who is alive')
    assert.equal(second.received.length, 0)
    gate.resolve()
    await until(async () => (await outside.keys(`{${key}}:under-way:*`)).length === 0, 'it is settled')
  })

  test('a drain puts back what waits for another try', async t => {
    const key = randomUUID()
    const slow = { redeliveryDelayMs: 60_000, maxRedeliveryDelayMs: 60_000 }
    const channel = await startChannel(t, options(key, slow), () => {
      throw new SignalboxError('SIGNALBOX_OVERLOADED')
    })
    await outside.rpush(key, 'a', 'b')
    await channel.count(2)
    await within(channel.channel.drain(), 'drain')
    assert.deepEqual(await outside.lrange(key, 0, -1), ['a', 'b'])
  })

  test('the server killed under traffic: nothing acknowledged is lost, nothing is left over', async t => {
    const key = randomUUID()
    const handled = new Set<string>()
    const accepted: string[] = []
    const writing = (async () => {
      for (let i = 0; i < 500; i++) {
        const payload = `message ${i}`
        try {
          await outside.rpush(key, payload)
          accepted.push(payload)
        } catch {
          // Not accepted, so it may be lost. The client connects again.
          await new Promise(resolve => setTimeout(resolve, 2))
        }
      }
    })()
    const open = () => startChannel(t, options(key), message => handled.add(String(message.payload)))
    let channel = await open()
    for (let round = 0; round < 2; round++) {
      await channel.count(30)
      await server.kill()
      await until(() => channel.losses.length > 0, 'the loss is noticed')
      await channel.channel.close()
      await server.start()
      channel = await open()
    }
    await writing
    await until(() => accepted.every(payload => handled.has(payload)), 'all that was accepted is handled')
    await until(async () => (await outside.keys(`{${key}}:under-way:*`)).length === 0, 'all is settled')
    assert.ok(accepted.length > 100)
  })
})
