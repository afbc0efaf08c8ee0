/** Polls a table: rows that are pending are taken in order, and marked or deleted when they are done. */
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { SignalboxError } from '../../../core/errors.ts'
import type { Inbound } from '../../../core/transport.ts'
import type { SqlChannelSettings, TableSettings } from '../channel-options.ts'
import { type AnyTables, statementBuilder, statementOf } from '../query-layer.ts'
import type { Row } from '../session.ts'
import type { Statement } from '../statement.ts'
import { columnOf, messageOf, type Outcome, type Source } from './source.ts'

type Mark = TableSettings['done']
type Condition = RawBuilder<unknown>

export class TableSource implements Source {
  readonly keepsRetries: boolean
  readonly #settings: SqlChannelSettings
  readonly #table: TableSettings
  readonly #builder: Kysely<AnyTables>

  /** Throws SIGNALBOX_OPTIONS_INVALID for a mark that leaves rows as they are: they would be delivered for ever. */
  constructor(settings: SqlChannelSettings, table: TableSettings) {
    this.#settings = settings
    this.#table = table
    this.#builder = statementBuilder(settings.dialect)
    this.keepsRetries = table.retryAtColumn !== undefined
    for (const name of ['done', 'failed'] as const) checkMark(name, table[name], table.pending)
  }

  select(limit: number, without: readonly unknown[]): Statement {
    const { name, keyColumn: key, orderBy, pending = {}, retryAtColumn } = this.#table
    const conditions: Condition[] = Object.entries(pending).map(([column, value]) =>
      value === null ? sql`${sql.ref(column)} is null` : sql`${sql.ref(column)} = ${value}`,
    )
    if (retryAtColumn !== undefined)
      conditions.push(sql`(${sql.ref(retryAtColumn)} is null or ${sql.ref(retryAtColumn)} <= ${new Date()})`)
    if (without.length > 0) conditions.push(sql`${sql.ref(key)} not in (${sql.join([...without])})`)
    const order = orderBy.length > 0 ? orderBy : [key]
    const locks = this.#settings.holdTransaction
    return this.#statement(selectRows(this.#settings.dialect, { name, conditions, order, limit, locks }))
  }

  key(row: Row): unknown {
    return columnOf(row, this.#table.keyColumn)
  }

  group(): undefined {
    return undefined
  }

  attempts(row: Row): number | undefined {
    const { attemptsColumn } = this.#table
    return attemptsColumn === undefined ? undefined : Number(columnOf(row, attemptsColumn) ?? 0)
  }

  message(row: Row): Inbound {
    const { name } = this.#table
    return messageOf(row, this.#settings, { destination: name, table: name, key: this.key(row) })
  }

  settle(outcomes: readonly Outcome[]): Statement[] {
    const done = outcomes.filter(({ kind }) => kind === 'done').map(({ row }) => this.key(row))
    const statements = done.length > 0 ? [this.#marked(this.#table.done, done)] : []
    for (const outcome of outcomes) {
      if (outcome.kind === 'failed')
        statements.push(this.#marked(this.#table.failed, [this.key(outcome.row)], outcome))
      else if (outcome.kind === 'retry') statements.push(...this.#retried(outcome))
    }
    return statements
  }

  #marked(
    mark: Mark,
    keys: readonly unknown[],
    failure?: { error: SignalboxError; attempt: number },
  ): Statement {
    const { name, keyColumn: key, attemptsColumn } = this.#table
    const which = sql`${sql.ref(key)} in (${sql.join([...keys])})`
    if (mark.delete) return this.#statement(sql`delete from ${sql.table(name)} where ${which}`)
    const { set = {}, momentColumn, errorColumn } = mark
    const changes: [string, unknown][] = Object.entries(set)
    if (momentColumn !== undefined) changes.push([momentColumn, new Date()])
    if (errorColumn !== undefined) changes.push([errorColumn, failure ? errorText(failure.error) : null])
    if (failure && attemptsColumn !== undefined) changes.push([attemptsColumn, failure.attempt])
    return this.#statement(sql`update ${sql.table(name)} set ${assignments(changes)} where ${which}`)
  }

  #retried({ row, attempt, retryAt }: { row: Row; attempt: number; retryAt: Date }): Statement[] {
    const { name, keyColumn: key, attemptsColumn, retryAtColumn } = this.#table
    const changes: [string, unknown][] = []
    if (attemptsColumn !== undefined) changes.push([attemptsColumn, attempt])
    if (retryAtColumn !== undefined) changes.push([retryAtColumn, retryAt])
    if (changes.length === 0) return []
    const which = sql`${sql.ref(key)} = ${columnOf(row, key)}`
    return [this.#statement(sql`update ${sql.table(name)} set ${assignments(changes)} where ${which}`)]
  }

  #statement(query: RawBuilder<unknown>): Statement {
    return { ...statementOf(query.compile(this.#builder)), source: `poll of ${this.#table.name}` }
  }
}

export interface RowsToTake {
  name: string
  conditions: readonly Condition[]
  order: readonly string[]
  limit: number
  /** `true`: rows that others have locked are passed over; `wait`: they are waited for. */
  locks: boolean | 'wait'
}

/** Rows in order, locked where the product can. */
export function selectRows(
  dialect: SqlChannelSettings['dialect'],
  { name, conditions, order, limit, locks }: RowsToTake,
): RawBuilder<unknown> {
  const table = sql.table(name)
  const all = conditions.length > 0 ? sql` where ${sql.join([...conditions], sql` and `)}` : sql``
  const by = sql` order by ${sql.join(order.map(column => sql.ref(column)))}`
  const skips = locks === 'wait' ? sql`` : sql` skip locked`
  switch (dialect) {
    case 'mssql': {
      const hint =
        locks === false
          ? sql``
          : locks === 'wait'
            ? sql` with (rowlock, updlock)`
            : sql` with (rowlock, updlock, readpast)`
      return sql`select top (${limit}) * from ${table}${hint}${all}${by}`
    }
    case 'oracle': {
      // Oracle locks no rows of an ordered query.
      const where = sql` where ${sql.join([...conditions, sql`rownum <= ${limit}`], sql` and `)}`
      return sql`select * from ${table}${where}${locks === false ? by : sql` for update${skips}`}`
    }
    case 'sqlite':
      return sql`select * from ${table}${all}${by} limit ${limit}`
    default:
      return sql`select * from ${table}${all}${by} limit ${limit}${locks === false ? sql`` : sql` for update${skips}`}`
  }
}

/** @internal */
export function assignments(changes: readonly (readonly [string, unknown])[]): RawBuilder<unknown> {
  return sql.join(changes.map(([column, value]) => sql`${sql.ref(column)} = ${value}`))
}

/** @internal */
export function errorText(error: SignalboxError): string {
  return `${error.code}: ${error.message}`.slice(0, 2_000)
}

/** A row that stays pending after its mark would be delivered again and again. */
function checkMark(name: string, mark: Mark, pending: TableSettings['pending'] = {}): void {
  const sets = Object.keys(mark.set ?? {}).length + (mark.momentColumn ? 1 : 0) + (mark.errorColumn ? 1 : 0)
  const problem =
    mark.delete && sets > 0
      ? 'either deletes or sets'
      : !mark.delete && sets === 0
        ? 'must delete the row or set a column'
        : !mark.delete && !changesPending(mark, pending)
          ? 'must set a column of pending, so that the row is not taken again'
          : undefined
  if (problem) throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `table.${name} ${problem}`)
}

function changesPending(
  { set = {}, momentColumn, errorColumn }: Mark,
  pending: Record<string, unknown>,
): boolean {
  const moments = [momentColumn, errorColumn].some(
    column => column !== undefined && Object.hasOwn(pending, column),
  )
  return (
    moments ||
    Object.entries(set).some(([column, value]) => Object.hasOwn(pending, column) && pending[column] !== value)
  )
}
