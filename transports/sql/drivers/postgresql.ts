/** PostgreSQL, by the package pg. */
import type { Socket } from 'node:net'
import type PgModule from 'pg'
import type { Client, ClientConfig, CustomTypesConfig, QueryResult } from 'pg'
import type PgCursor from 'pg-cursor'
import type { DatabaseSettings } from '../options.ts'
import type { Driver, Result, Row, Session, SessionEvents, TransactionMode } from '../session.ts'
import type { Statement } from '../statement.ts'
import { bytesIn, integerFrom } from '../values.ts'
import { tlsOptions } from './tls.ts'

type Pg = Pick<typeof PgModule, 'Client' | 'types'>
type Cursor = typeof PgCursor

/** Types by their object identifiers (pg_type.dat). */
const OID = { int8: 20, timestamptz: 1184, int8Array: 1016, timestamptzArray: 1185 }
/** Read as text: exact, and without a guess at a time zone. date, timestamp, numeric and their arrays. */
const AS_TEXT = new Set([1082, 1114, 1700, 1083, 1266, 1186])
const TEXT_ARRAYS = new Set([1182, 1115, 1231])
const TEXT_ARRAY = 1009

export async function load(): Promise<Driver> {
  const pg = await import('pg')
  const { default: cursor } = await import('pg-cursor')
  return { open: (settings, events) => PostgresSession.open(pg.default, cursor, settings, events) }
}

class PostgresSession implements Session {
  readonly #pg: Pg
  readonly #cursor: Cursor
  readonly #settings: DatabaseSettings
  readonly #client: Client
  readonly #types: CustomTypesConfig
  readonly #names = new Map<string, string>()
  #broken = false
  #closing = false
  /** Statements under way, and streams that are open. */
  #running = 0

  private constructor(pg: Pg, cursor: Cursor, settings: DatabaseSettings) {
    this.#pg = pg
    this.#cursor = cursor
    this.#settings = settings
    this.#types = typesOf(pg, settings)
    this.#client = new pg.Client({ ...clientConfig(settings), types: this.#types })
  }

  static async open(pg: Pg, cursor: Cursor, settings: DatabaseSettings, events: SessionEvents) {
    const session = new PostgresSession(pg, cursor, settings)
    const client = session.#client
    const gone = (error: Error) => {
      const first = !session.#broken
      session.#broken = true
      if (first && !session.#closing) events.lost(error)
    }
    let connected = false
    client.on('error', error => connected && gone(error))
    client.on('end', () => connected && gone(new Error('the server ended the session')))
    client.on('notice', notice => events.log.debug({ notice: notice.message }, 'notice of the database'))
    client.on('notification', ({ channel, payload }) => events.notified?.(channel, payload ?? ''))
    try {
      await client.connect()
    } catch (error) {
      session.#broken = true
      // The socket of a client that did not connect may still be open.
      await client.end().catch(() => undefined)
      throw error
    }
    connected = true
    return session
  }

  get broken(): boolean {
    return this.#broken
  }

  async run({ text, values }: Statement): Promise<Result> {
    const name = this.#nameOf(text)
    const bound = values.map(parameter)
    this.#running++
    try {
      return resultOf(
        await (name === undefined
          ? this.#client.query(text, bound)
          : this.#client.query({ name, text, values: bound })),
      )
    } finally {
      this.#running--
    }
  }

  async *stream({ text, values }: Statement, batchRows: number): AsyncGenerator<Row[], void> {
    this.#running++
    const cursor = this.#client.query(
      new this.#cursor<Row>(text, values.map(parameter), { types: this.#types as never }),
    )
    try {
      for (;;) {
        const rows = await cursor.read(batchRows)
        if (rows.length === 0) return
        yield rows
      }
    } finally {
      if (!this.#broken) await cursor.close()
      this.#running--
    }
  }

  async call(name: string, values: readonly unknown[]): Promise<Result> {
    const quoted = name.split('.').map(part => this.#client.escapeIdentifier(part))
    const marks = values.map((_, i) => `$${i + 1}`).join(', ')
    const text = `call ${quoted.join('.')}(${marks})`
    return this.run({ text, values, source: text })
  }

  async begin({ isolation, readOnly }: TransactionMode): Promise<void> {
    const level = isolation === undefined ? '' : ` isolation level ${levelOf(isolation)}`
    await this.#client.query(`begin${level}${readOnly ? ' read only' : ''}`)
  }

  async commit(): Promise<void> {
    const { command } = await this.#client.query('commit')
    // A transaction in which a statement failed is rolled back, without an error.
    if (command === 'ROLLBACK')
      throw Object.assign(new Error('a statement of the transaction had failed, so it was rolled back'), {
        code: '25P02',
      })
  }

  async rollback(): Promise<void> {
    await this.#client.query('rollback')
  }

  /** By a session of its own: the protocol has no other way that TLS protects. */
  async cancel(): Promise<void> {
    const pid = (this.#client as unknown as { processID: number | null }).processID
    if (this.#broken || pid === null) return
    const other = new this.#pg.Client(clientConfig(this.#settings))
    other.on('error', () => {
      this.#broken = true
    })
    try {
      await other.connect()
      await other.query('select pg_cancel_backend($1)', [pid])
    } catch {
      // Whoever cancels closes this session when the statement does not end.
      this.#broken = true
    } finally {
      await other.end().catch(() => undefined)
    }
  }

  async listen(channels: readonly string[]): Promise<void> {
    for (const channel of channels)
      await this.#client.query(`listen ${this.#client.escapeIdentifier(channel)}`)
  }

  flow(on: boolean): void {
    if (on) this.#stream.resume()
    else this.#stream.pause()
  }

  get #stream(): Socket {
    return (this.#client as Client & { connection: { stream: Socket } }).connection.stream
  }

  async close(): Promise<void> {
    this.#closing = true
    const wasBroken = this.#broken
    this.#broken = true
    // An idle session says goodbye; one with a statement under way would wait for its end.
    if (wasBroken || this.#running > 0) this.#stream.destroy()
    await this.#client.end()
  }

  /** Statements that come again are kept prepared by the server, as many as the options say. */
  #nameOf(text: string): string | undefined {
    const most = this.#settings.preparedStatements
    if (most === 0) return undefined
    const known = this.#names.get(text)
    if (known !== undefined || this.#names.size >= most) return known
    const name = `signalbox_${this.#names.size}`
    this.#names.set(text, name)
    return name
  }
}

function clientConfig(settings: DatabaseSettings): ClientConfig {
  const { host, port, database, username, password, timeoutMs, connectTimeoutMs, transactionTimeoutMs } =
    settings
  const tls = tlsOptions(settings)
  return {
    host,
    port: port ?? 5432,
    ssl: tls ?? false,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    application_name: 'signalbox',
    // Should this process be cut off, the server gives up by itself.
    statement_timeout: Math.max(timeoutMs, transactionTimeoutMs) + 1_000,
    ...(database !== undefined && { database }),
    ...(username !== undefined && { user: username }),
    ...(password !== undefined && { password }),
  }
}

function levelOf(isolation: string): string {
  // PostgreSQL's repeatable read is what others call snapshot.
  return isolation === 'snapshot' ? 'repeatable read' : isolation
}

/** pg writes dates in the time zone of the process, and makes arrays of lists, which is right. */
function parameter(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString()
  return bytesIn(value) ?? value
}

function typesOf(pg: Pg, { values: { bigints, timestamps } }: DatabaseSettings): CustomTypesConfig {
  const identity = (text: string) => text
  const arrayOf = (parse: (text: string) => unknown) => {
    const texts = pg.types.getTypeParser(TEXT_ARRAY as never, 'text') as (text: string) => unknown[]
    const deep = (value: unknown): unknown =>
      Array.isArray(value) ? value.map(deep) : value === null ? null : parse(value as string)
    return (text: string) => deep(texts(text))
  }
  const integer = (text: string) => integerFrom(text, bigints)
  const moment =
    timestamps === 'string'
      ? identity
      : (pg.types.getTypeParser(OID.timestamptz as never, 'text') as typeof identity)
  const own = new Map<number, (text: string) => unknown>([
    [OID.int8, integer],
    [OID.int8Array, arrayOf(integer)],
    [OID.timestamptz, moment],
    [OID.timestamptzArray, arrayOf(moment)],
    ...[...AS_TEXT].map(oid => [oid, identity] as const),
    ...[...TEXT_ARRAYS].map(oid => [oid, arrayOf(identity)] as const),
  ])
  return {
    getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
      (format !== 'binary' && own.get(oid)) || pg.types.getTypeParser(oid, format as never)) as never,
  }
}

function resultOf(result: QueryResult | QueryResult[]): Result {
  const last = Array.isArray(result) ? result.at(-1)! : result
  return { rows: last.rows, rowCount: last.rowCount ?? 0 }
}
