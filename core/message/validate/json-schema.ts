/** JSON Schema, drafts 07, 2019-09 and 2020-12, by ajv: safe for schemas of the project and messages of strangers. */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Ajv, AnySchemaObject, ErrorObject, Options, ValidateFunction } from 'ajv'
import { SignalboxError } from '../../errors.ts'
import { ruleOf, withFormats } from '../../schema.ts'
import { overLimit } from '../safety.ts'
import { decodeUtf8 } from '../text.ts'
import { type PatternCost, patternCost } from './pattern-cost.ts'
import { SchemaFolder, unusable } from './schema-files.ts'
import { timeBoxed } from './time-box.ts'
import { MAX_VIOLATIONS, shown, type Validator, type Violation } from './violation.ts'
import { formatTest, UNWATCHED } from './watched.ts'

export type JsonSchemaDraft = '07' | '2019-09' | '2020-12'

export interface JsonSchemaLimits {
  /** Draft of a schema that does not say it in `$schema`. Default 2020-12. */
  draft?: JsonSchemaDraft
  /** Values in a message, at any depth. Default 100,000. */
  maxValues?: number
  /** How long a check that may take long is let run, in milliseconds. Default 100. */
  timeLimitMs?: number
}

export type JsonSchemaOptions = JsonSchemaLimits &
  (
    | { schema: object; schemaFile?: never; folder?: URL | string }
    | { schema?: never; schemaFile: string; folder: URL | string }
  )

const DRAFTS: Readonly<Record<JsonSchemaDraft, { uri: string; module: string }>> = {
  '07': { uri: 'draft-07', module: 'ajv' },
  '2019-09': { uri: 'draft/2019-09', module: 'ajv/dist/2019.js' },
  '2020-12': { uri: 'draft/2020-12', module: 'ajv/dist/2020.js' },
}
const BASE = 'signalbox-schema:///'
const MAX_CACHED = 256
const DEFAULT_MAX_VALUES = 100_000
const DEFAULT_TIME_LIMIT_MS = 100

/** Keywords that can make a check take much longer than the message is long. */
const COSTLY = new Set(['uniqueItems', '$dynamicRef', '$recursiveRef'])
const BRANCHING = new Set(['anyOf', 'oneOf', 'not', 'if', 'contains'])

interface Compiled {
  validate: ValidateFunction
  /** Every check needs a time limit. */
  costly: boolean
}

const cache = new Map<string, Compiled>()
const require = createRequire(import.meta.url)

/**
 * A validator for data. With `schemaFile`, a path below `folder`, the schema is read now; `$ref` may name other files
 * of the folder, by their paths or their `$id`; nothing outside of it is read, nothing is fetched. Equal schemas are
 * compiled once. Formats of ajv-formats are checked.
 *
 * A check that may take long (regular expressions that may backtrack, `uniqueItems`, recursion with alternatives)
 * runs under `timeLimitMs`.
 *
 * Throws SIGNALBOX_SCHEMA_INVALID. `validate` throws SIGNALBOX_FORMAT_LIMIT for a message that has too many values or
 * takes too long.
 */
export function jsonSchemaValidator(options: JsonSchemaOptions): Validator {
  const { maxValues = DEFAULT_MAX_VALUES, timeLimitMs = DEFAULT_TIME_LIMIT_MS } = options
  const compiled = compile(options)
  return {
    validate(message) {
      checkSize(message, maxValues)
      return run(compiled, message, timeLimitMs) ? [] : violations(compiled.validate.errors)
    },
  }
}

/** Set while a check runs under a time limit, so that every text may be matched. */
let watched = false

class NeedsTimeLimit extends Error {}

function run({ validate, costly }: Compiled, message: unknown, timeLimitMs: number): boolean {
  if (!costly) {
    try {
      return validate(message) as boolean
    } catch (error) {
      if (!(error instanceof NeedsTimeLimit)) throw error
    }
  }
  watched = true
  try {
    return timeBoxed(timeLimitMs, () => validate(message) as boolean)
  } finally {
    watched = false
  }
}

function violations(errors: readonly ErrorObject[] | null | undefined): Violation[] {
  return (errors ?? []).slice(0, MAX_VIOLATIONS).map(error => ({
    source: 'schema',
    severity: 'error',
    rule: error.keyword,
    message: ruleOf(error),
    pointer: error.instancePath,
    ...shown(error.data),
  }))
}

/** Counts without recursion; a cycle would be found by its endless count. */
function checkSize(message: unknown, maxValues: number): void {
  const open: unknown[] = [message]
  let count = 0
  while (open.length > 0) {
    const value = open.pop()
    if (++count > maxValues) throw overLimit('validation', 'maxValues', maxValues, 'values')
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue
    const inner = Array.isArray(value) ? value : Object.values(value)
    if (count + open.length + inner.length > maxValues) {
      throw overLimit('validation', 'maxValues', maxValues, 'values')
    }
    for (const each of inner) open.push(each)
  }
}

function compile(options: JsonSchemaOptions): Compiled {
  const folder = options.folder === undefined ? undefined : new SchemaFolder(options.folder)
  const file = options.schemaFile === undefined ? undefined : pathOf(folder!, options.schemaFile)
  const main = file === undefined ? (options.schema as AnySchemaObject) : parseFile(folder!, file)
  const documents = collect(main, file ?? '', folder)
  const draft = draftOf(main) ?? options.draft ?? '2020-12'
  const key = createHash('sha256')
    .update(draft)
    .update(JSON.stringify([...documents]))
    .digest('base64')
  const known = cache.get(key)
  if (known !== undefined) return known
  const compiled = compileDocuments(documents, draft)
  if (cache.size >= MAX_CACHED) cache.delete(cache.keys().next().value!)
  cache.set(key, compiled)
  return compiled
}

function pathOf(folder: SchemaFolder, file: string): string {
  const path = folder.resolve(file)
  if (path === undefined) throw unusable(`'${file}' is no path of a file`)
  return path
}

function parseFile(folder: SchemaFolder, path: string): AnySchemaObject {
  try {
    const schema: unknown = JSON.parse(decodeUtf8(folder.read(path), path))
    if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) return schema
  } catch (error) {
    if (error instanceof SignalboxError && error.code === 'SIGNALBOX_SCHEMA_INVALID') throw error
    throw unusable(`${path} is not JSON: ${(error as Error).message}`, error)
  }
  throw unusable(`${path} is no object`)
}

/** The schema and all that it refers to, each by its URI; the first is the schema itself. */
function collect(
  main: AnySchemaObject,
  file: string,
  folder: SchemaFolder | undefined,
): Map<string, AnySchemaObject> {
  const documents = new Map<string, AnySchemaObject>()
  const open = [{ schema: main, file, uri: new URL(file, BASE).href }]
  while (open.length > 0) {
    const { schema, file, uri } = open.pop()!
    const id = typeof schema.$id === 'string' ? schema.$id : ''
    const base = URL.canParse(id, uri) ? new URL(id, uri).href : uri
    const key = base.replace(/#$/, '')
    if (documents.has(key)) continue
    documents.set(key, schema)
    // Others may refer to a file by its path as well.
    const { $id, ...nameless } = schema
    if ($id !== undefined && file !== '') open.push({ schema: nameless, file, uri })
    if (folder === undefined) continue
    for (const reference of references(schema)) {
      const [name] = reference.split('#', 1)
      const path = name === '' ? undefined : folder.resolve(name!, file)
      // What is no file may still be the $id of a schema that is; if not, ajv says so.
      if (path === undefined || !folder.has(path)) continue
      open.push({ schema: parseFile(folder, path), file: path, uri: new URL(name!, base).href })
    }
  }
  return documents
}

function* references(schema: unknown): Generator<string> {
  for (const [keyword, value] of keywords(schema)) {
    if (/^\$(ref|dynamicRef|recursiveRef)$/.test(keyword) && typeof value === 'string') yield value
  }
}

/** All names with their values, at any depth. */
function* keywords(schema: unknown): Generator<[string, unknown]> {
  const open: unknown[] = [schema]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== 'object' || value === null) continue
    for (const entry of Object.entries(value)) {
      yield entry
      open.push(entry[1])
    }
  }
}

function draftOf({ $schema }: AnySchemaObject): JsonSchemaDraft | undefined {
  if ($schema === undefined) return undefined
  const found = Object.entries(DRAFTS).find(([, { uri }]) => String($schema).includes(uri))
  if (found === undefined)
    throw unusable(`$schema '${$schema}' is none of the drafts 07, 2019-09 and 2020-12`)
  return found[0] as JsonSchemaDraft
}

function compileDocuments(documents: Map<string, AnySchemaObject>, draft: JsonSchemaDraft): Compiled {
  const watch = { costly: false }
  const ajv = createAjv(draft, watch)
  const [main] = documents.keys()
  try {
    for (const [uri, schema] of documents) ajv.addSchema(schema, uri)
    const validate = ajv.getSchema(main!)
    if (validate === undefined) throw new Error(`there is no schema ${main}`)
    return { validate, costly: watch.costly || [...documents.values()].some(isCostly) }
  } catch (error) {
    throw unusable((error as Error).message.replaceAll(BASE, ''), error)
  }
}

function createAjv(draft: JsonSchemaDraft, watch: { costly: boolean }): Ajv {
  const loaded = require(DRAFTS[draft].module) as { default: new (options: Options) => Ajv }
  const regExp = Object.assign(
    (pattern: string, flags: string) => guarded(new RegExp(pattern, flags), watch),
    {
      // Only for code that ajv writes to files, which it does not here.
      code: 'undefined',
    },
  )
  const ajv = withFormats(
    new loaded.default({ allErrors: true, strict: false, verbose: true, logger: false, code: { regExp } }),
  )
  for (const [name, format] of Object.entries(ajv.formats)) {
    const test = formatTest(format)
    if (test !== undefined) ajv.addFormat(name, { type: 'string', validate: limited(test, 'polynomial') })
  }
  return ajv
}

function guarded(expression: RegExp, watch: { costly: boolean }): RegExp {
  const cost = patternCost(expression.source)
  if (cost === 'unknown') watch.costly = true
  const test = limited(text => expression.test(text), cost)
  return Object.assign(new RegExp(expression.source, expression.flags), { test })
}

/** A check of texts that asks for a time limit where it may need one. */
function limited(test: (text: string) => boolean, cost: PatternCost): (text: string) => boolean {
  return text => {
    if (text.length > UNWATCHED[cost] && !watched) throw new NeedsTimeLimit()
    return test(text)
  }
}

function isCostly(schema: AnySchemaObject): boolean {
  let refers = false
  let branches = false
  for (const [keyword, value] of keywords(schema)) {
    if (COSTLY.has(keyword) && value !== false) return true
    refers ||= keyword === '$ref'
    branches ||= BRANCHING.has(keyword)
  }
  return refers && branches
}
