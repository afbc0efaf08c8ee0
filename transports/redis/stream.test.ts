/** Streams: what happens to entries that fail, are stuck, are hostile, or meet a server that dies. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import { deferred, until, within } from '../../test/conformance/wait.ts'
import { RedisServer } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { entriesOf, startChannel } from './redis-test-kit.ts'

describe('redis streams', serverTest('redis-server'), () => {
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

  const options = (
    key: string,
    stream: Record<string, unknown> = {},
    more: Record<string, unknown> = {},
  ) => ({
    url: server.url,
    stream: { name: key, group: 'g', start: '0', redeliveryDelayMs: 5, claimIdleMs: 200, ...stream },
    ...more,
  })
  const pending = async (key: string) => Number(((await outside.xpending(key, 'g')) as [number])[0])

  const claims = async () =>
    Number(/cmdstat_xautoclaim:calls=(\d+)/.exec(await outside.info('commandstats'))?.[1] ?? 0)

  test('a new group begins with what comes from now on, unless it is told to begin earlier', async t => {
    const key = randomUUID()
    await outside.xadd(key, '*', 'payload', 'before')
    const later = await startChannel(t, options(key, { start: '$' }))
    await outside.xadd(key, '*', 'payload', 'after')
    await later.count(1)
    assert.deepEqual(later.texts(), ['after'])
    const all = await startChannel(t, options(key, { group: 'other' }))
    await all.count(2)
    assert.deepEqual(all.texts(), ['before', 'after'])
  })

  test('an entry without a payload field is an object; a media type says how to read one with it', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key))
    await outside.xadd(key, '*', 'id', '7', 'cid', 'c-1')
    await outside.xadd(
      key,
      '*',
      'payload',
      '{"id":7}',
      'Content-Type',
      'application/json; charset=UTF-8',
      'X-A',
      'b',
    )
    await channel.count(2)
    const [plain, json] = channel.received
    assert.deepEqual([plain!.payload, plain!.textAt, plain!.cid], [{ id: '7', cid: 'c-1' }, '', 'c-1'])
    assert.deepEqual(json!.payload, { id: 7 })
    assert.equal(json!.headers['x-a'], 'b')
    assert.equal(json!.target, 'service/test')
    assert.deepEqual([json!.attributes.stream, json!.attributes.attempt], [key, 1])
  })

  test('what cannot be handled goes to the dead letters with the reason, after its last delivery', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key, { maxDeliveries: 3 }), message => {
      const retryable = String(message.payload) === 'passing'
      throw new SignalboxError('SIGNALBOX_SERVICE_FAILED', `no ${message.payload}`, { retryable })
    })
    await outside.xadd(key, '*', 'payload', 'passing', 'x-a', 'b')
    const id = await outside.xadd(key, '*', 'payload', 'final')
    const dead = `{${key}}:dead`
    await until(async () => (await outside.xlen(dead)) === 2, 'two dead letters')
    assert.equal(channel.received.length, 4)
    const letters = await entriesOf(outside, dead)
    const final = letters.find(({ payload }) => payload === 'final')!
    const passing = letters.find(({ payload }) => payload === 'passing')!
    assert.equal(passing['dead-deliveries'], '3')
    assert.equal(passing['x-a'], 'b')
    assert.equal(final['dead-deliveries'], '1')
    assert.equal(final['dead-id'], id)
    assert.equal(final['dead-source'], key)
    assert.equal(final['dead-code'], 'SIGNALBOX_SERVICE_FAILED')
    assert.equal(final['dead-reason'], 'no final')
    await until(async () => (await pending(key)) === 0, 'both are acknowledged')
  })

  test('what cannot be read, or is too large, goes to the dead letters and never to the service', async t => {
    const key = randomUUID()
    const deadLetter = { stream: `${key}-dead`, maxLen: 0 }
    const channel = await startChannel(
      t,
      options(key, { deadLetter }, { maxPayloadBytes: 1_000, contentType: 'application/json' }),
    )
    await outside.xadd(key, '*', 'payload', '{"broken"')
    await outside.xadd(key, '*', 'payload', 'x'.repeat(2_000))
    await outside.xadd(key, '*', '__proto__', 'polluted')
    await outside.xadd(key, '*', 'payload', '{}', '__proto__', 'polluted')
    await outside.xadd(key, '*', 'payload', '{"__proto__":{"polluted":true}}')
    await outside.xadd(key, '*', 'payload', 'é', 'content-type', 'text/plain; charset=latin1')
    await outside.xadd(key, '*', 'payload', '"good"')
    await channel.count(1)
    assert.equal(channel.received[0]!.payload, 'good')
    await until(async () => (await outside.xlen(deadLetter.stream)) === 6, 'six dead letters')
    const codes = (await entriesOf(outside, deadLetter.stream)).map(letter => letter['dead-code'])
    assert.deepEqual(
      codes.toSorted(),
      [
        ...Array(4).fill('SIGNALBOX_FORMAT_INVALID'),
        'SIGNALBOX_FORMAT_LIMIT',
        'SIGNALBOX_FORMAT_UNSUPPORTED',
      ].toSorted(),
    )
    assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  })

  test('names and values of any bytes do no harm', async t => {
    const key = `hostile\r\nDEL x\r\n\0${randomUUID()}`
    const channel = await startChannel(t, options(key))
    const payload = Buffer.from('*1\r\n$8\r\nFLUSHALL\r\n\0\xff', 'latin1')
    await outside.xadd(
      key,
      '*',
      'payload',
      payload,
      'a\r\nb',
      'c\r\n\0d',
      'cid',
      'not\r\nprintable',
      'odd',
      'é',
    )
    await channel.count(1)
    const [message] = channel.received
    assert.ok(payload.equals(message!.payload as Buffer))
    assert.equal(message!.headers['a\r\nb'], 'c\r\n\0d')
    assert.equal(message!.cid, undefined)
  })

  test('what a consumer that is gone had taken is claimed, with its count of deliveries', async t => {
    const key = randomUUID()
    await outside.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
    for (const payload of ['stuck', 'worn out']) await outside.xadd(key, '*', 'payload', payload)
    const taken = await outside.xreadgroup('GROUP', 'g', 'gone', 'STREAMS', key, '>')
    const ids = (taken as unknown as [string, [string][]][])[0]![1].map(([id]) => id)
    await outside.call('xclaim', key, 'g', 'gone', 0, ids[1]!, 'RETRYCOUNT', 7, 'JUSTID')
    const channel = await startChannel(t, options(key, { maxDeliveries: 5 }))
    await channel.count(1)
    assert.deepEqual(channel.texts(), ['stuck'])
    assert.equal(channel.received[0]!.attributes.attempt, 2)
    await until(async () => (await outside.xlen(`{${key}}:dead`)) === 1, 'the dead letter')
    const [letter] = await entriesOf(outside, `{${key}}:dead`)
    assert.equal(letter!.payload, 'worn out')
    assert.equal(letter!['dead-code'], 'SIGNALBOX_WORKER_LOST')
    await until(async () => (await pending(key)) === 0, 'all is acknowledged')
  })

  test('what takes long is not claimed by others while it is worked on', async t => {
    const key = randomUUID()
    const gate = deferred()
    const first = await startChannel(t, options(key, { claimIdleMs: 150 }), () => gate.promise, 'first')
    await outside.xadd(key, '*', 'payload', 'slow')
    await first.count(1)
    const second = await startChannel(t, options(key, { claimIdleMs: 150 }), undefined, 'second')
    // Each of them looks for entries to claim three times within the idle time.
    const enough = (await claims()) + 20
    await until(async () => (await claims()) >= enough, 'several rounds of claiming')
    assert.equal(second.received.length, 0)
    gate.resolve()
    await until(async () => (await pending(key)) === 0, 'it is acknowledged')
  })

  test('a drain gives back what waits for another try, and another consumer has it at once', async t => {
    const key = randomUUID()
    const claimIdleMs = 3_000
    const first = await startChannel(
      t,
      options(key, { redeliveryDelayMs: 60_000, maxRedeliveryDelayMs: 60_000, claimIdleMs }),
      () => {
        throw new SignalboxError('SIGNALBOX_OVERLOADED')
      },
      'first',
    )
    await outside.xadd(key, '*', 'payload', 'again')
    await first.count(1)
    await within(first.channel.drain(), 'drain')
    await first.channel.close()
    const startedAt = performance.now()
    const second = await startChannel(t, options(key, { claimIdleMs }), undefined, 'second')
    await second.count(1)
    // It did not have to be idle for as long as what nobody gave back.
    assert.ok(performance.now() - startedAt < claimIdleMs)
    assert.equal(second.received[0]!.attributes.attempt, 2)
  })

  test('a consumer that has nothing leaves the group when it drains', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key, { consumer: 'house' }))
    await outside.xadd(key, '*', 'payload', 'x')
    await channel.count(1)
    const names = async () =>
      ((await outside.xinfo('CONSUMERS', key, 'g')) as unknown[][]).map(info => String(info[1]))
    assert.match((await names())[0]!, /^house-\d+-\d+-test$/)
    await channel.channel.drain()
    assert.deepEqual(await names(), [])
  })

  test('settled entries are deleted where that is wanted', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key, { deleteSettled: true }))
    for (let i = 0; i < 10; i++) await outside.xadd(key, '*', 'payload', String(i))
    await channel.count(10)
    await until(async () => (await outside.xlen(key)) === 0, 'the stream is empty')
  })

  test('a stream that is deleted begins anew', async t => {
    const key = randomUUID()
    const channel = await startChannel(t, options(key, {}, { blockMs: 50 }))
    await outside.del(key)
    await outside.xadd(key, '*', 'payload', 'new')
    await channel.count(1)
    assert.deepEqual(channel.texts(), ['new'])
    assert.deepEqual(channel.losses, [])
  })

  test('a key that is no stream is an error of its own, and no endless attempt', async t => {
    const key = randomUUID()
    await outside.set(key, 'text')
    await assert.rejects(startChannel(t, options(key)), {
      code: 'SIGNALBOX_OPERATION_REFUSED',
      retryable: false,
      message: /WRONGTYPE/,
    })
  })

  test('the server killed under traffic: nothing acknowledged is lost, nothing is left over', async t => {
    const key = randomUUID()
    const handled = new Set<string>()
    const accepted: string[] = []
    const writing = (async () => {
      for (let i = 0; i < 600; i++) {
        const payload = `message ${i}`
        try {
          await outside.xadd(key, '*', 'payload', payload)
          accepted.push(payload)
        } catch {
          // Not accepted, so it may be lost. The client connects again.
          await new Promise(resolve => setTimeout(resolve, 2))
        }
      }
    })()
    let channel = await startChannel(t, options(key), message => handled.add(String(message.payload)))
    for (let round = 0; round < 2; round++) {
      await channel.count(30)
      await server.kill()
      await until(() => channel.losses.length > 0, 'the loss is noticed')
      await channel.channel.close()
      await server.start()
      channel = await startChannel(t, options(key), message => handled.add(String(message.payload)))
    }
    await writing
    await until(() => accepted.every(payload => handled.has(payload)), 'all that was accepted is handled')
    await until(async () => (await pending(key)) === 0, 'all is acknowledged')
    assert.ok(accepted.length > 100)
  })
})
