import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { viewConnection } from '../../core/telemetry/connection-view.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import { meterOf } from '../../core/telemetry/meters.ts'
import { turns, until, within } from '../../test/conformance/wait.ts'
import { MariadbServer, mariadbTest } from '../../test/servers/mariadb.ts'
import { PostgresServer, postgresTest } from '../../test/servers/postgresql.ts'
import type { SqlConnection } from './connection.ts'
import { sql } from './index.ts'
import { connect, newConnection } from './testing.ts'
import type { SqlTransaction } from './transaction.ts'

interface Product {
  name: string
  skip: { skip?: string | false }
  start(): Promise<{ options: Record<string, unknown>; close(): Promise<void> }>
  id: string
  /** A statement that takes a long time, and whether the server can give it up. */
  slow: string
  many: string
}

const PRODUCTS: readonly Product[] = [
  {
    name: 'PostgreSQL',
    skip: postgresTest(),
    start: () => PostgresServer.start(),
    id: 'serial primary key',
    slow: 'select pg_sleep(30)',
    many: "select i, repeat('x', 1000) as filler from generate_series(1, 150000) as i",
  },
  {
    name: 'MariaDB',
    skip: mariadbTest(),
    start: () => MariadbServer.start(),
    id: 'int auto_increment primary key',
    slow: 'select sleep(30)',
    many: "select seq as i, repeat('x', 1000) as filler from seq_1_to_150000",
  },
  {
    name: 'SQLite',
    skip: {},
    start: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'signalbox-sqlite-'))
      return {
        options: { dialect: 'sqlite', databaseFile: join(folder, 'test.db') },
        close: async () => rmSync(folder, { recursive: true, force: true }),
      }
    },
    id: 'integer primary key',
    slow: '',
    many: "with recursive s(i) as (select 1 union all select i + 1 from s where i < 150000) select i, printf('%.1000c', 'x') as filler from s",
  },
]

const TABLES = { items: ['id', 'name', 'amount'] }

function isCode(code: string) {
  return (error: unknown) => error instanceof SignalboxError && error.code === code
}

for (const { name, skip, start, id, slow, many } of PRODUCTS) {
  describe(`sql connection: ${name}`, skip, () => {
    let server: Awaited<ReturnType<Product['start']>>
    before(async () => {
      server = await start()
    })
    after(() => server.close())

    async function fresh(t: TestContext, options: Record<string, unknown> = {}): Promise<SqlConnection> {
      const db = await connect(t, { ...server.options, tables: TABLES, ...options })
      await db.execute('drop table if exists items')
      await db.execute(`create table items (id ${id}, name varchar(200) unique, amount bigint)`)
      return db
    }

    test('query, one, value, execute, with named and positional parameters and lists', async t => {
      const db = await fresh(t)
      const { rowCount } = await db.execute('insert into items (name, amount) values (:name, :amount)', {
        name: 'a',
        amount: 1,
      })
      assert.equal(rowCount, 1)
      await db.execute('insert into items (name, amount) values ($1, $2)', ['b', 2])
      assert.deepEqual(
        await db.query('select name from items where amount in (:...amounts) order by name', {
          amounts: [1, 2, 3],
        }),
        [{ name: 'a' }, { name: 'b' }],
      )
      assert.deepEqual(await db.one('select name, amount from items where name = :name', { name: 'b' }), {
        name: 'b',
        amount: 2,
      })
      assert.equal(await db.one('select name from items where name = :name', { name: 'c' }), undefined)
      assert.equal(await db.value('select count(*) from items'), 2)
      await assert.rejects(db.one('select * from items'), isCode('SIGNALBOX_CONFLICT'))
      await assert.rejects(db.query('select * from nowhere'), isCode('SIGNALBOX_SQL_FAILED'))
      await assert.rejects(
        db.execute('insert into items (name) values (:name)', { name: 'a' }),
        isCode('SIGNALBOX_SQL_CONSTRAINT'),
      )
    })

    test('values are exact', async t => {
      const db = await fresh(t)
      const values = [0, -1, Number.MAX_SAFE_INTEGER, 9007199254740993n, -9223372036854775808n]
      for (const [i, amount] of values.entries()) {
        await db.execute('insert into items (name, amount) values (:name, :amount)', { name: `${i}`, amount })
        assert.equal(await db.value('select amount from items where name = :name', { name: `${i}` }), amount)
      }
      const texts = await connect(t, { ...server.options, values: { bigints: 'string' } })
      assert.equal(await texts.value("select amount from items where name = '3'"), '9007199254740993')
    })

    test('inserts of many rows are all or nothing, and name tables and columns of the options only', async t => {
      const db = await fresh(t)
      const rows = Array.from({ length: 12_000 }, (_, i) => ({ name: `n${i}`, amount: i }))
      const inserted = await db.insert('items', rows, { returning: ['id'] })
      assert.equal(inserted.rowCount, rows.length)
      assert.equal(new Set(inserted.rows.map(row => row.id)).size, rows.length)
      await assert.rejects(
        db.insert('items', [...rows.slice(0, 1), { name: 'new', amount: 1 }]),
        isCode('SIGNALBOX_SQL_CONSTRAINT'),
      )
      assert.equal(await db.value('select count(*) from items'), rows.length)
      const bad = isCode('SIGNALBOX_SQL_STATEMENT_INVALID')
      await assert.rejects(db.insert('users', { name: 'x' }), bad)
      await assert.rejects(db.insert('items; drop table items', { name: 'x' }), bad)
      await assert.rejects(db.insert('items', { 'name) values (1); --': 'x' }), bad)
      await assert.rejects(db.insert('items', [{ name: 'x' }, { amount: 1 }]), bad)
      await assert.rejects(db.insert('__proto__', { name: 'x' }), bad)
      await assert.rejects(db.insert('items', { name: { toOperationNode: () => ({}) } }), bad)
    })

    test('a transaction is committed when its work ends well, and rolled back when it throws', async t => {
      const db = await fresh(t)
      const result = await db.transaction(async tx => {
        await tx.execute("insert into items (name) values ('in')")
        return tx.value('select count(*) from items')
      })
      assert.equal(result, 1)
      const failure = new Error('on purpose')
      let after: SqlTransaction | undefined
      await assert.rejects(
        db.transaction(async tx => {
          after = tx
          await tx.execute("insert into items (name) values ('out')")
          throw failure
        }),
        failure,
      )
      await assert.rejects(after!.query('select 1'), isCode('SIGNALBOX_USAGE'))
      assert.equal(await db.value('select count(*) from items'), 1)
    })

    test('a part of a transaction can fail alone', async t => {
      const db = await fresh(t)
      await db.transaction(async tx => {
        await tx.execute("insert into items (name) values ('kept')")
        const part = tx.savepoint(async () => {
          await tx.execute("insert into items (name) values ('undone')")
          await tx.execute("insert into items (name) values ('kept')")
        })
        await assert.rejects(part, isCode('SIGNALBOX_SQL_CONSTRAINT'))
        await tx.execute("insert into items (name) values ('also kept')")
      })
      assert.deepEqual(await db.query('select name from items order by name'), [
        { name: 'also kept' },
        { name: 'kept' },
      ])
    })

    test('a transaction is rolled back at its time limit and when its call is aborted', async t => {
      const db = await fresh(t)
      const hanging = async (tx: SqlTransaction) => {
        await tx.execute("insert into items (name) values ('x')")
        await new Promise(() => {})
      }
      await assert.rejects(db.transaction(hanging, { timeoutMs: 50 }), isCode('SIGNALBOX_TIMEOUT_DEADLINE'))
      const call = new AbortController()
      const aborted = db.transaction(
        async tx => {
          await tx.execute("insert into items (name) values ('y')")
          call.abort()
          await new Promise(() => {})
        },
        { signal: call.signal },
      )
      await assert.rejects(aborted, isCode('SIGNALBOX_CANCELLED'))
      assert.equal(await within(db.value('select count(*) from items'), 'no lock is left'), 0)
    })

    test('a stream reads ahead no more than its batch, and gives its session back', async t => {
      const db = await fresh(t, { pool: { max: 1, acquireTimeoutMs: 2_000 }, streamBatch: 100 })
      let count = 0
      for await (const row of await db.stream<{ i: number }>(many)) {
        assert.equal(row.i, ++count)
        if (count === 250) break
      }
      assert.equal(await db.value('select 1'), 1)
      const before = process.memoryUsage().rss
      const slowly = await db.stream<{ i: number }>(many)
      count = 0
      for await (const row of slowly) {
        assert.equal(row.i, ++count)
        // Nobody reads for a moment: what the server could send in it must not pile up here.
        if (count === 1) await turns(2_000)
        if (count === 1)
          assert.ok(process.memoryUsage().rss - before < 100e6, 'rows of 150 MB do not pile up')
        if (count === 2_000) break
      }
      await assert.rejects(db.stream('select * from nowhere'), isCode('SIGNALBOX_SQL_FAILED'))
      const abandoned = await db.stream(many, [], { timeoutMs: 30 })
      assert.equal(await db.value('select 1'), 1)
      await assert.rejects(async () => {
        for await (const row of abandoned) assert.ok(row)
      }, isCode('SIGNALBOX_TIMEOUT_DEADLINE'))
    })

    test('in a transaction a stream has the session to itself', async t => {
      const db = await fresh(t)
      await db.transaction(async tx => {
        for await (const row of await tx.stream(many)) {
          assert.ok(row)
          await assert.rejects(tx.query('select 1'), isCode('SIGNALBOX_USAGE'))
          break
        }
      })
    })

    test('a full pool refuses in time, and a released session is used again', async t => {
      const db = await fresh(t, { pool: { max: 1, acquireTimeoutMs: 30 } })
      await db.transaction(async () => {
        const error = await db.query('select 1').catch(thrown => thrown)
        assert.equal(error.code, 'SIGNALBOX_OVERLOADED')
        assert.equal(error.retryable, true)
      })
      assert.equal(await db.value('select 1'), 1)
    })

    test('named queries and the query builder go the same way', async t => {
      const folder = mkdtempSync(join(tmpdir(), 'signalbox-queries-'))
      t.after(() => rmSync(folder, { recursive: true }))
      writeFileSync(
        join(folder, 'items.sql'),
        '-- all about items\n-- name: item_named\nselect name\nfrom items -- :no\nwhere name = :name;\n\n-- name: add-item\ninsert into items (name, amount) values (:name, :amount);\n',
      )
      const db = await fresh(t, { queriesFolder: folder, sendQuery: 'add-item' })
      const sent = await db.send({ payload: { name: 'sent', amount: 3, other: 1 } })
      assert.equal((sent.payload as { rowCount: number }).rowCount, 1)
      assert.deepEqual(await db.named('item_named', { name: 'sent' }), [{ name: 'sent' }])
      assert.equal(await db.value({ name: 'item_named' }, { name: 'sent' }), 'sent')
      await assert.rejects(db.named('item_nmed'), /did you mean 'item_named'/)
      const builder = db.kysely<{ items: { name: string; amount: number } }>()
      await builder.insertInto('items').values({ name: "it's", amount: 7 }).execute()
      await db.transaction(async tx => {
        const inTransaction = tx.kysely<{ items: { name: string; amount: number } }>()
        await inTransaction.updateTable('items').set({ amount: 8 }).where('name', '=', "it's").execute()
      })
      const found = await builder.selectFrom('items').select('amount').where('name', '=', "it's").execute()
      assert.deepEqual(found, [{ amount: 8 }])
    })

    test('slow statements are logged without their values', async t => {
      const lines: { data: object; message: string | undefined }[] = []
      const log: Logger = { ...silentLogger, warn: (data, message) => lines.push({ data, message }) }
      const db = await connect(t, { ...server.options, slowQueryMs: 0 }, { log })
      await db.query('select :secret as s', { secret: 'hunter2' }, { cid: 'cid-1' })
      const [line] = lines
      assert.equal(line?.message, 'slow statement')
      assert.match(JSON.stringify(line?.data), /select :secret as s.*cid-1/)
      assert.ok(!JSON.stringify(lines).includes('hunter2'))
    })

    test('init statements come first in each session, and a wrong one is an error of connect', async t => {
      const wrong = newConnection(t, { ...server.options, initStatements: ['select nothing from nowhere'] })
      await assert.rejects(wrong.connect(), (error: SignalboxError) => /nowhere|syntax/.test(error.message))
    })

    test('closing ends what runs', async t => {
      const db = await fresh(t)
      const begun = Promise.withResolvers<void>()
      const open = db.transaction(async tx => {
        await tx.execute("insert into items (name) values ('z')")
        begun.resolve()
        await new Promise(() => {})
      })
      await within(begun.promise, 'it began')
      const outcome = assert.rejects(open, isCode('SIGNALBOX_NOT_CONNECTED'))
      await within(db.close(), 'close')
      await outcome
    })

    if (name !== 'SQLite') {
      test('stored procedures of the options, and no others', async t => {
        const db = await fresh(t, { procedures: ['twice', 'items'] })
        await db.execute('drop procedure if exists twice')
        await db.execute(
          name === 'MariaDB'
            ? 'create procedure twice(in n int) select n * 2 as result'
            : 'create procedure twice(n int, inout result int) language plpgsql as $$ begin result := n * 2; end $$',
        )
        const { rows } = await db.call('twice', name === 'MariaDB' ? [21] : [21, null])
        assert.deepEqual(rows, [{ result: 42 }])
        await assert.rejects(db.call('twise', [1]), /did you mean 'twice'/)
        await assert.rejects(
          db.call('twice(1); drop table items; --', []),
          isCode('SIGNALBOX_SQL_STATEMENT_INVALID'),
        )
      })

      test('a transaction ends with the call of the service that it belongs to', async t => {
        const db = await fresh(t)
        const about = { meter: meterOf('connection', 'db', 'sql'), transport: sql as never }
        const call = new AbortController()
        const view = viewConnection(db, about, {
          cid: 'c',
          trace: undefined,
          signal: call.signal,
        }) as SqlConnection
        const begun = Promise.withResolvers<void>()
        const open = view.transaction(async tx => {
          await tx.execute("insert into items (name) values ('x')")
          begun.resolve()
          await new Promise(() => {})
        })
        await within(begun.promise, 'it began')
        call.abort(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE'))
        await assert.rejects(open, isCode('SIGNALBOX_TIMEOUT_DEADLINE'))
        assert.equal(await db.value('select count(*) from items'), 0)
      })
    }

    if (slow !== '') {
      test('the server gives up a statement at its time limit and when its call is aborted', async t => {
        const db = await fresh(t, { pool: { max: 2 } })
        const isRunning = `select count(*) from ${name === 'MariaDB' ? 'information_schema.processlist where info' : "pg_stat_activity where state = 'active' and query"} like :text`
        const running = async () => Number(await db.value(isRunning, { text: `${slow.slice(0, 12)}%` }))
        const startedAt = performance.now()
        await assert.rejects(db.query(slow, [], { timeoutMs: 100 }), isCode('SIGNALBOX_TIMEOUT_DEADLINE'))
        await until(async () => (await running()) === 0, 'it has ended on the server')
        const call = new AbortController()
        const aborted = db.query(slow, [], { signal: call.signal })
        const outcome = assert.rejects(aborted, isCode('SIGNALBOX_CANCELLED'))
        await until(async () => (await running()) === 1, 'it runs')
        call.abort()
        await outcome
        await until(async () => (await running()) === 0, 'it has ended on the server')
        assert.ok(performance.now() - startedAt < 20_000)
        assert.equal(await db.value('select 1'), 1)
      })
    }
  })
}
