/** Hostile values against real databases: each comes back as it was sent, and nothing else changes. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { MariadbServer, mariadbTest } from '../../test/servers/mariadb.ts'
import { PostgresServer, postgresTest } from '../../test/servers/postgresql.ts'
import type { SqlConnection } from './connection.ts'
import { connect } from './testing.ts'

const RUNS = 1_000

const PIECES = [
  "'",
  '"',
  '`',
  '\\',
  ';',
  '--',
  '/*',
  '*/',
  '#',
  '$1',
  '$$',
  ':v',
  '?',
  '%',
  '\n',
  '\r\n',
  ' or 1=1 ',
  'drop table victim',
  "');",
  '\x1a',
  '\u2019',
  '\uff07',
  '😀',
  'union select',
  "E'",
  '\\x27',
  '0x27',
]

/** Texts without NUL, which PostgreSQL has none of. */
const hostile = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map(pieces => pieces.join('')),
  fc.string({ unit: 'grapheme', maxLength: 60 }).map(text => text.replaceAll('\0', '')),
)

const PRODUCTS = [
  { name: 'PostgreSQL', skip: postgresTest(), start: () => PostgresServer.start() },
  { name: 'MariaDB', skip: mariadbTest(), start: () => MariadbServer.start() },
  {
    name: 'SQLite',
    skip: {},
    start: async () => ({ options: { dialect: 'sqlite' }, close: async () => {} }),
  },
]

for (const { name, skip, start } of PRODUCTS) {
  describe(`sql injection: ${name}`, skip, () => {
    let server: { options: Record<string, unknown>; close(): Promise<void> }
    before(async () => {
      server = await start()
    })
    after(() => server.close())

    test(`${RUNS} hostile texts by name, by position, in lists, inserts and the builder`, async t => {
      const db: SqlConnection = await connect(t, {
        ...server.options,
        tables: { kept: ['id', 'v'] },
        pool: { max: 1 },
      })
      const binary = name === 'MariaDB' ? ' character set utf8mb4 collate utf8mb4_bin' : ''
      await db.execute(`create table kept (id integer, v varchar(1000)${binary})`)
      await db.execute('create table victim (id integer)')
      await db.execute('insert into victim values (1)')
      const builder = db.kysely<{ kept: { id: number; v: string } }>()
      const cast = name === 'PostgreSQL' ? '::text' : ''
      await fc.assert(
        fc.asyncProperty(hostile, hostile, async (v, w) => {
          assert.equal(await db.value(`select :v${cast} as v`, { v }), v)
          await db.insert('kept', [{ id: 1, v }])
          await db.execute('insert into kept (id, v) values ($1, $2)', [2, w])
          await builder.insertInto('kept').values({ id: 3, v }).execute()
          const found = await db.query<{ id: number }>(
            'select id from kept where v in (:...list) order by id',
            { list: [v] },
          )
          assert.deepEqual(
            found.map(({ id }) => id),
            v.trimEnd() === w.trimEnd() ? found.map(({ id }) => id) : [1, 3],
          )
          const { rowCount } = await db.execute('delete from kept where id in (1, 2, 3)')
          assert.equal(rowCount, 3)
        }),
        { numRuns: RUNS },
      )
      assert.deepEqual(await db.query('select id from victim'), [{ id: 1 }])
      assert.equal(await db.value('select count(*) from kept'), 0)
    })
  })
}
