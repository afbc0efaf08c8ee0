/**
 * Statements with parameters. Placeholders are `:name`, with an object, or `$1` (`?` too, but for PostgreSQL, where it
 * is an operator), with a list; `:...name` stands for a list of values, as in `in (:...ids)`. A statement is translated
 * into the placeholders of the database from its text alone: a value never becomes a part of it.
 */
import { SignalboxError } from '../../core/errors.ts'
import { DIALECTS, type Dialect } from './options.ts'

/** Values by name, or in order. */
export type Parameters = Readonly<Record<string, unknown>> | readonly unknown[]

/** What a driver executes: text in the placeholders of the database, and the values in their order. */
export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
  /** The statement as it was written, for the log. */
  readonly source: string
}

interface Slot {
  key: string
  isList: boolean
}

interface Template {
  /** Text around the placeholders; one more than there are slots. */
  readonly parts: readonly string[]
  readonly slots: readonly Slot[]
  readonly style: 'none' | 'named' | 'positional'
  readonly hasLists: boolean
  /** The text and the order of the values, where no list changes them. */
  text: string
  order: readonly string[]
}

/** Most values that `:...name` may stand for. */
const MAX_LIST = 10_000
const MAX_TEXT = 1024 * 1024
const MAX_TEMPLATES = 1_000

const templates = new Map<string, Template>()

/**
 * Binds parameters to a statement. Throws SIGNALBOX_SQL_STATEMENT_INVALID for one that is missing, left over, undefined
 * or not a value, and for a text that mixes both kinds of placeholders.
 */
export function bind(dialect: Dialect, sql: string, parameters: Parameters = []): Statement {
  const template = templateOf(dialect, sql)
  const values = valuesOf(template, sql, parameters)
  if (!template.hasLists) {
    return { text: template.text, values: template.order.map(key => values(key)), source: sql }
  }
  return expanded(dialect, template, values, sql)
}

/** The names that a statement has placeholders for. */
export function namesIn(dialect: Dialect, sql: string): ReadonlySet<string> {
  const { style, slots } = templateOf(dialect, sql)
  return new Set(style === 'named' ? slots.map(({ key }) => key) : [])
}

function templateOf(dialect: Dialect, sql: string): Template {
  const cacheKey = `${dialect}\n${sql}`
  let template = templates.get(cacheKey)
  if (template === undefined) {
    template = parse(dialect, sql)
    if (templates.size >= MAX_TEMPLATES) templates.delete(templates.keys().next().value!)
    templates.set(cacheKey, template)
  }
  return template
}

function valuesOf(template: Template, sql: string, parameters: Parameters): (key: string) => unknown {
  const isPositional = Array.isArray(parameters)
  if (template.style === 'named' && isPositional)
    throw invalid('has named placeholders, so it needs an object of parameters', sql)
  if (template.style === 'positional') checkCount(template, sql, parameters, isPositional)
  if (template.style === 'none' && isPositional && parameters.length > 0)
    throw invalid(`has no placeholder, but there are ${parameters.length} parameters`, sql)
  return key => {
    if (!Object.hasOwn(parameters, key)) throw invalid(`needs the parameter ${nameOf(template, key)}`, sql)
    const value = (parameters as Record<string, unknown>)[key]
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
      throw invalid(`parameter ${nameOf(template, key)} is ${typeof value}; for NULL give null`, sql)
    return value
  }
}

function checkCount(template: Template, sql: string, parameters: Parameters, isPositional: boolean): void {
  if (!isPositional) throw invalid('has positional placeholders, so it needs a list of parameters', sql)
  const wanted = Math.max(...template.slots.map(({ key }) => Number(key))) + 1
  const given = (parameters as readonly unknown[]).length
  if (given !== wanted) throw invalid(`needs ${wanted} parameters, got ${given}`, sql)
}

function nameOf(template: Template, key: string): string {
  return template.style === 'positional' ? `$${Number(key) + 1}` : `:${key}`
}

/** With lists the number of placeholders depends on how many values there are; still on nothing else. */
function expanded(
  dialect: Dialect,
  { parts, slots }: Template,
  values: (key: string) => unknown,
  sql: string,
): Statement {
  const counts = slots.map(({ key, isList }) => {
    if (!isList) return 1
    const list = values(key)
    if (!Array.isArray(list) || list.length === 0 || list.length > MAX_LIST)
      throw invalid(`:...${key} needs a list of 1 to ${MAX_LIST} values`, sql)
    return list.length
  })
  const { text, order } = numbered(dialect, parts, slots, counts)
  const bound = order.map(item => {
    const [key, index] = item.split('\n') as [string, string | undefined]
    return index === undefined ? values(key) : element(values(key) as unknown[], Number(index), sql)
  })
  return { text, values: bound, source: sql }
}

function element(list: unknown[], index: number, sql: string): unknown {
  const value = list[index]
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
    throw invalid(`element ${index} of a list is ${typeof value}`, sql)
  return value
}

/** Puts placeholders between the parts. Where the database can, one that comes again is the same. */
function numbered(
  dialect: Dialect,
  parts: readonly string[],
  slots: readonly Slot[],
  counts?: readonly number[],
): { text: string; order: string[] } {
  const order: string[] = []
  const known = new Map<string, number>()
  const reuses = dialect === 'postgresql' || dialect === 'mssql'
  const placeholder = (item: string) => {
    const before = reuses ? known.get(item) : undefined
    if (before !== undefined) return placeholderOf(dialect, before)
    order.push(item)
    known.set(item, order.length)
    return placeholderOf(dialect, order.length)
  }
  let text = parts[0]!
  for (const [i, { key, isList }] of slots.entries()) {
    const items = isList ? Array.from({ length: counts?.[i] ?? 1 }, (_, n) => `${key}\n${n}`) : [key]
    text += items.map(placeholder).join(', ') + parts[i + 1]!
  }
  return { text, order }
}

function placeholderOf(dialect: Dialect, number: number): string {
  if (dialect === 'postgresql') return `$${number}`
  if (dialect === 'mssql') return `@p${number}`
  if (dialect === 'oracle') return `:${number}`
  return '?'
}

const MYSQL_QUOTES = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/

/**
 * Where the text of a statement is not SQL to look at: comments, strings, quoted names. A doubled quote ends one string
 * and begins the next, which comes to the same.
 */
function skipsOf(dialect: Dialect): RegExp {
  const mysql = dialect === 'mysql' || dialect === 'mariadb'
  const alternatives = [
    mysql ? /--[\s][^\n]*|#[^\n]*/ : /--[^\n]*/,
    mysql ? MYSQL_QUOTES : /'[^']*'|"[^"]*"/,
    ...(mysql || dialect === 'sqlite' ? [/`[^`]*`/] : []),
    ...(dialect === 'mssql' || dialect === 'sqlite' ? [/\[[^\]]*\]/] : []),
  ]
  return new RegExp(alternatives.map(({ source }) => source).join('|'), 'y')
}

const SKIPS = Object.fromEntries(DIALECTS.map(dialect => [dialect, skipsOf(dialect)])) as Record<
  Dialect,
  RegExp
>
const NAME = /:(\.\.\.)?([A-Za-z_][A-Za-z0-9_]*)/y
const NUMBER = /\$([1-9][0-9]{0,4})/y
const ESCAPE_STRING = /[eE]'[^'\\]*(?:\\[\s\S][^'\\]*)*'/y
const DOLLAR_QUOTE = /\$([A-Za-z_][A-Za-z0-9_]*)?\$/y
const ORACLE_QUOTE = /[nN]?[qQ]'([^\s])/y
const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const CLOSING: Readonly<Record<string, string>> = { '[': ']', '(': ')', '{': '}', '<': '>' }

function parse(dialect: Dialect, sql: string): Template {
  if (typeof sql !== 'string' || sql.trim() === '') throw invalid('is empty', String(sql))
  if (sql.length > MAX_TEXT) throw invalid(`is longer than ${MAX_TEXT} characters`, sql)
  if (sql.includes('\0')) throw invalid('has a NUL character', sql)
  const found: { from: number; to: number; slot: Slot; named: boolean }[] = []
  let questions = 0
  for (let at = 0; at < sql.length; ) {
    const skipped = skip(dialect, sql, at)
    if (skipped > at) {
      at = skipped
      continue
    }
    const name = match(NAME, sql, at)
    const number = name ? undefined : match(NUMBER, sql, at)
    if (name) {
      found.push({
        from: at,
        to: at + name[0].length,
        slot: { key: name[2]!, isList: name[1] !== undefined },
        named: true,
      })
    } else if (number) {
      found.push({
        from: at,
        to: at + number[0].length,
        slot: { key: String(Number(number[1]) - 1), isList: false },
        named: false,
      })
    } else if (sql[at] === '?' && dialect !== 'postgresql') {
      found.push({ from: at, to: at + 1, slot: { key: String(questions++), isList: false }, named: false })
    }
    at = found.at(-1)?.from === at ? found.at(-1)!.to : at + 1
  }
  return template(dialect, sql, found, questions)
}

function template(
  dialect: Dialect,
  sql: string,
  found: readonly { from: number; to: number; slot: Slot; named: boolean }[],
  questions: number,
): Template {
  const positional = found.filter(({ named }) => !named).length
  if (positional > 0 && positional < found.length)
    throw invalid('mixes named and positional placeholders', sql)
  if (questions > 0 && questions < positional) throw invalid('mixes ? and $1', sql)
  const parts: string[] = []
  let from = 0
  for (const one of found) {
    parts.push(sql.slice(from, one.from))
    from = one.to
  }
  parts.push(sql.slice(from))
  const slots = found.map(({ slot }) => slot)
  const style = found.length === 0 ? 'none' : positional > 0 ? 'positional' : 'named'
  const hasLists = slots.some(({ isList }) => isList)
  return { parts, slots, style, hasLists, ...numbered(dialect, parts, slots) }
}

/** Where the SQL goes on after what begins at `at` and is none; `at` itself when it is. */
function skip(dialect: Dialect, sql: string, at: number): number {
  const skips = SKIPS[dialect]
  if (sql.startsWith('/*', at)) return endOfComment(dialect, sql, at)
  // Casts and assignments: a::int, @a := 1.
  if (sql.startsWith('::', at) || sql.startsWith(':=', at)) return at + 2
  if (dialect === 'postgresql') {
    const quoted = match(ESCAPE_STRING, sql, at)
    if (quoted) return at + quoted[0].length
    const dollar = match(DOLLAR_QUOTE, sql, at)
    if (dollar) return endAfter(sql, dollar[0], at + dollar[0].length)
  }
  if (dialect === 'oracle') {
    const quote = match(ORACLE_QUOTE, sql, at)
    if (quote) return endAfter(sql, `${CLOSING[quote[1]!] ?? quote[1]}'`, at + quote[0].length)
  }
  const skipped = match(skips, sql, at) ?? match(WORD, sql, at)
  return at + (skipped?.[0].length ?? 0)
}

function endOfComment(dialect: Dialect, sql: string, at: number): number {
  if (dialect !== 'postgresql' && dialect !== 'mssql') return endAfter(sql, '*/', at + 2)
  let depth = 1
  let end = at + 2
  while (end < sql.length && depth > 0) {
    if (sql.startsWith('/*', end)) depth++
    else if (sql.startsWith('*/', end)) depth--
    else {
      end++
      continue
    }
    end += 2
  }
  return end
}

function endAfter(sql: string, end: string, from: number): number {
  const at = sql.indexOf(end, from)
  return at < 0 ? sql.length : at + end.length
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at
  return pattern.exec(text) ?? undefined
}

function invalid(what: string, sql: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_SQL_STATEMENT_INVALID', `the statement '${shorten(sql)}' ${what}`)
}

/** The beginning of a statement, on one line, for messages and the log. */
export function shorten(sql: string, length = 200): string {
  const line = sql.replace(/\s+/g, ' ').trim()
  return line.length > length ? `${line.slice(0, length)}...` : line
}
