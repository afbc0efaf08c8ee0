/** What a poller takes rows from, and how it says what became of them. */
import { SignalboxError } from '../../../core/errors.ts'
import type { Inbound } from '../../../core/transport.ts'
import type { SqlChannelSettings } from '../channel-options.ts'
import type { Row } from '../session.ts'
import type { Statement } from '../statement.ts'

/** What became of a row. `left`: it was not delivered and stays as it is. */
export type Outcome =
  | { kind: 'done' | 'left'; row: Row }
  | { kind: 'failed' | 'retry'; row: Row; attempt: number; error: SignalboxError; retryAt: Date }

export interface Source {
  /** Rows that may be taken now, without those of these keys. */
  select(limit: number, without: readonly unknown[]): Statement
  /** What tells rows apart. */
  key(row: Row): unknown
  /** Rows of one group are delivered in order, each after the one before; undefined: at any time. */
  group(row: Row): string | undefined
  /** How many attempts have failed, where the database knows; otherwise the poller remembers. */
  attempts(row: Row): number | undefined
  /** Whether the database keeps when a row may be taken again. */
  readonly keepsRetries: boolean
  /** The message of a row. Throws a SignalboxError for a row that is none. */
  message(row: Row): Inbound
  /** What is executed for these outcomes, in the transaction in which the rows were taken. */
  settle(outcomes: readonly Outcome[]): Statement[]
}

/** The address that gets the messages. Throws SIGNALBOX_OPTIONS_INVALID when there are two. */
export function targetOf({ target, service }: SqlChannelSettings): string | undefined {
  if (target !== undefined && service !== undefined)
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', 'the channel has both target and service; give one')
  return target ?? (service === undefined ? undefined : `service/${service}`)
}

/** The message of a row by the columns of the options. */
export function messageOf(
  row: Row,
  settings: SqlChannelSettings,
  attributes: Record<string, unknown>,
): Inbound {
  const { payloadColumn, headersColumn, cidColumn, serviceTimeoutMs } = settings
  const target = targetOf(settings)
  const headers = headersColumn === undefined ? {} : headersIn(columnOf(row, headersColumn), headersColumn)
  const cid = cidColumn === undefined ? undefined : columnOf(row, cidColumn)
  const payload = payloadColumn === undefined ? row : columnOf(row, payloadColumn)
  return {
    payload: payload ?? undefined,
    headers,
    attributes,
    timeoutMs: serviceTimeoutMs,
    ...(target !== undefined && { target }),
    ...(typeof cid === 'string' && cid !== '' && { cid }),
    ...(headers.traceparent !== undefined && { traceparent: headers.traceparent }),
  }
}

/** A column that the options name. Throws SIGNALBOX_SQL_STATEMENT_INVALID when a row has none of this name. */
export function columnOf(row: Row, name: string): unknown {
  if (Object.hasOwn(row, name)) return row[name]
  const found = Object.keys(row).find(column => column.toLowerCase() === name.toLowerCase())
  if (found !== undefined) return row[found]
  const known = Object.keys(row).join(', ')
  throw new SignalboxError('SIGNALBOX_SQL_STATEMENT_INVALID', `a row has no column ${name}; it has ${known}`)
}

/** Headers from JSON; anything but an object of texts is refused. */
export function headersIn(value: unknown, column: string): Record<string, string> {
  if (value === null || value === undefined || value === '') return {}
  let parsed: unknown = value
  if (typeof value === 'string' || Buffer.isBuffer(value)) {
    try {
      parsed = JSON.parse(String(value))
    } catch (error) {
      throw badHeaders(column, (error as Error).message)
    }
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw badHeaders(column, 'no object')
  const headers: Record<string, string> = {}
  for (const [name, text] of Object.entries(parsed)) {
    if (typeof text !== 'string' || name === '__proto__') throw badHeaders(column, `${name} is no text`)
    headers[name.toLowerCase()] = text
  }
  return headers
}

function badHeaders(column: string, why: string): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_FORMAT_INVALID',
    `the headers in column ${column} cannot be read: ${why}`,
  )
}
