/** The conformance harness: tables of a real database, filled and emptied by plain programs of the client libraries. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { testCa } from '../../test/certificates/certificates.ts'
import type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
  TestPeer,
} from '../../test/conformance/transport.ts'
import { MARIADB_PASSWORD, MARIADB_USER, MariadbServer } from '../../test/servers/mariadb.ts'
import { POSTGRES_PASSWORD, POSTGRES_USER, PostgresServer } from '../../test/servers/postgresql.ts'

type Values = (string | number | Buffer | null)[]
type OutsideRow = { id: number; payload: Uint8Array; headers: string; cid: string | null }

/** A database with programs of its own outside. */
export interface Site {
  options: Record<string, unknown>
  /** Executes a statement with `?` for its values, by the client library alone. */
  run(sql: string, values?: Values): Promise<OutsideRow[]>
  definition: string
  peer?: TestPeer
  badCredentials?: Record<string, unknown>
  badCertificate?: Record<string, unknown>
  close(): Promise<void>
}

let count = 0

/** Waits for rows that the connection has sent. */
const POLL_MS = 2

export async function openChannelEndpoint(site: Site): Promise<ChannelEndpoint> {
  const name = `in_${count++}`
  await site.run(`create table ${name} (${site.definition})`)
  return {
    options: {
      ...site.options,
      target: 'service/test',
      table: {
        name,
        pending: { state: 'new' },
        done: { delete: true },
        failed: { set: { state: 'failed' } },
      },
      payloadColumn: 'payload',
      headersColumn: 'headers',
      cidColumn: 'cid',
      intervalMs: 5,
      redeliveryDelayMs: 1,
    },
    ...(site.peer && { peer: site.peer }),
    ...(site.badCredentials && { badCredentials: site.badCredentials }),
    ...(site.badCertificate && { badCertificate: site.badCertificate }),
    send: async ({ payload, headers, cid }) => {
      await site.run(`insert into ${name} (payload, headers, cid, state) values (?, ?, ?, 'new')`, [
        payload,
        JSON.stringify(headers),
        cid ?? null,
      ])
      return undefined
    },
    unsettled: async () => (await site.run(`select id from ${name} where state = 'new'`)).length,
    close: () => dropTable(site, name),
  }
}

export async function openConnectionEndpoint(site: Site): Promise<ConnectionEndpoint> {
  const name = `out_${count++}`
  await site.run(`create table ${name} (${site.definition})`)
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-queries-'))
  const insert = `insert into ${name} (payload, headers, cid, state) values (:payload, :headers, :cid, 'new')`
  writeFileSync(join(folder, 'queries.sql'), `-- name: deliver\n${insert};\n`)
  let handler: (message: TestMessage) => Promise<TestAnswer> = async ({ payload }) => ({
    payload,
    headers: {},
  })
  const seen = { upTo: 0, closed: false }
  const reading = readAll(site, name, seen, message => void handler(message))
  return {
    // Messages that are sent at once keep their order in one session only.
    options: { ...site.options, queriesFolder: folder, sendQuery: 'deliver', pool: { max: 1 } },
    ...(site.peer && { peer: site.peer }),
    ...(site.badCredentials && { badCredentials: site.badCredentials }),
    ...(site.badCertificate && { badCertificate: site.badCertificate }),
    answer(next) {
      handler = next
    },
    async close() {
      seen.closed = true
      await reading
      await dropTable(site, name)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A scenario that failed may have left the server stopped. */
async function dropTable(site: Site, name: string): Promise<void> {
  const drop = `drop table if exists ${name}`
  try {
    await site.run(drop)
  } catch (error) {
    if (!site.peer) throw error
    await site.peer.start()
    await site.run(drop)
  }
}

async function readAll(
  site: Site,
  name: string,
  seen: { upTo: number; closed: boolean },
  arrived: (message: TestMessage) => void,
): Promise<void> {
  while (!seen.closed) {
    let rows: OutsideRow[] = []
    try {
      rows = await site.run(`select id, payload, headers, cid from ${name} where id > ? order by id`, [
        seen.upTo,
      ])
    } catch {
      // The scenario has stopped the server.
    }
    for (const { id, payload, headers, cid } of rows) {
      seen.upTo = Number(id)
      arrived({ payload: Buffer.from(payload), headers: JSON.parse(headers), ...(cid !== null && { cid }) })
    }
    await sleep(POLL_MS)
  }
}

const COLUMNS = 'headers varchar(4000), cid varchar(255), state varchar(20)'

export async function postgresSite(): Promise<Site> {
  const server = await PostgresServer.start({ certificate: 'trusted' })
  const other = await PostgresServer.start({ certificate: 'untrusted' })
  const { port } = server
  const account = { user: POSTGRES_USER, password: POSTGRES_PASSWORD, database: 'postgres' }
  // One session: messages that are sent at once arrive in order.
  const pool = new pg.Pool({ host: '127.0.0.1', port, ...account, max: 1 })
  pool.on('error', () => {})
  return {
    options: { ...server.options, tls: { ca: testCa } },
    definition: `id serial primary key, payload bytea, ${COLUMNS}`,
    peer: { stop: () => server.kill(), start: () => server.start() },
    badCredentials: { password: 'wrong' },
    badCertificate: { port: other.port },
    async run(sql, values = []) {
      let number = 0
      const { rows } = await pool.query(
        sql.replaceAll('?', () => `$${++number}`),
        values,
      )
      return rows as OutsideRow[]
    },
    async close() {
      await pool.end()
      await Promise.all([server.close(), other.close()])
    },
  }
}

export async function mariadbSite(): Promise<Site> {
  const server = await MariadbServer.start({ certificate: 'trusted' })
  const other = await MariadbServer.start({ certificate: 'untrusted' })
  const account = { user: MARIADB_USER, password: MARIADB_PASSWORD, database: 'test' }
  const pool = mysql.createPool({ host: '127.0.0.1', port: server.port, ...account, connectionLimit: 1 })
  return {
    options: { ...server.options, tls: { ca: testCa } },
    definition: `id int auto_increment primary key, payload longblob, ${COLUMNS}`,
    peer: { stop: () => server.kill(), start: () => server.start() },
    badCredentials: { password: 'wrong' },
    badCertificate: { port: other.port },
    async run(sql, values = []) {
      const [rows] = await pool.execute(sql, values)
      return rows as OutsideRow[]
    },
    async close() {
      await pool.end()
      await Promise.all([server.close(), other.close()])
    },
  }
}

export async function sqliteSite(): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-sqlite-'))
  const file = join(folder, 'test.db')
  const database = new DatabaseSync(file, { timeout: 5_000 })
  return {
    options: { dialect: 'sqlite', databaseFile: file },
    definition: `id integer primary key autoincrement, payload blob, ${COLUMNS}`,
    async run(sql, values = []) {
      return database.prepare(sql).all(...values) as unknown as OutsideRow[]
    },
    async close() {
      database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
