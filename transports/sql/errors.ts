/** What the client libraries throw, as errors of the bus. */
import { type ErrorCode, SignalboxError } from '../../core/errors.ts'
import type { Dialect } from './options.ts'

/** What is looked at in the errors of the libraries. */
interface NativeError {
  message?: string
  code?: string | number
  /** MySQL and MariaDB, Oracle (`errorNum`), SQLite (`errcode`), SQL Server (`number`). */
  errno?: number
  errorNum?: number
  errcode?: number
  number?: number
  sqlState?: string
  constraint?: string
  errors?: unknown[]
  cause?: unknown
}

const TLS = /^(ERR_TLS_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|CERT_|ERR_SSL_|HOSTNAME_MISMATCH)/
const TLS_TEXT =
  /self.signed certificate|unable to verify|certificate (has expired|is not yet valid)|altnames|does not support SSL|does not support secure/i
const NETWORK =
  /^(E[A-Z]+|PROTOCOL_CONNECTION_LOST|PROTOCOL_SEQUENCE_TIMEOUT|ENOTOPEN|ESOCKET|NJS-(50[0-9]|51[0-9]|003|521))$/
const NETWORK_TEXT =
  /connection (terminated|ended|lost|is closed|timeout)|not queryable|closed state|ended the session|timeout expired|Connection terminated/i

/** Codes of each product: PostgreSQL by SQLSTATE, the others by number. */
const KINDS: Readonly<Record<Dialect, readonly (readonly [ErrorCode, ReadonlySet<string>])[]>> = {
  postgresql: [
    ['SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', new Set(['28P01', '28000'])],
    ['SIGNALBOX_SQL_CONSTRAINT', new Set(['23000', '23001', '23502', '23503', '23505', '23514', '23P01'])],
    ['SIGNALBOX_SQL_CONFLICT', new Set(['40001', '40P01', '55P03', '40003'])],
    ['SIGNALBOX_TIMEOUT_DEADLINE', new Set(['57014'])],
    ['SIGNALBOX_NOT_CONNECTED', new Set(['57P01', '57P02', '57P03', '08000', '08003', '08006', '53300'])],
  ],
  mysql: mysql(),
  mariadb: mysql(),
  mssql: [
    ['SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', new Set(['18456', '18452', 'ELOGIN'])],
    ['SIGNALBOX_SQL_CONSTRAINT', new Set(['2627', '2601', '547', '515'])],
    ['SIGNALBOX_SQL_CONFLICT', new Set(['1205', '1222', '3960'])],
    ['SIGNALBOX_TIMEOUT_DEADLINE', new Set(['ETIMEOUT', 'ECANCEL'])],
  ],
  oracle: [
    ['SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', new Set(['1017', '1005', '28000', '28001'])],
    ['SIGNALBOX_SQL_CONSTRAINT', new Set(['1', '1400', '1407', '2290', '2291', '2292'])],
    ['SIGNALBOX_SQL_CONFLICT', new Set(['54', '60', '8177', '30006'])],
    ['SIGNALBOX_TIMEOUT_DEADLINE', new Set(['1013', 'NJS-123', 'DPI-1067'])],
    ['SIGNALBOX_NOT_CONNECTED', new Set(['28', '1012', '1033', '1034', '3113', '3114', '12514', '12541'])],
  ],
  sqlite: [
    ['SIGNALBOX_SQL_CONSTRAINT', new Set(['19'])],
    ['SIGNALBOX_SQL_CONFLICT', new Set(['5', '6'])],
    ['SIGNALBOX_TIMEOUT_DEADLINE', new Set(['9'])],
    ['SIGNALBOX_CONNECT_FAILED', new Set(['14', '26'])],
  ],
}

function mysql(): readonly (readonly [ErrorCode, ReadonlySet<string>])[] {
  return [
    ['SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', new Set(['1045', '1044', '1698', '1130'])],
    ['SIGNALBOX_SQL_CONSTRAINT', new Set(['1048', '1062', '1216', '1217', '1451', '1452', '3819', '4025'])],
    ['SIGNALBOX_SQL_CONFLICT', new Set(['1205', '1213', '1020', '3572'])],
    ['SIGNALBOX_TIMEOUT_DEADLINE', new Set(['1317', '1969', '3024'])],
    ['SIGNALBOX_NOT_CONNECTED', new Set(['1053', '1040', '1927', '4031'])],
  ]
}

/** The error of the bus for what a library threw; `when` says whether a session was being opened. */
export function sqlError(dialect: Dialect, thrown: unknown, when: 'open' | 'use'): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const native = nativeOf(thrown)
  const message = (native.message || String(native.code ?? thrown)).slice(0, 2_000)
  const lost: ErrorCode = when === 'open' ? 'SIGNALBOX_CONNECT_FAILED' : 'SIGNALBOX_NOT_CONNECTED'
  let code = codeOf(dialect, native)
  if (code === 'SIGNALBOX_NOT_CONNECTED') code = lost
  // Before there is a session, whatever is not known better is a server that cannot be used.
  if ((code === 'SIGNALBOX_SQL_FAILED' || code === 'SIGNALBOX_TIMEOUT_DEADLINE') && when === 'open')
    code = 'SIGNALBOX_CONNECT_FAILED'
  const details = detailsOf(dialect, native)
  return new SignalboxError(code, `${dialect}: ${message}`, { details, cause: thrown })
}

/** Whether the session, not the statement, is what failed. */
export function isLost(error: SignalboxError): boolean {
  return error.code === 'SIGNALBOX_NOT_CONNECTED' || error.code === 'SIGNALBOX_CONNECT_FAILED'
}

/** Node.js tries several addresses of a host, and tedious wraps what it got. */
function nativeOf(thrown: unknown): NativeError {
  const native = (
    typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) }
  ) as NativeError
  const inner = native.errors?.[0] as NativeError | undefined
  if (inner && !native.message) return { ...inner, message: inner.message ?? '' }
  return native
}

function codeOf(dialect: Dialect, native: NativeError): ErrorCode {
  const text = String(native.code ?? '')
  const cause = native.cause as NativeError | undefined
  const message = native.message ?? ''
  if (
    TLS.test(text) ||
    TLS.test(String(cause?.code ?? '')) ||
    text === 'HANDSHAKE_SSL_ERROR' ||
    TLS_TEXT.test(message)
  )
    return 'SIGNALBOX_TLS_UNVERIFIED'
  const codes = keysOf(dialect, native)
  for (const [code, members] of KINDS[dialect]) if (codes.some(key => members.has(key))) return code
  if (dialect !== 'sqlite' && (NETWORK.test(text) || NETWORK_TEXT.test(message)))
    return 'SIGNALBOX_NOT_CONNECTED'
  if (text === 'UNSUPPORTED') return 'SIGNALBOX_SQL_STATEMENT_INVALID'
  return 'SIGNALBOX_SQL_FAILED'
}

function keysOf(dialect: Dialect, { code, errno, errorNum, errcode, number }: NativeError): string[] {
  // Of SQLite's extended codes the low byte is the code.
  if (dialect === 'sqlite') return errcode === undefined ? [] : [String(errcode % 256)]
  return [code, errno, errorNum, number].filter(key => key !== undefined).map(String)
}

function detailsOf(
  dialect: Dialect,
  { code, errno, errorNum, errcode, number, sqlState, constraint }: NativeError,
) {
  const native = errno ?? errorNum ?? number ?? errcode ?? code
  const state = dialect === 'postgresql' ? code : sqlState
  return {
    dialect,
    ...(native !== undefined && { code: native }),
    ...(state !== undefined && { sqlState: state }),
    ...(constraint !== undefined && { constraint }),
  }
}
