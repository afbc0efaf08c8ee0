/** Oracle Database, by the package oracledb in thin mode: no client libraries of Oracle are needed. */
import { SignalboxError } from '../../../core/errors.ts'
import type { DatabaseSettings } from '../options.ts'
import type { Driver, Result, Row, Session, TransactionMode } from '../session.ts'
import type { Statement } from '../statement.ts'
import { bytesIn, integerFrom, isJson } from '../values.ts'
import { tlsOptions } from './tls.ts'

type Oracle = typeof import('oracledb')
type OracleConnection = import('oracledb').Connection
type ConnectionAttributes = import('oracledb').ConnectionAttributes
/** What is known of a column before its values are read, and how they are to be. */
type FetchTypeHandler = (column: {
  dbType?: unknown
  scale?: number
  precision?: number
}) => object | undefined

export async function load(): Promise<Driver> {
  const { default: oracledb } = await import('oracledb')
  return { open: settings => OracleSession.open(oracledb, settings) }
}

class OracleSession implements Session {
  readonly #connection: OracleConnection
  readonly #fetchTypeHandler: FetchTypeHandler
  readonly #outFormat: number
  #broken = false
  #inTransaction = false

  private constructor(oracledb: Oracle, settings: DatabaseSettings, connection: OracleConnection) {
    this.#connection = connection
    this.#outFormat = oracledb.OUT_FORMAT_OBJECT
    this.#fetchTypeHandler = oracleReader(oracledb, settings)
  }

  static async open(oracledb: Oracle, settings: DatabaseSettings): Promise<Session> {
    const connection = await oracledb.getConnection(oracleAttributes(settings))
    return new OracleSession(oracledb, settings, connection)
  }

  get broken(): boolean {
    return this.#broken || !this.#connection.isHealthy()
  }

  async run({ text, values }: Statement, timeoutMs: number): Promise<Result> {
    this.#connection.callTimeout = timeoutMs + 1_000
    const result = await this.#connection.execute<Row>(text, values.map(parameter) as never, {
      outFormat: this.#outFormat,
      fetchTypeHandler: this.#fetchTypeHandler as never,
      autoCommit: !this.#inTransaction,
    })
    const rows = result.rows ?? []
    return { rows, rowCount: result.rowsAffected ?? rows.length }
  }

  async *stream({ text, values }: Statement, batchRows: number): AsyncGenerator<Row[], void> {
    this.#connection.callTimeout = 0
    const { resultSet } = await this.#connection.execute<Row>(text, values.map(parameter) as never, {
      outFormat: this.#outFormat,
      fetchTypeHandler: this.#fetchTypeHandler as never,
      resultSet: true,
      fetchArraySize: batchRows,
    })
    if (!resultSet) throw Object.assign(new Error('only queries can be streamed'), { code: 'UNSUPPORTED' })
    try {
      for (;;) {
        const rows = await resultSet.getRows(batchRows)
        if (rows.length === 0) return
        yield rows
      }
    } finally {
      if (!this.broken) await resultSet.close()
    }
  }

  async call(name: string, values: readonly unknown[], timeoutMs: number): Promise<Result> {
    const quoted = name.split('.').map(part => `"${part.toUpperCase().replaceAll('"', '')}"`)
    const marks = values.map((_, i) => `:${i + 1}`).join(', ')
    const text = `begin ${quoted.join('.')}(${marks}); end;`
    return this.run({ text, values, source: text }, timeoutMs)
  }

  async begin({ isolation, readOnly }: TransactionMode): Promise<void> {
    if (isolation !== undefined && isolation !== 'read committed' && isolation !== 'serializable')
      throw Object.assign(new Error(`Oracle has no isolation level ${isolation}`), { code: 'UNSUPPORTED' })
    this.#inTransaction = true
    if (readOnly) await this.#connection.execute('set transaction read only')
    else if (isolation === 'serializable')
      await this.#connection.execute('set transaction isolation level serializable')
  }

  async commit(): Promise<void> {
    await this.#connection.commit()
    this.#inTransaction = false
  }

  async rollback(): Promise<void> {
    await this.#connection.rollback()
    this.#inTransaction = false
  }

  async cancel(): Promise<void> {
    await this.#connection.break()
  }

  async close(): Promise<void> {
    if (this.#broken) return
    this.#broken = true
    await this.#connection.close({ drop: true })
  }
}

/** @internal Options of oracledb. Throws SIGNALBOX_OPTIONS_INVALID for a host that would be more than a host. */
export function oracleAttributes(settings: DatabaseSettings): ConnectionAttributes {
  const { host, port, database, username, password, connectTimeoutMs } = settings
  const tls = tlsOptions(settings)
  // The connect string has a syntax of its own, which none of its parts may use.
  for (const part of [host, database ?? '']) {
    if (!/^[A-Za-z0-9_.:-]*$/.test(part))
      throw new SignalboxError(
        'SIGNALBOX_OPTIONS_INVALID',
        `'${part}' cannot be a host or service name of Oracle`,
      )
  }
  const place = host.includes(':') ? `[${host}]` : host
  const seconds = Math.max(1, Math.ceil(connectTimeoutMs / 1000))
  const parameters = [`connect_timeout=${seconds}`, `transport_connect_timeout=${seconds}`]
  if (tls) parameters.push(`ssl_server_dn_match=${tls.rejectUnauthorized ? 'on' : 'off'}`)
  return {
    connectString: `${tls ? 'tcps' : 'tcp'}://${place}:${port ?? 1521}/${database ?? ''}?${parameters.join('&')}`,
    ...(username !== undefined && { user: username }),
    ...(password !== undefined && { password }),
    ...(tls?.ca !== undefined && { walletContent: [tls.key, tls.cert, tls.ca].filter(Boolean).join('\n') }),
  }
}

/** Numbers that may not be exact as such, dates and large objects are read as texts and bytes. */
function oracleReader(
  oracledb: Oracle,
  { values: { bigints, timestamps } }: DatabaseSettings,
): FetchTypeHandler {
  return ({ dbType, scale, precision }) => {
    switch (dbType) {
      case oracledb.DB_TYPE_NUMBER:
        return {
          type: oracledb.STRING,
          converter: (text: string | null) => numberFrom(text, scale ?? 0, precision ?? 0, bigints),
        }
      case oracledb.DB_TYPE_DATE:
      case oracledb.DB_TYPE_TIMESTAMP:
        return { converter: (value: Date | null) => value && localText(value) }
      case oracledb.DB_TYPE_TIMESTAMP_TZ:
      case oracledb.DB_TYPE_TIMESTAMP_LTZ:
        return {
          converter: (value: Date | null) =>
            timestamps === 'string' ? (value?.toISOString() ?? null) : value,
        }
      case oracledb.DB_TYPE_CLOB:
      case oracledb.DB_TYPE_NCLOB:
        return { type: oracledb.STRING }
      case oracledb.DB_TYPE_BLOB:
        return { type: oracledb.BUFFER }
      default:
        return undefined
    }
  }
}

/** @internal NUMBER(p,0) is an integer; any other NUMBER stays a text, which is exact. */
export function numberFrom(
  text: string | null,
  scale: number,
  precision: number,
  bigints: DatabaseSettings['values']['bigints'],
): unknown {
  if (text === null || scale !== 0 || precision === 0 || !/^-?\d+$/.test(text)) return text
  return integerFrom(text, bigints)
}

/** oracledb reads values without a time zone in the one of the process. */
function localText(value: Date): string {
  const pad = (number: number, length = 2) => String(number).padStart(length, '0')
  const date = [pad(value.getFullYear(), 4), pad(value.getMonth() + 1), pad(value.getDate())].join('-')
  const time = [pad(value.getHours()), pad(value.getMinutes()), pad(value.getSeconds())].join(':')
  return `${date} ${time}.${pad(value.getMilliseconds(), 3)}`
}

function parameter(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'bigint') return String(value)
  if (isJson(value)) return JSON.stringify(value)
  return bytesIn(value) ?? value
}
