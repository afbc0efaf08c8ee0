/** Publishes the rows of an outbox table: at least once, in order for each key, then marks or deletes them. */
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { SignalboxError } from '../../../core/errors.ts'
import type { Inbound } from '../../../core/transport.ts'
import type { OutboxSettings, SqlChannelSettings } from '../channel-options.ts'
import { columnOf, headersIn, type Outcome, type Source } from '../poll/source.ts'
import { assignments, errorText, selectRows } from '../poll/table.ts'
import { type AnyTables, statementBuilder, statementOf } from '../query-layer.ts'
import type { Row } from '../session.ts'
import type { Statement } from '../statement.ts'
import { payloadOf } from './write.ts'

export class OutboxSource implements Source {
  readonly keepsRetries = true
  readonly #settings: SqlChannelSettings
  readonly #outbox: OutboxSettings
  readonly #builder: Kysely<AnyTables>

  constructor(settings: SqlChannelSettings, outbox: OutboxSettings) {
    this.#settings = settings
    this.#outbox = outbox
    this.#builder = statementBuilder(settings.dialect)
  }

  /** Rows of a key wait for those before them that are to be tried again. */
  select(limit: number): Statement {
    const { table } = this.#outbox
    const now = new Date()
    const own = (column: string) => sql.ref(`${table}.${column}`)
    const earlier = sql`select 1 from ${sql.table(table)} earlier where earlier.${sql.ref('message_key')} = ${own('message_key')} and earlier.${sql.ref('id')} < ${own('id')} and earlier.${sql.ref('state')} = ${'new'} and earlier.${sql.ref('retry_at')} > ${now}`
    const conditions = [
      sql`${own('state')} = ${'new'}`,
      sql`(${own('retry_at')} is null or ${own('retry_at')} <= ${now})`,
      sql`not exists (${earlier})`,
    ]
    // Another relay that has these rows is waited for: passing over them would break the order.
    const locks = this.#settings.holdTransaction ? 'wait' : false
    return this.#statement(
      selectRows(this.#settings.dialect, { name: table, conditions, order: ['id'], limit, locks }),
    )
  }

  key(row: Row): unknown {
    return columnOf(row, 'id')
  }

  group(row: Row): string | undefined {
    const key = columnOf(row, 'message_key')
    return typeof key === 'string' ? key : undefined
  }

  attempts(row: Row): number {
    return Number(columnOf(row, 'attempts'))
  }

  message(row: Row): Inbound {
    const target = String(columnOf(row, 'destination'))
    const { destinations, table } = this.#outbox
    if (!destinations.some(beginning => target.startsWith(beginning)))
      throw new SignalboxError('SIGNALBOX_FORBIDDEN', `the outbox may not send to ${target.slice(0, 255)}`)
    const id = columnOf(row, 'message_id')
    const key = columnOf(row, 'message_key')
    const cid = columnOf(row, 'cid')
    const headers: Record<string, string> = headersIn(columnOf(row, 'headers'), 'headers')
    // Topics and queues read these, and drop what a relay publishes twice.
    headers['message-id'] = typeof id === 'string' ? id : `${table}-${columnOf(row, 'id')}`
    if (typeof key === 'string') headers['message-key'] = key
    return {
      payload: payloadOf(columnOf(row, 'payload'), columnOf(row, 'content')),
      headers,
      attributes: { destination: table, table, key: columnOf(row, 'id') },
      target,
      timeoutMs: this.#settings.serviceTimeoutMs,
      ...(typeof cid === 'string' && cid !== '' && { cid }),
      ...(headers.traceparent !== undefined && { traceparent: headers.traceparent }),
    }
  }

  settle(outcomes: readonly Outcome[]): Statement[] {
    const done = outcomes.filter(({ kind }) => kind === 'done').map(({ row }) => this.key(row))
    const statements: Statement[] = []
    if (done.length > 0) {
      const where = sql`${sql.ref('id')} in (${sql.join(done)})`
      const table = sql.table(this.#outbox.table)
      statements.push(
        this.#outbox.keep
          ? this.#update(
              [
                ['state', 'sent'],
                ['done_at', new Date()],
              ],
              where,
            )
          : this.#statement(sql`delete from ${table} where ${where}`),
      )
    }
    for (const outcome of outcomes) {
      if (outcome.kind !== 'failed' && outcome.kind !== 'retry') continue
      const { row, attempt, error, retryAt, kind } = outcome
      const changes: [string, unknown][] = [
        ['attempts', attempt],
        ['last_error', errorText(error)],
        ...(kind === 'failed'
          ? ([
              ['state', 'failed'],
              ['done_at', new Date()],
            ] as [string, unknown][])
          : []),
        ...(kind === 'retry' ? ([['retry_at', retryAt]] as [string, unknown][]) : []),
      ]
      statements.push(this.#update(changes, sql`${sql.ref('id')} = ${this.key(row)}`))
    }
    return statements
  }

  #update(changes: readonly (readonly [string, unknown])[], where: RawBuilder<unknown>): Statement {
    return this.#statement(
      sql`update ${sql.table(this.#outbox.table)} set ${assignments(changes)} where ${where}`,
    )
  }

  #statement(query: RawBuilder<unknown>): Statement {
    return { ...statementOf(query.compile(this.#builder)), source: `relay of ${this.#outbox.table}` }
  }
}
