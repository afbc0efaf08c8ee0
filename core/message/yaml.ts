/** YAML 1.2, only data: no custom tags, no merge keys, no duplicate names, and aliases within limits. */
import { createRequire } from 'node:module'
import type * as Yaml from 'yaml'
import { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import { CHARSET_OPTIONS, type CharsetOptions, charsetOf, decodeAll } from './charset.ts'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS, type FormatCodec } from './format.ts'
import { recordsOf, textReader } from './records.ts'
import { overLimit, refuseUnsafeNames } from './safety.ts'
import { YamlDocumentReader } from './yaml-split.ts'

let loaded: typeof Yaml | undefined

/** Loaded on first use: most workers never meet YAML. */
function library(): typeof Yaml {
  loaded ??= createRequire(import.meta.url)('yaml') as typeof Yaml
  return loaded
}

/** How many values the aliases of one document may stand for. */
const MAX_ALIASES = 100

/** Options of `yaml`. All have defaults. */
export interface YamlOptions extends CharsetOptions {
  merge?: boolean
  indent?: number
}

/** `application/yaml` (RFC 9512). `parse` takes one document, `split` gives all of a stream, `join` writes them. */
export const yaml: FormatCodec<YamlOptions> = {
  mediaTypes: ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'],
  suffix: '+yaml',
  options: Type.Object(
    {
      merge: Type.Optional(
        Type.Boolean({ default: false, description: 'Merge keys (<<), which YAML 1.2 does not have' }),
      ),
      indent: Type.Optional(Type.Integer({ default: 2, minimum: 1, maximum: 16 })),
      ...CHARSET_OPTIONS,
    },
    { additionalProperties: false },
  ),
  parse(bytes, limits, options) {
    return parseDocument(decodeAll(bytes, charsetOf(options?.charset), 'YAML'), 1, limits, options)
  },
  build: (value, options) => encode(textOf(value, options), options),
  split(source, limits, options) {
    const charset = charsetOf(options?.charset)
    const parse = (text: string, line: number) => parseDocument(text, line, limits, options)
    return recordsOf(source, () => textReader(new YamlDocumentReader(limits, parse), charset, 'YAML'))
  },
  async *join(records, options) {
    for await (const record of records) yield encode(`---\n${textOf(record, options)}`, options)
  },
}

function encode(text: string, options: YamlOptions | undefined): string | Buffer {
  return charsetOf(options?.charset).encode(text, 'YAML', options?.unmappable)
}

function textOf(value: unknown, options: YamlOptions | undefined): string {
  try {
    refuseCycles(value)
    // `yes` and the like are quoted, which are booleans to readers of YAML 1.1.
    return library().stringify(value ?? null, {
      indent: options?.indent ?? 2,
      lineWidth: 0,
      compat: 'yaml-1.1',
      aliasDuplicateObjects: false,
    })
  } catch (error) {
    if (error instanceof SignalboxError) throw error
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `YAML: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

function refuseCycles(value: unknown): void {
  // JSON finds cycles and bigints; what it cannot say, YAML cannot either.
  if (typeof value === 'object' && value !== null) JSON.stringify(value)
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `YAML: a ${typeof value} is no data`)
  }
}

/** `line` is that of the start of the document in the whole text. */
function parseDocument(
  text: string,
  line: number,
  limits: BodyLimits,
  options: YamlOptions | undefined,
): unknown {
  checkNesting(text, limits.maxDepth)
  const lines = new (library().LineCounter)()
  const documents = compose(text, lines, limits, options)
  const document = documents[0]
  if (document === undefined) return null
  const [problem] = [...document.errors, ...document.warnings]
  if (problem) throw invalid(problem.message, problem.pos[0], lines, line, problem)
  if (documents.length > 1) {
    throw invalid('more than one document: read them by split', documents[1]!.range[0], lines, line)
  }
  const value = toData(document, limits, () => refuseUnresolved(document, lines, line))
  checkData(value, limits)
  refuseUnsafeNames(value, 'YAML')
  return value
}

function compose(
  text: string,
  lineCounter: Yaml.LineCounter,
  limits: BodyLimits,
  options: YamlOptions | undefined,
): Yaml.Document.Parsed[] {
  try {
    const documents = library().parseAllDocuments(text, {
      lineCounter,
      version: '1.2',
      schema: 'core',
      resolveKnownTags: false,
      merge: options?.merge ?? false,
      prettyErrors: false,
      strict: true,
      stringKeys: true,
      uniqueKeys: true,
      logLevel: 'silent',
    })
    return 'empty' in documents ? [] : documents
  } catch (error) {
    if (error instanceof RangeError) throw overLimit('YAML', 'maxDepth', limits.maxDepth, 'levels of nesting')
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `YAML: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** An alias without an anchor before it. */
function refuseUnresolved(document: Yaml.Document.Parsed, lines: Yaml.LineCounter, line: number): void {
  const anchors = new Set<string>()
  library().visit(document, {
    Node(_, node) {
      const { anchor } = node as { anchor?: string }
      if (anchor !== undefined) anchors.add(anchor)
    },
    Alias(_, { source, range }) {
      if (!anchors.has(source)) throw invalid('an alias without an anchor', range?.[0] ?? 0, lines, line)
    },
  })
}

function toData(document: Yaml.Document.Parsed, limits: BodyLimits, check: () => void): unknown {
  try {
    check()
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    if (error instanceof SignalboxError) throw error
    if (error instanceof ReferenceError && error.message.includes('alias count')) {
      throw overLimit('YAML', 'maxAliases', MAX_ALIASES, 'values that aliases stand for')
    }
    if (error instanceof RangeError) throw overLimit('YAML', 'maxDepth', limits.maxDepth, 'levels of nesting')
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `YAML: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** The parser is recursive, so depth that needs no line of its own is counted before. */
function checkNesting(text: string, maxDepth: number): void {
  if (!/[[{]|[-?:] +[-?]/.test(text)) return
  let flow = 0
  let inLine = 0
  for (const token of new (library().Lexer)().lex(text)) {
    const first = token[0]
    if (token === '\n' || token === '\r\n') inLine = 0
    else if (first === '[' || first === '{') flow++
    else if (token === ']' || token === '}') flow--
    else if (token === '-' || token === '?' || token === ':') inLine++
    if (flow > maxDepth || inLine > 2 * maxDepth) {
      throw overLimit('YAML', 'maxDepth', maxDepth, 'levels of nesting')
    }
  }
}

/** Aliases make a small text a large value, or one that contains itself: counted as a reader would meet it. */
function checkData(value: unknown, { maxDepth, maxElements = DEFAULT_MAX_ELEMENTS }: BodyLimits): void {
  const open: [value: unknown, depth: number][] = [[value, 0]]
  let count = 0
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [item, depth] = next
    if (++count > maxElements) throw overLimit('YAML', 'maxElements', maxElements, 'values')
    if (typeof item !== 'object' || item === null) continue
    if (depth >= maxDepth) throw overLimit('YAML', 'maxDepth', maxDepth, 'levels of nesting')
    const inner = Object.values(item)
    if (count + open.length + inner.length > maxElements) {
      throw overLimit('YAML', 'maxElements', maxElements, 'values')
    }
    for (const each of inner) open.push([each, depth + 1])
  }
}

function invalid(
  why: string,
  offset: number,
  lines: Yaml.LineCounter,
  firstLine: number,
  cause?: unknown,
): SignalboxError {
  const found = lines.linePos(offset)
  const place = { line: Math.max(1, found.line) + firstLine - 1, column: Math.max(1, found.col) }
  const message = `YAML: ${why.split('\n', 1)[0]}, at line ${place.line}, column ${place.column}`
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { details: place, cause })
}
