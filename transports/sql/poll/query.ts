/** Polls a query; statements of the options say what becomes of its rows. */
import type { SignalboxError } from '../../../core/errors.ts'
import type { Inbound } from '../../../core/transport.ts'
import type { QuerySettings, SqlChannelSettings } from '../channel-options.ts'
import type { NamedQueries } from '../named-queries.ts'
import type { Row } from '../session.ts'
import { bind, namesIn, type Statement } from '../statement.ts'
import { columnOf, messageOf, type Outcome, type Source } from './source.ts'

type Sql = QuerySettings['select']

export class QuerySource implements Source {
  readonly keepsRetries: boolean
  readonly #settings: SqlChannelSettings
  readonly #query: QuerySettings
  readonly #queries: NamedQueries

  constructor(settings: SqlChannelSettings, query: QuerySettings, queries: NamedQueries) {
    this.#settings = settings
    this.#query = query
    this.#queries = queries
    this.keepsRetries = query.onRetry !== undefined
    // Statements that do not parse, and names that lead nowhere, are errors of the options, not of the first row.
    for (const sql of [query.select, query.onSuccess, query.onFailure, query.onRetry])
      if (sql !== undefined) namesIn(settings.dialect, this.#text(sql))
  }

  select(limit: number): Statement {
    return this.#bound(this.#query.select, { limit, now: new Date() })
  }

  key(row: Row): unknown {
    return columnOf(row, this.#query.keyColumn)
  }

  group(): undefined {
    return undefined
  }

  attempts(): undefined {
    return undefined
  }

  message(row: Row): Inbound {
    return messageOf(row, this.#settings, { key: this.key(row) })
  }

  settle(outcomes: readonly Outcome[]): Statement[] {
    const { onSuccess, onFailure, onRetry } = this.#query
    return outcomes.flatMap(outcome => {
      if (!('error' in outcome))
        return outcome.kind === 'done' ? [this.#bound(onSuccess, { ...outcome.row, now: new Date() })] : []
      const sql = outcome.kind === 'failed' ? onFailure : onRetry
      return sql === undefined ? [] : [this.#bound(sql, { ...outcome.row, ...failureParameters(outcome) })]
    })
  }

  #bound(sql: Sql, parameters: Row): Statement {
    return bind(this.#settings.dialect, this.#text(sql), parameters)
  }

  #text(sql: Sql): string {
    return typeof sql === 'string' ? sql : this.#queries.sql(sql.name)
  }
}

function failureParameters(failure: { attempt: number; error: SignalboxError; retryAt: Date }): Row {
  const { attempt, error, retryAt } = failure
  return {
    now: new Date(),
    attempt,
    error_code: error.code,
    error_message: error.message.slice(0, 2_000),
    retry_at: retryAt,
  }
}
