/** Messages that are to be published if, and only if, the transaction that writes them is committed. */
import { SignalboxError } from '../../../core/errors.ts'
import type { Dialect, SqlConnectionSettings } from '../options.ts'
import { statementBuilder, statementOf } from '../query-layer.ts'
import type { Statement } from '../statement.ts'

/** A message for the outbox. */
export interface OutboxMessage {
  /** Where it goes: `topic/orders`, `queue/invoices` or `service/crm.update`. */
  to: string
  /** Plain data that JSON can say, text, or bytes. */
  payload?: unknown
  /** Messages of one key are published in order, each after the one before. At most 255 characters. */
  key?: string
  /** Within its window a topic or queue drops a second message of this id. Default: made from the row. */
  id?: string
  headers?: Readonly<Record<string, string>>
}

/** What comes with a message from the call that writes it. */
export interface OutboxCaller {
  cid?: string | undefined
  headers?: Readonly<Record<string, string>> | undefined
}

/** How a payload is kept. */
export type OutboxContent = 'json' | 'text' | 'base64'

const DESTINATION = /^(topic|queue|service)\/[A-Za-z0-9][A-Za-z0-9._/#-]{0,253}$/
const MAX_NAME = 255
const MAX_BYTES = 16 * 1024 * 1024

/** The statement that writes a message. Throws SIGNALBOX_MESSAGE_INVALID. */
export function outboxStatement(
  { dialect, outboxTable }: Pick<SqlConnectionSettings, 'dialect' | 'outboxTable'>,
  message: OutboxMessage,
  caller: OutboxCaller = {},
): Statement {
  const { to, key, id, headers } = message
  if (typeof to !== 'string' || !DESTINATION.test(to))
    throw invalid(`'${String(to)}' is no destination: topic/NAME, queue/NAME or service/NAME`)
  for (const [name, value] of Object.entries({ key, id })) {
    if (value !== undefined && (typeof value !== 'string' || value.length > MAX_NAME || value.length === 0))
      throw invalid(`${name} must be a text of 1 to ${MAX_NAME} characters`)
  }
  const { payload, content } = contentOf(message.payload)
  const row = {
    destination: to,
    message_key: key ?? null,
    message_id: id ?? null,
    payload,
    content,
    headers: JSON.stringify(headersOf(headers, caller)),
    cid: caller.cid ?? null,
  }
  const query = statementBuilder(dialect).insertInto(outboxTable).values(row)
  return { ...statementOf(query.compile()), source: `insert into ${outboxTable}` }
}

/** @internal The payload of a row. Throws SIGNALBOX_MESSAGE_INVALID for one that was not written by {@link outboxStatement}. */
export function payloadOf(payload: unknown, content: unknown): unknown {
  if (payload === null) return undefined
  const text = typeof payload === 'string' ? payload : String(payload)
  if (content === 'text') return text
  if (content === 'base64') return Buffer.from(text, 'base64')
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(`the payload of a row of the outbox is no JSON: ${(error as Error).message}`)
  }
}

function contentOf(payload: unknown): { payload: string | null; content: OutboxContent } {
  const content = typeof payload === 'string' ? 'text' : payload instanceof Uint8Array ? 'base64' : 'json'
  const text = payload === undefined ? null : textOf(payload, content)
  if (text !== null && text.length > MAX_BYTES)
    throw invalid(`the payload is larger than ${MAX_BYTES} bytes: put it elsewhere and send where it is`)
  return { payload: text, content }
}

function textOf(payload: unknown, content: OutboxContent): string {
  if (content === 'text') return payload as string
  if (content === 'base64') return Buffer.from(payload as Uint8Array).toString('base64')
  try {
    const text: string | undefined = JSON.stringify(payload)
    if (text !== undefined) return text
  } catch (error) {
    throw invalid(`the payload is not plain data that JSON can say: ${(error as Error).message}`)
  }
  throw invalid('the payload is not plain data that JSON can say')
}

function headersOf(
  own: Readonly<Record<string, string>> = {},
  { headers = {} }: OutboxCaller,
): Record<string, string> {
  const all = Object.entries({ ...headers, ...own })
  for (const [name, value] of all) {
    if (typeof value !== 'string') throw invalid(`the header ${name} is no text`)
  }
  return Object.fromEntries(all.map(([name, value]) => [name.toLowerCase(), value]))
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_MESSAGE_INVALID', message)
}

const COLUMNS: Readonly<
  Record<Dialect, { id: string; text: string; moment: string; now: string; name: string }>
> = {
  postgresql: {
    id: 'bigint generated always as identity primary key',
    text: 'text',
    moment: 'timestamptz',
    now: 'now()',
    name: 'varchar(255)',
  },
  mysql: mysql(),
  mariadb: mysql(),
  mssql: {
    id: 'bigint identity primary key',
    text: 'nvarchar(max)',
    moment: 'datetimeoffset',
    now: 'sysdatetimeoffset()',
    name: 'nvarchar(255)',
  },
  oracle: {
    id: 'number(19) generated always as identity primary key',
    text: 'clob',
    moment: 'timestamp with time zone',
    now: 'systimestamp',
    name: 'varchar2(255)',
  },
  sqlite: {
    id: 'integer primary key autoincrement',
    text: 'text',
    moment: 'text',
    now: "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
    name: 'text',
  },
}

function mysql() {
  return {
    id: 'bigint auto_increment primary key',
    text: 'longtext',
    moment: 'timestamp(3) null',
    now: 'current_timestamp(3)',
    name: 'varchar(255)',
  }
}

/** The statements that make the outbox table and its index; the name has been checked with the options. */
export function outboxDefinition(dialect: Dialect, table: string): string[] {
  const { id, text, moment, now, name } = COLUMNS[dialect]
  const quote = (part: string) => (dialect === 'mysql' || dialect === 'mariadb' ? `\`${part}\`` : `"${part}"`)
  const quoted = table.split('.').map(quote).join('.')
  const column = (what: string) => (dialect === 'oracle' ? `"${what}"` : what)
  const columns = [
    ['id', id],
    ['destination', `${name} not null`],
    ['message_key', name],
    ['message_id', name],
    ['payload', text],
    ['content', `${name} default 'json' not null`],
    ['headers', text],
    ['cid', name],
    ['state', `${name} default 'new' not null`],
    ['attempts', `${dialect === 'oracle' ? 'number(9)' : 'integer'} default 0 not null`],
    ['retry_at', moment],
    ['last_error', text],
    ['created_at', `${moment.replace(' null', '')} default ${now} not null`],
    ['done_at', moment],
  ].map(([what, type]) => `${column(what!)} ${type}`)
  const index = quote(`${table.split('.').at(-1)!}_key`.slice(0, 60))
  return [
    `create table ${quoted} (\n  ${columns.join(',\n  ')}\n)`,
    `create index ${index} on ${quoted} (${['state', 'message_key', 'id'].map(column).join(', ')})`,
  ]
}
