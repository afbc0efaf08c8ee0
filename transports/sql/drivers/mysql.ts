/** MySQL and MariaDB, by the package mysql2. Statements are always prepared by the server: values never enter the text. */
import type { Socket } from 'node:net'
import type { Connection, ConnectionOptions, FieldPacket, ResultSetHeader } from 'mysql2'
import type { DatabaseSettings } from '../options.ts'
import type { Driver, Result, Row, Session, SessionEvents, TransactionMode } from '../session.ts'
import type { Statement } from '../statement.ts'
import { bytesIn, integerFrom, isJson } from '../values.ts'
import { tlsOptions } from './tls.ts'

type Mysql = Pick<typeof import('mysql2'), 'createConnection'>
type Product = 'mysql' | 'mariadb'
type Answer = { result: unknown; fields: FieldPacket[] | FieldPacket[][] | undefined }

/** Types of columns in the protocol. */
const LONGLONG = 8
const MAX_STATEMENTS = 500

export async function load(product: Product): Promise<Driver> {
  const { default: mysql } = await import('mysql2')
  return { open: (settings, events) => MysqlSession.open(mysql, product, settings, events) }
}

class MysqlSession implements Session {
  readonly #mysql: Mysql
  readonly #settings: DatabaseSettings
  readonly #connection: Connection
  #broken = false
  #closing = false

  private constructor(mysql: Mysql, settings: DatabaseSettings) {
    this.#mysql = mysql
    this.#settings = settings
    this.#connection = mysql.createConnection(connectionOptions(settings))
  }

  static async open(mysql: Mysql, product: Product, settings: DatabaseSettings, events: SessionEvents) {
    const session = new MysqlSession(mysql, settings)
    const gone = (error: Error) => {
      const first = !session.#broken
      session.#broken = true
      if (connected && first && !session.#closing) events.lost(error)
    }
    let connected = false
    session.#connection.on('error', gone)
    session.#stream.once('close', () => gone(new Error('the server ended the session')))
    try {
      await called<void>(done => session.#connection.connect(done))
      const limit = Math.max(settings.timeoutMs, settings.transactionTimeoutMs) + 1_000
      const own =
        product === 'mariadb'
          ? [`set max_statement_time = ${limit / 1000}`]
          : [`set max_execution_time = ${limit}`]
      for (const text of ["set time_zone = '+00:00'", ...own]) await session.#execute(text, [])
    } catch (error) {
      await session.close()
      throw error
    }
    connected = true
    return session
  }

  get #stream(): Socket {
    return (this.#connection as unknown as { stream: Socket }).stream
  }

  get broken(): boolean {
    return this.#broken
  }

  async run({ text, values }: Statement): Promise<Result> {
    return this.#resultOf(await this.#execute(text, values))
  }

  async *stream({ text, values }: Statement, batchRows: number): AsyncGenerator<Row[], void> {
    let ended = false
    const command = this.#connection.execute({ sql: text, values: values.map(parameter) as never })
    let fields: FieldPacket[] | undefined
    command.on('fields', found => {
      fields = found as unknown as FieldPacket[]
    })
    const rows = command.stream({ highWaterMark: batchRows })
    try {
      let batch: Row[] = []
      for await (const row of rows) {
        batch.push(row as Row)
        if (batch.length < batchRows) continue
        yield this.#read(batch, fields)
        batch = []
      }
      ended = true
      if (batch.length > 0) yield this.#read(batch, fields)
    } finally {
      // The server would send the rest; a new session costs less than reading it.
      if (!ended) this.#broken = true
    }
  }

  async call(name: string, values: readonly unknown[]): Promise<Result> {
    const quoted = name.split('.').map(part => `\`${part.replaceAll('`', '``')}\``)
    return this.#resultOf(
      await this.#execute(`call ${quoted.join('.')}(${values.map(() => '?').join(', ')})`, values),
    )
  }

  async begin({ isolation, readOnly }: TransactionMode): Promise<void> {
    if (isolation === 'snapshot')
      throw Object.assign(new Error('has no isolation level snapshot: take repeatable read'), {
        code: 'UNSUPPORTED',
      })
    if (isolation !== undefined) await this.#execute(`set transaction isolation level ${isolation}`, [])
    await this.#simple(readOnly ? 'start transaction read only' : 'start transaction')
  }

  commit(): Promise<void> {
    return this.#simple('commit')
  }

  rollback(): Promise<void> {
    return this.#simple('rollback')
  }

  async cancel(): Promise<void> {
    const { threadId } = this.#connection
    if (this.#broken || !Number.isSafeInteger(threadId)) return
    const other = this.#mysql.createConnection(connectionOptions(this.#settings))
    try {
      await called<void>(done => other.connect(done))
      // A number of the protocol: KILL takes no placeholder.
      await called<void>(done => other.query(`kill query ${threadId}`, error => done(error)))
    } catch {
      // Whoever cancels closes this session when the statement does not end.
      this.#broken = true
    } finally {
      other.destroy()
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    const wasBroken = this.#broken
    this.#broken = true
    const stream = this.#stream
    if (stream.destroyed) return
    const closed = new Promise<void>(resolve => stream.once('close', () => resolve()))
    const busy = (this.#connection as unknown as { _command?: unknown })._command !== undefined
    if (wasBroken || busy) this.#connection.destroy()
    else this.#connection.end(() => this.#connection.destroy())
    await closed
  }

  /** Statements without values and results: they cannot be prepared on every version. */
  async #simple(
    text: 'commit' | 'rollback' | 'start transaction' | 'start transaction read only',
  ): Promise<void> {
    await called<void>(done => this.#connection.query(text, error => done(error)))
  }

  #execute(text: string, values: readonly unknown[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#connection.execute(
        { sql: text, values: values.map(parameter) as never },
        (error: Error | null, result: unknown, fields: FieldPacket[]) => {
          if (error) reject(error)
          else resolve({ result, fields })
        },
      )
    })
  }

  #resultOf({ result, fields }: Answer): Result {
    if (!Array.isArray(result)) return headerOf(result as ResultSetHeader)
    // A procedure gives lists of rows and, in the end, a header.
    if (result.length > 0 && Array.isArray(result[0])) {
      const lists = result.filter(Array.isArray) as Row[][]
      const sets = lists.map((rows, i) => this.#read(rows, fields?.[i] as FieldPacket[] | undefined))
      return { rows: sets[0] ?? [], rowCount: sets[0]?.length ?? 0, sets }
    }
    const rows = this.#read(result as Row[], fields as FieldPacket[] | undefined)
    return { rows, rowCount: rows.length }
  }

  /** 64-bit integers come as texts. */
  #read(rows: Row[], fields: FieldPacket[] | undefined): Row[] {
    const { bigints } = this.#settings.values
    const names = (fields ?? []).filter(field => field?.type === LONGLONG).map(({ name }) => name)
    if (names.length === 0 || bigints === 'string') return rows
    for (const row of rows) {
      for (const name of names) if (row[name] !== null) row[name] = integerFrom(String(row[name]), bigints)
    }
    return rows
  }
}

function connectionOptions(settings: DatabaseSettings): ConnectionOptions {
  const { host, port, database, username, password, connectTimeoutMs, values } = settings
  const tls = tlsOptions(settings)
  const isSocket = host.startsWith('/')
  return {
    ...(isSocket ? { socketPath: host } : { host, port: port ?? 3306 }),
    ...(database !== undefined && { database }),
    ...(username !== undefined && { user: username }),
    ...(password !== undefined && { password }),
    ...(tls && { ssl: { ...tls, verifyIdentity: tls.rejectUnauthorized } as never }),
    connectTimeout: connectTimeoutMs,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: values.timestamps === 'string' ? true : ['DATE', 'DATETIME'],
    timezone: 'Z',
    charset: 'utf8mb4',
    multipleStatements: false,
    namedPlaceholders: false,
    maxPreparedStatements: MAX_STATEMENTS,
    // Never hands files of this machine to a server that asks for them (LOAD DATA LOCAL).
    flags: ['-LOCAL_FILES'],
    enableKeepAlive: true,
  }
}

function parameter(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (isJson(value)) return JSON.stringify(value)
  return bytesIn(value) ?? value
}

function headerOf({ affectedRows, insertId }: ResultSetHeader): Result {
  const id = BigInt(insertId ?? 0)
  return {
    rows: [],
    rowCount: affectedRows ?? 0,
    ...(id !== 0n && { insertId: integerFrom(String(id), 'safe') as number | bigint }),
  }
}

function called<T>(call: (done: (error: Error | null | undefined, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error) reject(error)
      else resolve(value as T)
    })
  })
}
