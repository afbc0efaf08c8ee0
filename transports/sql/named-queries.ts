/** Named queries: statements in the .sql files of a folder of the project, each after a line `-- name: orders_of_customer`. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { SignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import type { Dialect } from './options.ts'
import { bind, type Parameters, type Statement } from './statement.ts'

const NAME_LINE = /^\s*--\s*name:\s*(.*?)\s*$/i
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/
const MAX_FILES = 1_000
const MAX_FILE_BYTES = 1024 * 1024

export class NamedQueries {
  readonly #dialect: Dialect
  readonly #queries: ReadonlyMap<string, { sql: string; place: string }>

  private constructor(dialect: Dialect, queries: ReadonlyMap<string, { sql: string; place: string }>) {
    this.#dialect = dialect
    this.#queries = queries
  }

  /** Reads all files below `folder`; without one there are no queries. Rejects with SIGNALBOX_SQL_STATEMENT_INVALID. */
  static async load(dialect: Dialect, folder: string | undefined): Promise<NamedQueries> {
    const queries = new Map<string, { sql: string; place: string }>()
    if (folder === undefined) return new NamedQueries(dialect, queries)
    for (const file of await filesBelow(folder)) {
      const text = await readFile(file, 'utf8')
      for (const { name, sql, line } of parseNamedQueries(text, relative(folder, file))) {
        const place = `${relative(folder, file)}:${line}`
        const other = queries.get(name)
        if (other) throw invalid(`the query '${name}' is there twice: at ${other.place} and at ${place}`)
        queries.set(name, { sql, place })
      }
    }
    return new NamedQueries(dialect, queries)
  }

  get names(): string[] {
    return [...this.#queries.keys()]
  }

  /** The query of this name with its parameters. Throws SIGNALBOX_SQL_STATEMENT_INVALID. */
  bind(name: string, parameters?: Parameters): Statement {
    const { text, values } = bind(this.#dialect, this.sql(name), parameters)
    return { text, values, source: name }
  }

  /** The text of a query. Throws SIGNALBOX_SQL_STATEMENT_INVALID when there is none of this name. */
  sql(name: string): string {
    const query = this.#queries.get(name)
    if (query) return query.sql
    const near = nearest(String(name), this.names)
    throw invalid(`there is no query named '${String(name)}'${near ? `; did you mean '${near}'?` : ''}`)
  }
}

/** @internal The queries in the text of one file. */
export function parseNamedQueries(text: string, file: string): { name: string; sql: string; line: number }[] {
  const found: { name: string; sql: string; line: number }[] = []
  let current: { name: string; lines: string[]; line: number } | undefined
  const end = () => {
    if (!current) return
    const sql = current.lines.join('\n').trim().replace(/;$/, '').trim()
    if (sql === '') throw invalid(`${file}:${current.line}: the query '${current.name}' is empty`)
    found.push({ name: current.name, sql, line: current.line })
  }
  for (const [i, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .entries()) {
    const name = NAME_LINE.exec(line)?.[1]
    if (name !== undefined) {
      end()
      if (!NAME.test(name))
        throw invalid(`${file}:${i + 1}: '${name}' is no name of a query: letters, digits, _ . -`)
      current = { name, lines: [], line: i + 1 }
    } else if (current) current.lines.push(line)
    else if (line.trim() !== '' && !line.trim().startsWith('--'))
      throw invalid(`${file}:${i + 1}: a statement has no name; put a line '-- name: some_name' before it`)
  }
  end()
  return found
}

async function filesBelow(folder: string): Promise<string[]> {
  let entries: string[]
  try {
    entries = await readdir(folder, { recursive: true })
  } catch (error) {
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `queriesFolder: cannot read ${folder}`, {
      cause: error,
    })
  }
  const files = entries.filter(name => name.endsWith('.sql')).sort()
  if (files.length > MAX_FILES) throw invalid(`${folder} has more than ${MAX_FILES} files of queries`)
  for (const file of files) {
    const { size } = await stat(join(folder, file))
    if (size > MAX_FILE_BYTES) throw invalid(`${file} is larger than ${MAX_FILE_BYTES} bytes`)
  }
  return files.map(file => join(folder, file))
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_SQL_STATEMENT_INVALID', message)
}
