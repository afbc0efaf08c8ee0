/** A message as the parameters of a query. */
import type { OutgoingMessage } from '../../core/transport.ts'
import type { Dialect } from './options.ts'
import { namesIn } from './statement.ts'
import { isJson } from './values.ts'

/** The members of the payload, else `payload`; `headers` as JSON and `cid` where the query asks for them. */
export function sendParameters(
  dialect: Dialect,
  sql: string,
  { payload, headers = {} }: OutgoingMessage,
  cid: string,
): Record<string, unknown> {
  const names = namesIn(dialect, sql)
  const given: Record<string, unknown> = isJson(payload) && !Array.isArray(payload) ? { ...payload } : {}
  const extra: Record<string, unknown> = { payload: payload ?? null, headers: headersText(headers), cid }
  const parameters: Record<string, unknown> = {}
  for (const name of names) {
    // The message comes first: a column may well be called cid.
    if (Object.hasOwn(given, name)) parameters[name] = given[name]
    else if (Object.hasOwn(extra, name)) parameters[name] = extra[name]
  }
  return parameters
}

function headersText(headers: Readonly<Record<string, string>>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  )
}
