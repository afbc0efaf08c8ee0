/** What a connection can do, and how it fails. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import { rejection } from '../../test/conformance/scenario.ts'
import { deferred, until, within } from '../../test/conformance/wait.ts'
import { RedisServer } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { entriesOf, makeConnection, startChannel, startConnection } from './redis-test-kit.ts'

const ACL = '--user default off --user reader on >secret ~app:* +get +ping +client'.split(' ')

describe('redis connection', serverTest('redis-server'), () => {
  let server: RedisServer
  let outside: Redis
  before(async () => {
    server = await RedisServer.start({ args: ['--proto-max-bulk-len', '1mb'] })
    outside = server.client()
  })
  after(async () => {
    outside.disconnect()
    await server.close()
  })

  const options = (more: Record<string, unknown> = {}) => ({ url: server.url, keyPrefix: 'app:', ...more })

  test('send goes where the attributes say, and says what came of it', async t => {
    const connection = await startConnection(t, options())
    const key = randomUUID()
    const payload = { id: 7 }
    const headers = { 'X-A': 'b' }
    const send = (attributes: Record<string, unknown>) =>
      connection.send({ payload, headers, attributes, cid: 'c' })
    const added = await send({ stream: key })
    const pushed = await send({ list: `${key}-list` })
    const published = await send({ channel: key })
    const [entry] = await entriesOf(outside, `app:${key}`)
    assert.deepEqual(entry, { payload: '{"id":7}', 'x-a': 'b', 'content-type': 'application/json', cid: 'c' })
    assert.match(added.headers['entry-id']!, /^\d+-\d+$/)
    assert.deepEqual([pushed.headers, pushed.cid], [{ length: '1' }, 'c'])
    assert.deepEqual(published.headers, { receivers: '0' })
    for (const attributes of [
      {},
      { stream: key, list: key },
      { stream: 7 },
      { stream: '' },
      { list: key, end: 'top' },
      { stream: key, maxLen: -1 },
    ])
      await rejection(send(attributes), JSON.stringify(attributes), 'SIGNALBOX_USAGE')
    const named = connection.send({ payload, headers: { payload: 'x' }, attributes: { stream: key } })
    await rejection(named, 'a header named as the payload', 'SIGNALBOX_USAGE')
  })

  test('what a connection adds, a channel of the bus receives as it was', async t => {
    const connection = await startConnection(t, options())
    const key = randomUUID()
    const stream = { name: key, group: 'g', start: '0' }
    const channel = await startChannel(t, { ...options(), stream })
    await connection.xadd(key, { total: 1.5 }, { headers: { traceparent: 'tp' }, cid: 'c-2' })
    await connection.xadd(key, Buffer.from([0, 255]))
    await connection.xadd(key, '<a/>', { headers: { 'content-type': 'application/xml' } })
    await channel.count(3)
    const [json, bytes, xml] = channel.received
    assert.deepEqual([json!.payload, json!.cid, json!.traceparent], [{ total: 1.5 }, 'c-2', 'tp'])
    assert.deepEqual(bytes!.payload, Buffer.from([0, 255]))
    assert.equal(typeof xml!.payload, 'object')
  })

  test('a stream is kept short', async t => {
    const connection = await startConnection(t, options())
    const key = randomUUID()
    for (let i = 0; i < 1_000; i++) void connection.xadd(key, 'x', { maxLen: 100 })
    await connection.xadd(key, 'last', { maxLen: 100 })
    assert.ok((await outside.xlen(`app:${key}`)) < 400)
  })

  test('lists as queues: push, pop, and pop that waits', async t => {
    const connection = await startConnection(t, options({ maxBlocking: 1 }))
    const key = randomUUID()
    assert.equal(await connection.push(key, 'b'), 1)
    assert.equal(await connection.push(key, 'a', { end: 'left' }), 2)
    assert.equal(String(await connection.pop(key)), 'a')
    assert.equal(String(await connection.pop(key, { end: 'right' })), 'b')
    assert.equal(await connection.pop(key), undefined)
    assert.equal(await connection.pop(key, { waitMs: 20 }), undefined)
    const waiting = connection.pop(key, { waitMs: 5_000 })
    await until(async () => String(await outside.client('LIST')).includes('flags=b '), 'it waits')
    await rejection(connection.pop(key, { waitMs: 5_000 }), 'one too many', 'SIGNALBOX_OVERLOADED')
    // Others are not held up meanwhile.
    await connection.ping()
    await outside.rpush(`app:${key}`, 'came')
    assert.equal(String(await within(waiting, 'the message')), 'came')
    const abort = new AbortController()
    const given = connection.pop(key, { waitMs: 5_000, signal: abort.signal })
    await until(async () => String(await outside.client('LIST')).includes('flags=b '), 'it waits')
    abort.abort()
    await rejection(given, 'given up', 'SIGNALBOX_CANCELLED')
    await until(async () => !String(await outside.client('LIST')).includes('flags=b '), 'the link is cut')
    await outside.rpush(`app:${key}`, 'kept')
    assert.equal(String(await connection.pop(key)), 'kept')
  })

  test('values: kept for a time, made once, deleted by name and by prefix', async t => {
    const connection = await startConnection(t, options())
    const prefix = `${randomUUID()}[x]*:`
    const key = `${prefix}a`
    assert.equal(await connection.get(key), undefined)
    await connection.set(key, { n: 1, list: [null, 'x'] }, { ttlMs: 60_000 })
    assert.deepEqual(await connection.get(key), { n: 1, list: [null, 'x'] })
    assert.ok((await outside.pttl(`app:${key}`)) > 50_000)
    const gate = deferred()
    let made = 0
    const make = async () => {
      made++
      await gate.promise
      return { made }
    }
    const wanted = Array.from({ length: 20 }, () => connection.getOrSet(`${prefix}b`, make))
    await until(() => made === 1, 'one is making it')
    gate.resolve()
    assert.deepEqual(await Promise.all(wanted), Array(20).fill({ made: 1 }))
    assert.deepEqual(await connection.getOrSet(`${prefix}b`, make), { made: 1 })
    const failing = () => Promise.reject(new SignalboxError('SIGNALBOX_OVERLOADED', 'not now'))
    await rejection(connection.getOrSet(`${prefix}c`, failing), 'the failure', 'SIGNALBOX_OVERLOADED')
    assert.equal(await connection.getOrSet(`${prefix}c`, () => 5), 5)
    await rejection(connection.set(key, undefined), 'undefined', 'SIGNALBOX_CODEC_UNENCODABLE')
    await outside.set(`app:${key}`, 'no json')
    await rejection(connection.get(key), 'no JSON', 'SIGNALBOX_FORMAT_INVALID')
    assert.equal(await connection.delete([key, `${prefix}none`]), 1)
    for (let i = 0; i < 1_200; i++) void connection.set(`${prefix}${i}`, i)
    await connection.set(`other:${prefix}`, 1)
    await outside.set(`${prefix}foreign`, '1')
    const found = await all(connection.scan(prefix))
    assert.equal(found.length, 1_202)
    assert.ok(found.every(name => name.startsWith(prefix)))
    assert.equal(await connection.deleteByPrefix(prefix), 1_202)
    assert.equal(await outside.exists(`app:other:${prefix}`, `${prefix}foreign`), 2)
    await rejection(connection.deleteByPrefix(''), 'everything', 'SIGNALBOX_USAGE')
    assert.doesNotMatch(await outside.info('commandstats'), /cmdstat_keys:/)
  })

  test('a lock: one holder at a time, renewed while it works, noticed when it is lost', async t => {
    const [one, two] = [await startConnection(t, options()), await startConnection(t, options())]
    const name = randomUUID()
    const gate = deferred()
    const held = one.lock(name, () => gate.promise, { ttlMs: 120 })
    await until(async () => (await outside.exists(`app:lock:${name}`)) === 1, 'it is held')
    const refused = await rejection(
      two.lock(name, async () => 1),
      'taken',
      'SIGNALBOX_CONFLICT',
    )
    assert.equal(refused.retryable, true)
    // Longer than it lives without a renewal.
    const renewals = async () =>
      Number(/cmdstat_pexpire:calls=(\d+)/.exec(await outside.info('commandstats'))?.[1] ?? 0)
    const enough = (await renewals()) + 5
    await until(async () => (await renewals()) >= enough, 'it is renewed')
    const next = two.lock(name, async ({ token }) => token, { waitMs: 5_000 })
    gate.resolve()
    await held
    assert.match(await within(next, 'the next holder'), /^[0-9a-f]{32}$/)
    assert.equal(await outside.exists(`app:lock:${name}`), 0)
    await one.lock(
      name,
      async ({ signal }) => {
        await outside.set(`app:lock:${name}`, 'thief')
        await until(() => signal.aborted, 'the loss is noticed')
      },
      { ttlMs: 60 },
    )
    assert.equal(await outside.get(`app:lock:${name}`), 'thief')
  })

  test('transactions are executed as a whole or not at all; pipelines say what failed', async t => {
    const connection = await startConnection(t, options())
    const key = randomUUID()
    const replies = await connection.transaction(commands => commands.incr(key).incr(key).get(key))
    assert.deepEqual(replies, [1, 2, '2'])
    const broken = connection.transaction(commands => {
      commands.incr(key)
      commands.call('nonsense')
    })
    await rejection(broken, 'a broken transaction', 'SIGNALBOX_OPERATION_REFUSED')
    assert.equal(await outside.get(`app:${key}`), '2')
    await rejection(
      connection.pipeline(commands => commands.set(key, 'text').incr(key)),
      'a broken pipeline',
      'SIGNALBOX_OPERATION_REFUSED',
    )
    assert.equal(await connection.client.get(key), 'text')
  })

  test('names of any bytes are names, not commands', async t => {
    const connection = await startConnection(t, options())
    const key = `a\r\nFLUSHALL\r\n\0"' {é} ${randomUUID()}`
    await connection.set(key, 'v')
    await connection.xadd(`${key}s`, 'v', { headers: { 'x\r\ny': 'a\r\nSHUTDOWN\r\n' } })
    assert.equal(await connection.get(key), 'v')
    assert.equal((await entriesOf(outside, `app:${key}s`))[0]!['x\r\ny'], 'a\r\nSHUTDOWN\r\n')
    assert.deepEqual((await all(connection.scan(key))).toSorted(), [key, `${key}s`].toSorted())
  })

  test('a payload that is too large is refused here; one that the server refuses is an error, and the link is opened anew', async t => {
    const small = await startConnection(t, options({ maxPayloadBytes: 100 }))
    await rejection(small.push('x', 'y'.repeat(101)), 'too large', 'SIGNALBOX_FORMAT_LIMIT')
    const { connection, losses } = makeConnection(t, options())
    await connection.connect()
    await rejection(connection.push('x', Buffer.alloc(2 << 20)), 'larger than the server takes')
    await until(() => losses.length > 0, 'the server cut the link')
  })

  test('a server that says nothing: the command fails in time, then the link is lost', async t => {
    const frozen = await RedisServer.start({ durable: false })
    t.after(() => frozen.close())
    const { connection, losses } = makeConnection(t, { url: frozen.url, commandTimeoutMs: 150 })
    await connection.connect()
    frozen.signal('SIGSTOP')
    const error = await rejection(connection.get('x'), 'no reply')
    assert.ok(['SIGNALBOX_TIMEOUT_DEADLINE', 'SIGNALBOX_NOT_CONNECTED'].includes(error.code), error.code)
    await until(() => losses.length > 0, 'the link is lost')
    const { connection: late } = makeConnection(t, { url: frozen.url, commandTimeoutMs: 150 })
    const refused = await rejection(late.connect(), 'connect')
    assert.equal(refused.retryable, true)
  })

  test('operations that wait for replies are bounded; a caller may give up, or set a limit', async t => {
    const { connection } = makeConnection(t, options({ maxInFlight: 2 }))
    await connection.connect()
    server.signal('SIGSTOP')
    try {
      const abort = new AbortController()
      const given = connection.get('x', { signal: abort.signal })
      const limited = connection.get('x', { timeoutMs: 20 })
      const extra = connection.get('x')
      await rejection(extra, 'one too many', 'SIGNALBOX_OVERLOADED')
      abort.abort()
      await rejection(given, 'given up', 'SIGNALBOX_CANCELLED')
      await rejection(limited, 'the limit', 'SIGNALBOX_TIMEOUT_DEADLINE')
      const closed = connection.get('x')
      closed.catch(() => {})
      await within(connection.close(), 'close')
      await rejection(closed, 'closed while it waits', 'SIGNALBOX_NOT_CONNECTED')
    } finally {
      server.signal('SIGCONT')
    }
  })

  test('users: what the access control list forbids is said, and no password is in an error', async t => {
    const guarded = await RedisServer.start({ args: ACL, client: { username: 'reader', password: 'secret' } })
    t.after(() => guarded.close())
    const user = { url: guarded.url, username: 'reader', password: 'secret', keyPrefix: 'app:' }
    const connection = await startConnection(t, user)
    assert.equal(await connection.get('x'), undefined)
    const forbidden = await rejection(connection.set('x', 1), 'set', 'SIGNALBOX_OPERATION_REFUSED')
    assert.match(forbidden.message, /NOPERM/)
    assert.equal(forbidden.retryable, false)
    for (const wrong of [{ password: 'wrong-secret' }, { username: 'nobody' }]) {
      const { connection: refused } = makeConnection(t, { ...user, ...wrong })
      const error = await rejection(refused.connect(), 'connect', 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS')
      assert.equal(error.retryable, false)
      assert.doesNotMatch(
        JSON.stringify([error.toWire(), error.cause, Object.entries(error.cause!)]),
        /secret/,
      )
    }
    const anonymous = makeConnection(t, { url: guarded.url })
    await rejection(anonymous.connection.connect(), 'no login', 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS')
    const stream = { name: 'x', group: 'g' }
    await rejection(
      startChannel(t, { ...user, stream }),
      'a channel without rights',
      'SIGNALBOX_OPERATION_REFUSED',
    )
  })

  test('database, client name', async t => {
    const connection = await startConnection(t, options({ db: 3, clientName: 'my-bus' }))
    const key = randomUUID()
    await connection.set(key, 1)
    assert.equal(await outside.exists(`app:${key}`), 0)
    assert.match(String(await outside.client('LIST')), /name=my-bus .*db=3/)
    assert.equal(connection.endpoint(), `${server.url}/3`)
    assert.match(
      String(await startConnection(t, options()).then(() => outside.client('LIST'))),
      /name=signalbox-test /,
    )
  })
})

async function all(names: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = []
  for await (const name of names) found.push(name)
  return found
}
