/** Microsoft SQL Server, by the package tedious. */
import type { Connection, ConnectionConfiguration, Request } from 'tedious'
import type { DatabaseSettings } from '../options.ts'
import type { Driver, Isolation, Result, Row, Session, SessionEvents, TransactionMode } from '../session.ts'
import type { Statement } from '../statement.ts'
import { bytesIn, integerFrom, isJson } from '../values.ts'
import { tlsOptions } from './tls.ts'

type Tedious = Pick<typeof import('tedious'), 'Connection' | 'Request' | 'TYPES' | 'ISOLATION_LEVEL'>
type Column = { value: unknown; metadata: { colName: string; type: { name: string } } }

const INT_MAX = 2 ** 31

export async function load(): Promise<Driver> {
  const { default: tedious } = await import('tedious')
  return { open: (settings, events) => MssqlSession.open(tedious, settings, events) }
}

class MssqlSession implements Session {
  readonly #tedious: Tedious
  readonly #settings: DatabaseSettings
  readonly #connection: Connection
  #broken = false
  #closing = false

  private constructor(tedious: Tedious, settings: DatabaseSettings) {
    this.#tedious = tedious
    this.#settings = settings
    this.#connection = new tedious.Connection(mssqlConfiguration(settings))
  }

  static async open(tedious: Tedious, settings: DatabaseSettings, events: SessionEvents) {
    const session = new MssqlSession(tedious, settings)
    let connected = false
    const gone = (error: Error) => {
      const first = !session.#broken
      session.#broken = true
      if (connected && first && !session.#closing) events.lost(error)
    }
    session.#connection.on('error', gone)
    session.#connection.on('end', () => gone(new Error('the server ended the session')))
    try {
      await called(done => session.#connection.connect(done))
    } catch (error) {
      session.#broken = true
      session.#connection.close()
      throw error
    }
    connected = true
    return session
  }

  get broken(): boolean {
    return this.#broken
  }

  async run({ text, values }: Statement, timeoutMs: number): Promise<Result> {
    return this.#execute(text, values, timeoutMs, request => this.#connection.execSql(request))
  }

  async *stream({ text, values }: Statement, batchRows: number): AsyncGenerator<Row[], void> {
    let rows: Row[] = []
    let failed: unknown
    let ended = false
    let wake = Promise.withResolvers<void>()
    const request = this.#request(text, values, error => {
      failed = error
      ended = true
      wake.resolve()
    })
    request.setTimeout(0)
    request.on('row', columns => {
      rows.push(this.#rowOf(columns))
      if (rows.length < batchRows) return
      request.pause()
      wake.resolve()
    })
    this.#connection.execSql(request)
    try {
      for (;;) {
        await wake.promise
        const batch = rows
        rows = []
        wake = Promise.withResolvers()
        if (failed) throw failed
        if (batch.length > 0) yield batch
        if (ended && rows.length === 0) return
        if (ended) wake.resolve()
        else request.resume()
      }
    } finally {
      // What was not read yet is given up with the session.
      if (!ended) this.#broken = true
    }
  }

  async call(name: string, values: readonly unknown[], timeoutMs: number): Promise<Result> {
    const quoted = name.split('.').map(part => `[${part.replaceAll(']', ']]')}]`)
    const marks = values.map((_, i) => `@p${i + 1}`).join(', ')
    const text = `exec ${quoted.join('.')} ${marks}`
    return this.#execute(text, values, timeoutMs, request => this.#connection.execSql(request))
  }

  async begin({ isolation, readOnly }: TransactionMode): Promise<void> {
    if (readOnly)
      throw Object.assign(new Error('SQL Server has no read-only transactions'), { code: 'UNSUPPORTED' })
    const level = isolation && levelOf(this.#tedious, isolation)
    await called(done => this.#connection.beginTransaction(error => done(error), '', level))
  }

  async commit(): Promise<void> {
    await called(done => this.#connection.commitTransaction(error => done(error)))
  }

  async rollback(): Promise<void> {
    await called(done => this.#connection.rollbackTransaction(error => done(error)))
  }

  async cancel(): Promise<void> {
    this.#connection.cancel()
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#broken) return
    this.#broken = true
    const ended = new Promise<void>(resolve => this.#connection.once('end', () => resolve()))
    this.#connection.close()
    await ended
  }

  #execute(
    text: string,
    values: readonly unknown[],
    timeoutMs: number,
    execute: (request: Request) => void,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const sets: Row[][] = []
      const request = this.#request(text, values, (error, rowCount) => {
        if (error) return reject(error)
        const rows = sets.at(-1) ?? []
        resolve({ rows, rowCount: rowCount ?? rows.length, ...(sets.length > 1 && { sets }) })
      })
      request.setTimeout(timeoutMs + 1_000)
      request.on('columnMetadata', () => sets.push([]))
      request.on('row', columns => sets.at(-1)!.push(this.#rowOf(columns)))
      execute(request)
    })
  }

  #request(
    text: string,
    values: readonly unknown[],
    done: (error: unknown, rowCount?: number) => void,
  ): Request {
    const request = new this.#tedious.Request(text, (error, rowCount) => done(error, rowCount))
    for (const [i, value] of values.entries()) {
      const { type, bound } = mssqlParameter(this.#tedious, value)
      request.addParameter(`p${i + 1}`, type, bound)
    }
    return request
  }

  #rowOf(columns: unknown): Row {
    const row: Row = {}
    for (const { value, metadata } of columns as Column[])
      row[metadata.colName] = this.#read(value, metadata.type.name)
    return row
  }

  #read(value: unknown, type: string): unknown {
    const { bigints, timestamps } = this.#settings.values
    if (value instanceof Date) {
      if (type === 'Date') return value.toISOString().slice(0, 10)
      if (type === 'Time') return value.toISOString().slice(11, -1)
      // Without a time zone: the text says no more than the database does.
      if (type !== 'DateTimeOffset') return value.toISOString().slice(0, -1).replace('T', ' ')
      return timestamps === 'string' ? value.toISOString() : value
    }
    // tedious reads 64-bit integers as text.
    if (typeof value === 'string' && (type === 'BigInt' || type === 'IntN') && /^-?\d+$/.test(value))
      return integerFrom(value, bigints)
    return value
  }
}

/** @internal Options of tedious. */
export function mssqlConfiguration(settings: DatabaseSettings): ConnectionConfiguration {
  const { host, port, database, username, password, connectTimeoutMs, timeoutMs } = settings
  const tls = tlsOptions(settings)
  const { rejectUnauthorized, servername, ...files } = tls ?? {
    rejectUnauthorized: true,
    servername: undefined,
  }
  return {
    server: host,
    authentication: {
      type: 'default',
      options: {
        ...(username !== undefined && { userName: username }),
        ...(password !== undefined && { password }),
      },
    },
    options: {
      port: port ?? 1433,
      appName: 'signalbox',
      connectTimeout: connectTimeoutMs,
      requestTimeout: timeoutMs + 1_000,
      cancelTimeout: 2_000,
      encrypt: tls !== undefined,
      trustServerCertificate: !rejectUnauthorized,
      cryptoCredentialsDetails: files,
      useUTC: true,
      abortTransactionOnError: true,
      ...(servername !== undefined && { serverName: servername }),
      ...(database !== undefined && { database }),
    },
  }
}

function levelOf({ ISOLATION_LEVEL }: Tedious, isolation: Isolation): number | undefined {
  return {
    'read uncommitted': ISOLATION_LEVEL.READ_UNCOMMITTED,
    'read committed': ISOLATION_LEVEL.READ_COMMITTED,
    'repeatable read': ISOLATION_LEVEL.REPEATABLE_READ,
    serializable: ISOLATION_LEVEL.SERIALIZABLE,
    snapshot: ISOLATION_LEVEL.SNAPSHOT,
  }[isolation]
}

/** @internal The type that a value is sent as. */
export function mssqlParameter({ TYPES }: Pick<Tedious, 'TYPES'>, value: unknown) {
  if (typeof value === 'boolean') return { type: TYPES.Bit, bound: value }
  if (typeof value === 'bigint') return { type: TYPES.BigInt, bound: String(value) }
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return { type: TYPES.Float, bound: value }
    if (value >= -INT_MAX && value < INT_MAX) return { type: TYPES.Int, bound: value }
    return Number.isSafeInteger(value)
      ? { type: TYPES.BigInt, bound: value }
      : { type: TYPES.Float, bound: value }
  }
  if (value instanceof Date) return { type: TYPES.DateTimeOffset, bound: value }
  const bytes = bytesIn(value)
  if (bytes) return { type: TYPES.VarBinary, bound: bytes }
  return { type: TYPES.NVarChar, bound: isJson(value) ? JSON.stringify(value) : value }
}

function called(call: (done: (error: Error | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call(error => {
      if (error) reject(error)
      else resolve()
    })
  })
}
