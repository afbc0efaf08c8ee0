/**
 * The SQL transport beside a plain script with pg that does the same in the same run: rows polled from a table in
 * batches, each handed to a function, marked in the same transaction; and single queries. Needs PostgreSQL.
 */
import pg from 'pg'
import { systemClock } from '../core/clock.ts'
import { parseOptions } from '../core/schema.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import type { TransportContext } from '../core/transport.ts'
import { POSTGRES_PASSWORD, POSTGRES_USER, PostgresServer } from '../test/servers/postgresql.ts'
import { SqlChannel } from '../transports/sql/channel.ts'
import { SqlChannelOptions, type SqlChannelSettings } from '../transports/sql/channel-options.ts'
import { SqlConnection } from '../transports/sql/connection.ts'
import { SqlConnectionOptions, type SqlConnectionSettings } from '../transports/sql/options.ts'
import { inFlight, medians, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const ROWS = QUICK ? 200 : 20_000
const QUERIES = QUICK ? 100 : 20_000
const BATCH = 100
const LANES = 10
const SELECT = "select * from jobs where state = 'new' order by id limit $1 for update skip locked"

const context: TransportContext = {
  name: 'bench',
  log: silentLogger,
  clock: systemClock,
  signal: new AbortController().signal,
  lost: error => {
    throw error
  },
}

export async function run(): Promise<BenchRow[]> {
  const server = await PostgresServer.start()
  const account = { user: POSTGRES_USER, password: POSTGRES_PASSWORD, database: 'postgres' }
  const pool = new pg.Pool({ host: '127.0.0.1', port: server.port, ...account, max: LANES })
  try {
    await pool.query('create table jobs (id serial primary key, state text, body text)')
    return [await polling(server, pool), await queries(server, pool)]
  } finally {
    await pool.end()
    await server.close()
  }
}

/** Rows per second, from a full table to an empty one. */
async function polling(server: PostgresServer, pool: pg.Pool): Promise<BenchRow> {
  const figures = await medians({ channel: () => channel(server), plain: () => plain(pool) }, async take => {
    await pool.query('truncate jobs')
    await pool.query(
      "insert into jobs (state, body) select 'new', repeat('x', 200) from generate_series(1, $1)",
      [ROWS],
    )
    await pool.query('vacuum analyze jobs')
    return (ROWS / (await take())) * 1000
  })
  return {
    name: 'SQL poll channel, PostgreSQL, 200-byte rows, acknowledged in batches of 100',
    value: figures.channel!,
    unit: 'msg/s',
    limit: figures.plain!,
    goal: 'at least 0.85 of a plain script with pg',
  }
}

async function channel(server: PostgresServer): Promise<number> {
  const table = {
    name: 'jobs',
    pending: { state: 'new' },
    done: { set: { state: 'done' } },
    failed: { delete: true },
  }
  const options = { ...server.options, target: 'service/bench', table, batch: BATCH, maxInFlight: BATCH }
  const channel = new SqlChannel(
    parseOptions<SqlChannelSettings>(SqlChannelOptions, options, 'bench'),
    context,
  )
  const all = Promise.withResolvers<void>()
  let count = 0
  const startedAt = performance.now()
  await channel.connect(async ({ payload }) => {
    if (++count === ROWS) all.resolve()
    return { payload, headers: {}, cid: '' }
  })
  await all.promise
  await channel.drain()
  const tookMs = performance.now() - startedAt
  await channel.close()
  return tookMs
}

async function plain(pool: pg.Pool): Promise<number> {
  const startedAt = performance.now()
  const client = await pool.connect()
  const handle = async (row: unknown) => row
  for (;;) {
    await client.query('begin isolation level read committed')
    const { rows } = await client.query(SELECT, [BATCH])
    await Promise.all(rows.map(handle))
    if (rows.length > 0)
      await client.query("update jobs set state = 'done' where id = any($1)", [rows.map(row => row.id)])
    await client.query('commit')
    if (rows.length < BATCH) break
  }
  client.release()
  return performance.now() - startedAt
}

async function queries(server: PostgresServer, pool: pg.Pool): Promise<BenchRow> {
  const settings = parseOptions<SqlConnectionSettings>(SqlConnectionOptions, server.options, 'bench')
  const connection = new SqlConnection(settings, context)
  await connection.connect()
  const subjects = {
    connection: (n: number) => connection.query('select :n::int as n', { n }),
    plain: (n: number) => pool.query('select $1::int as n', [n]),
  }
  const figures = await medians(subjects, async subject => {
    const startedAt = performance.now()
    let n = 0
    await inFlight(LANES, QUERIES, () => subject(n++))
    return (QUERIES / (performance.now() - startedAt)) * 1000
  })
  await connection.close()
  return {
    name: 'SQL query, PostgreSQL, 10 at a time',
    value: figures.connection!,
    unit: 'queries/s',
    limit: figures.plain!,
    goal: 'at least 0.85 of a plain script with pg',
  }
}
