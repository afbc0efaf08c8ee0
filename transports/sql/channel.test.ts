import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import type { Inbound } from '../../core/transport.ts'
import { turns, until, within } from '../../test/conformance/wait.ts'
import { MariadbServer, mariadbTest } from '../../test/servers/mariadb.ts'
import { PostgresServer, postgresTest } from '../../test/servers/postgresql.ts'
import { connect, openChannel } from './testing.ts'

const JOBS = {
  name: 'jobs',
  pending: { state: 'new' },
  done: { set: { state: 'done' }, momentColumn: 'done_at' },
  failed: { set: { state: 'failed' }, errorColumn: 'problem' },
}

describe('sql channel: PostgreSQL', postgresTest(), () => {
  let server: PostgresServer
  before(async () => {
    server = await PostgresServer.start()
  })
  after(() => server.close())

  async function jobs(t: TestContext, count: number) {
    const db = await connect(t, { ...server.options, tables: { jobs: ['id', 'state'] } })
    await db.execute('drop table if exists jobs')
    await db.execute(
      "create table jobs (id bigint primary key, state text default 'new', done_at timestamptz, problem text, attempts int, retry_at timestamptz)",
    )
    if (count > 0)
      await db.insert(
        'jobs',
        Array.from({ length: count }, (_, i) => ({ id: i + 1 })),
      )
    return db
  }

  test('rows are marked in the transaction of their settlement; two channels never take the same', async t => {
    const db = await jobs(t, 300)
    const got: number[] = []
    const handle = (message: Inbound) => got.push((message.payload as { id: number }).id)
    const options = { ...server.options, service: 'jobs.run', table: JOBS, batch: 20, runOn: 'everyWorker' }
    await Promise.all([openChannel(t, options, handle), openChannel(t, options, handle)])
    await until(
      async () => (await db.value("select count(*) from jobs where state = 'done'")) === 300,
      'all are done',
    )
    assert.deepEqual(
      got.toSorted((a, b) => a - b),
      Array.from({ length: 300 }, (_, i) => i + 1),
    )
    assert.equal(await db.value('select count(*) from jobs where done_at is null'), 0)
  })

  test('failures are retried with their attempts in the table, and marked when they are final', async t => {
    const db = await jobs(t, 3)
    const attempts: unknown[] = []
    const table = { ...JOBS, attemptsColumn: 'attempts', retryAtColumn: 'retry_at' }
    await openChannel(t, { ...server.options, table, maxAttempts: 3 }, ({ payload, attributes }) => {
      const { id } = payload as { id: number }
      if (id === 1) throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', "it's wrong'; drop table jobs; --")
      if (id === 2) {
        attempts.push(attributes.attempt)
        throw new SignalboxError('SIGNALBOX_OVERLOADED')
      }
    })
    await until(
      async () => (await db.value("select count(*) from jobs where state = 'new'")) === 0,
      'all are settled',
    )
    assert.deepEqual(attempts, [1, 2, 3])
    assert.deepEqual(await db.query('select id, state, problem, attempts from jobs order by id'), [
      {
        id: 1,
        state: 'failed',
        problem: "SIGNALBOX_REQUEST_REFUSED: it's wrong'; drop table jobs; --",
        attempts: 1,
      },
      {
        id: 2,
        state: 'failed',
        problem: 'SIGNALBOX_OVERLOADED: There is more work under way than this part of the bus accepts.',
        attempts: 3,
      },
      { id: 3, state: 'done', problem: null, attempts: null },
    ])
  })

  test('a query of the user with its own statements', async t => {
    const db = await jobs(t, 5)
    const query = {
      select: "select * from jobs where state = 'new' order by id limit :limit for update skip locked",
      onSuccess: "update jobs set state = 'ok', done_at = :now where id = :id",
      onFailure:
        "update jobs set state = 'bad', problem = :error_code || ' after ' || :attempt::text where id = :id",
    }
    await openChannel(t, { ...server.options, query, maxAttempts: 2 }, ({ payload }) => {
      if ((payload as { id: number }).id === 4) throw new SignalboxError('SIGNALBOX_OVERLOADED')
    })
    await until(
      async () => (await db.value("select count(*) from jobs where state = 'new'")) === 0,
      'all are settled',
    )
    assert.deepEqual(await db.query("select id, problem from jobs where state <> 'ok'"), [
      { id: 4, problem: 'SIGNALBOX_OVERLOADED after 2' },
    ])
  })

  test('NOTIFY wakes it long before its interval, and carries messages', async t => {
    const db = await jobs(t, 0)
    const got: unknown[] = []
    const polling = { ...server.options, table: JOBS, intervalMs: 3_600_000, wakeOn: 'jobs; "x"' }
    await openChannel(t, polling, ({ payload }) => got.push((payload as { id: number }).id))
    const heard: unknown[] = []
    const listen = { channels: ['news', 'Other "one"'], format: 'json' }
    const listener = await openChannel(t, { ...server.options, listen }, ({ payload, attributes }) =>
      heard.push([attributes.channel, payload]),
    )
    await db.insert('jobs', { id: 1 })
    await db.query('select pg_notify(:channel, :payload)', { channel: 'jobs; "x"', payload: '' })
    await until(() => got.length === 1, 'the row is taken')
    await db.query('select pg_notify(:channel, :payload)', { channel: 'Other "one"', payload: '{"a":1}' })
    await db.query('select pg_notify(:channel, :payload)', { channel: 'news', payload: 'no json' })
    await db.query('select pg_notify(:channel, :payload)', { channel: 'news', payload: '2' })
    await until(() => heard.length === 2, 'both arrive')
    assert.deepEqual(heard, [
      ['Other "one"', { a: 1 }],
      ['news', 2],
    ])
    await within(listener.drain(), 'drain')
  })

  test('nothing acknowledged is lost when the server is killed under traffic', async t => {
    const count = 2_000
    const db = await jobs(t, count)
    const handled = new Set<number>()
    const handle = ({ payload }: Inbound) => handled.add((payload as { id: number }).id)
    const options = { ...server.options, table: JOBS, batch: 10, pool: { max: 3 } }
    const lost = Promise.withResolvers<void>()
    const first = await openChannel(t, options, handle, { lost: () => lost.resolve() })
    await until(() => handled.size >= 100, 'there is traffic')
    await server.kill()
    await within(lost.promise, 'the channel says that it was lost')
    await within(first.close(), 'close')
    await db.close()
    await server.start()
    await openChannel(t, options, handle)
    const again = await connect(t, server.options)
    const open = () => again.value("select count(*) from jobs where state = 'new'")
    await until(async () => (await open()) === 0, 'all are done', 30_000)
    assert.equal(handled.size, count)
  })

  test('hostile rows are failures of their own', async t => {
    const db = await connect(t, server.options)
    await db.execute('drop table if exists raw')
    await db.execute('create table raw (id serial primary key, body text, headers text, cid text)')
    const headers = ['{"a":"b"}', '[1]', '{"a":1}', 'x', '{"__proto__":"x"}', null]
    for (const one of headers)
      await db.execute('insert into raw (body, headers, cid) values (:b, :h, :c)', {
        b: "'\0'".replace('\0', ''),
        h: one,
        c: 'c\r\nx',
      })
    const table = { name: 'raw', done: { delete: true }, failed: { delete: true } }
    const got: Inbound[] = []
    const columns = { payloadColumn: 'body', headersColumn: 'headers', cidColumn: 'cid' }
    await openChannel(t, { ...server.options, table, ...columns }, message => got.push(message))
    await until(async () => (await db.value('select count(*) from raw')) === 0, 'all are gone')
    assert.deepEqual(
      got.map(message => message.headers),
      [{ a: 'b' }, {}],
    )
  })

  describe('outbox', () => {
    async function outbox(t: TestContext) {
      const db = await connect(t, server.options)
      await db.execute('drop table if exists signalbox_outbox')
      await db.createOutbox()
      return db
    }

    test('a message is published if, and only if, its transaction is committed', async t => {
      const db = await outbox(t)
      await db.transaction(
        tx => tx.outbox({ to: 'topic/orders', key: 'k', payload: { big: 1 }, headers: { 'X-A': 'b' } }),
        { cid: 'cid-7', headers: { traceparent: '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01' } },
      )
      await db.transaction(tx => tx.outbox({ to: 'queue/raw', payload: Buffer.from([1, 2]), id: 'own' }))
      const undone = db.transaction(async tx => {
        await tx.outbox({ to: 'topic/orders', payload: 'never' })
        throw new Error('rolled back')
      })
      await assert.rejects(undone, /rolled back/)
      const got: Inbound[] = []
      await openChannel(t, { ...server.options, outbox: {} }, message => got.push(message))
      await until(
        async () => (await db.value('select count(*) from signalbox_outbox')) === 0,
        'all are published',
      )
      assert.equal(got.length, 2)
      const [first, second] = got
      assert.equal(first?.target, 'topic/orders')
      assert.equal(first?.cid, 'cid-7')
      assert.deepEqual(first?.payload, { big: 1 })
      assert.equal(first?.headers['x-a'], 'b')
      assert.equal(first?.headers['message-key'], 'k')
      assert.match(first?.headers['message-id'] ?? '', /^signalbox_outbox-\d+$/)
      assert.match(first?.traceparent ?? '', /^00-0123/)
      assert.deepEqual(second?.payload, Buffer.from([1, 2]))
      assert.equal(second?.headers['message-id'], 'own')
    })

    test('messages of a key keep their order through failures; others do not wait', async t => {
      const db = await outbox(t)
      await db.transaction(async tx => {
        for (let i = 0; i < 30; i++) await tx.outbox({ to: 'service/s', key: `k${i % 3}`, payload: i })
        await tx.outbox({ to: 'service/s', payload: 'no key' })
        await tx.outbox({ to: 'service/s', key: 'k0', payload: 'poison' })
        await tx.outbox({ to: 'service/s', key: 'k0', payload: 30 })
      })
      const done: unknown[] = []
      const options = { ...server.options, outbox: { keep: true }, batch: 7, maxAttempts: 50 }
      let failures = 0
      await openChannel(t, options, ({ payload }) => {
        if (payload === 'poison') throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED')
        if (Math.random() < 0.3 && failures++ < 60) throw new SignalboxError('SIGNALBOX_OVERLOADED')
        done.push(payload)
      })
      await until(
        async () => (await db.value("select count(*) from signalbox_outbox where state = 'new'")) === 0,
        'all are settled',
      )
      for (const key of [0, 1, 2]) {
        const own = done.filter(one => typeof one === 'number' && one % 3 === key) as number[]
        assert.deepEqual(
          own,
          own.toSorted((a, b) => a - b),
        )
      }
      assert.equal(done.length, 32)
      assert.equal(
        await db.value("select last_error from signalbox_outbox where state = 'failed'"),
        'SIGNALBOX_REQUEST_REFUSED: The service refuses the message because of what it says.',
      )
    })

    test('what is no message is refused before it is written, and no row may go where it must not', async t => {
      const db = await outbox(t)
      const bad = (message: unknown) =>
        assert.rejects(
          db.transaction(tx => tx.outbox(message as never)),
          (error: SignalboxError) => error.code === 'SIGNALBOX_MESSAGE_INVALID',
        )
      await bad({ to: 'channel/http/x' })
      await bad({ to: 'topic/../x y' })
      await bad({ to: 'topic/a', payload: 1n })
      await bad({ to: 'topic/a', payload: () => 1 })
      await bad({ to: 'topic/a', key: 'x'.repeat(256) })
      await bad({ to: 'topic/a', headers: { a: 1 } })
      await db.execute(
        "insert into signalbox_outbox (destination, payload) values ('channel/http/x', '1'), ('topic/a', '{'), ('topic/secret', '1')",
      )
      const got: Inbound[] = []
      await openChannel(
        t,
        { ...server.options, outbox: { keep: true, destinations: ['topic/a'] } },
        message => got.push(message),
      )
      await until(
        async () => (await db.value("select count(*) from signalbox_outbox where state = 'failed'")) === 3,
        'all are refused',
      )
      await turns()
      assert.equal(got.length, 0)
    })
  })

  test('options that contradict each other are refused with the reason', async t => {
    const refusals: [Record<string, unknown>, RegExp][] = [
      [{}, /exactly one of table/],
      [{ table: JOBS, listen: { channels: ['x'] } }, /exactly one of table/],
      [{ table: { ...JOBS, done: { set: { other: 1 } } } }, /table.done must set a column of pending/],
      [{ table: { ...JOBS, failed: {} } }, /table.failed must delete/],
      [{ table: JOBS, service: 'a', target: 'service/b' }, /both target and service/],
      [{ listen: { channels: ['x'] }, runOn: 'everyWorker' }, /one worker alone/],
      [{ dialect: 'sqlite', table: JOBS }, /needs databaseFile/],
      [{ dialect: 'mysql', table: JOBS, wakeOn: 'x' }, /need PostgreSQL/],
    ]
    for (const [options, reason] of refusals)
      await assert.rejects(
        openChannel(t, { ...server.options, ...options }, () => {}),
        (error: SignalboxError) => error.code === 'SIGNALBOX_OPTIONS_INVALID' && reason.test(error.message),
      )
  })
})

describe('sql channel: MariaDB', mariadbTest(), () => {
  let server: MariadbServer
  before(async () => {
    server = await MariadbServer.start()
  })
  after(() => server.close())

  test('an outbox, and a kill of the server under traffic', async t => {
    const db = await connect(t, server.options)
    await db.createOutbox()
    await db.transaction(async tx => {
      for (let i = 0; i < 600; i++) await tx.outbox({ to: 'topic/t', key: `k${i % 7}`, payload: i })
    })
    const handled: number[] = []
    const handle = ({ payload }: Inbound) => handled.push(payload as number)
    const lost = Promise.withResolvers<void>()
    const options = { ...server.options, outbox: {}, batch: 10 }
    const first = await openChannel(t, options, handle, { lost: () => lost.resolve() })
    await until(() => handled.length >= 100, 'there is traffic')
    await server.kill()
    await within(lost.promise, 'the channel says that it was lost')
    await within(first.close(), 'close')
    await db.close()
    await server.start()
    await openChannel(t, options, handle)
    const again = await connect(t, server.options)
    await until(
      async () => (await again.value('select count(*) from signalbox_outbox')) === 0,
      'all are published',
      30_000,
    )
    assert.equal(new Set(handled).size, 600)
    // What comes twice comes right after the first time; beside that the order of a key holds.
    for (let key = 0; key < 7; key++) {
      const own = [...new Set(handled.filter(one => one % 7 === key))]
      assert.deepEqual(
        own,
        own.toSorted((a, b) => a - b),
      )
    }
  })
})
