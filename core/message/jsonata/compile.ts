/**
 * JSONata (https://docs.jsonata.org, version 2), compiled to JavaScript. What the compiler does not cover runs in the
 * jsonata package, some hundred times slower.
 */
import { SignalboxError } from '../../errors.ts'
import { evalOfData, type Node } from './ast.ts'
import { MAX_ITEMS } from './budget.ts'
import type { Compiled, Program } from './compiler.ts'
import type { NativeDefinition } from './functions.ts'
import type { WatchedRegExp } from './matching.ts'

const DEFAULT_TIMEOUT_MS = 5_000
const MAX_DEPTH = 2_000
/** Longest expression, in characters. */
const MAX_LENGTH = 262_144

export interface JsonataOptions {
  /** What the expression is called in errors. Default `jsonata`. */
  name?: string
  /** Longest time for one run, in milliseconds. Default 5,000. */
  timeoutMs?: number
}

/** An expression, ready to run any number of times. */
export interface CompiledJsonata {
  /** Whether it is JavaScript; otherwise the jsonata package evaluates it, and `run` gives a promise. */
  readonly compiled: boolean
  /** Why it is not compiled. */
  readonly reason: string | undefined
  /**
   * Evaluates it. `bindings` are its variables, by name without `$`; functions among them must answer at once in a
   * compiled expression. Undefined: it found nothing. The result shares what it took from the input unchanged.
   *
   * Throws (or rejects with) SIGNALBOX_MAPPING_FAILED; details `code` (of JSONata), `position`, `token`.
   */
  run(input: unknown, bindings?: Readonly<Record<string, unknown>>): unknown
}

/** Compiles an expression. Rejects with SIGNALBOX_MAPPING_INVALID, details `line`, `column`, for a syntax error. */
export async function compileJsonata(text: string, options: JsonataOptions = {}): Promise<CompiledJsonata> {
  const { name = 'jsonata', timeoutMs = DEFAULT_TIMEOUT_MS } = options
  if (text.length > MAX_LENGTH) throw invalid(name, `it is longer than ${MAX_LENGTH} characters`, text, 0)
  const { jsonata, compile, WatchedRegExp } = await loadPackage()
  const limits = {
    timeout: timeoutMs,
    stack: MAX_DEPTH,
    sequence: MAX_ITEMS,
    RegexEngine: WatchedRegExp as never,
  }
  const parsed = parse(() => jsonata(text, limits), name, text)
  const ast = parsed.ast() as unknown as Node
  const hidden = evalOfData(ast)
  if (hidden !== undefined) {
    throw invalid(name, '$eval takes nothing but a text in quotes: data is no code', text, hidden)
  }
  const { program, reason } = compile(ast)
  if (program !== undefined) return { compiled: true, reason, run: runner(program, name, timeoutMs) }
  return {
    compiled: false,
    reason,
    run: (input, bindings) =>
      parsed.evaluate(input, bindings as Record<string, unknown>).catch((error: unknown) => {
        throw failed(name, error)
      }),
  }
}

function runner(program: Program, name: string, timeoutMs: number): CompiledJsonata['run'] {
  return (input, bindings) => {
    if (bindings !== undefined) refuseRebinding(bindings, program.used, name)
    try {
      return program.run(input, bindings, timeoutMs)
    } catch (error) {
      throw failed(name, error)
    }
  }
}

/** The code is bound to the functions of the library. */
function refuseRebinding(bindings: object, used: ReadonlySet<string>, name: string): void {
  for (const key of Object.keys(bindings)) {
    if (used.has(key)) {
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `${name}: $${key} is a function of JSONata; bind another name`,
      )
    }
  }
}

/** What the parser and the evaluator of the package throw. */
interface PackageError {
  code?: string
  message?: string
  position?: number
  token?: unknown
}

function parse<T>(read: () => T, name: string, text: string): T {
  try {
    return read()
  } catch (error) {
    const { code, message, position } = error as PackageError
    throw invalid(
      name,
      `${message ?? String(error)}${code === undefined ? '' : ` (${code})`}`,
      text,
      position ?? 0,
      error,
    )
  }
}

function invalid(name: string, why: string, text: string, position: number, cause?: unknown): SignalboxError {
  const before = text.slice(0, position).split('\n')
  const line = before.length
  const column = before.at(-1)!.length + 1
  const message = `${name}: ${why}, at line ${line}, column ${column}`
  return new SignalboxError('SIGNALBOX_MAPPING_INVALID', message, { details: { line, column }, cause })
}

function failed(name: string, error: unknown): SignalboxError {
  if (error instanceof SignalboxError) return error
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return failure(name, 'the functions are nested too deeply', { code: 'D1011' }, error)
  }
  const { code, message, position, token } = (
    typeof error === 'object' && error !== null ? error : {}
  ) as PackageError
  const where = position === undefined ? '' : `, at character ${position}`
  const what = `${message ?? code ?? String(error)}${typeof code === 'string' ? ` (${code})` : ''}${where}`
  return failure(name, what, { code, position, token: typeof token === 'string' ? token : undefined }, error)
}

function failure(
  name: string,
  what: string,
  details: Record<string, unknown>,
  cause: unknown,
): SignalboxError {
  return new SignalboxError('SIGNALBOX_MAPPING_FAILED', `${name}: ${what}`, { details, cause })
}

interface Package {
  jsonata: typeof import('jsonata')
  compile: (ast: Node) => Compiled
  WatchedRegExp: typeof WatchedRegExp
}

let loaded: Promise<Package> | undefined

/** The package and the compiler, loaded on first use: most workers have no use for them. */
function loadPackage(): Promise<Package> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<Package> {
  const { default: jsonata } = await import('jsonata')
  const { createCompiler } = await import('./compiler.ts')
  const { WatchedRegExp } = await import('./matching.ts')
  const list = NAMES.map(name => `${JSON.stringify(name)}: $${name}`).join(', ')
  const definitions: Record<string, NativeDefinition> = await jsonata(`{ ${list} }`).evaluate({})
  return { jsonata, compile: createCompiler(definitions), WatchedRegExp }
}

/** The library of JSONata 2; `$eval` is not there, it needs the package itself. */
const NAMES =
  `sum count max min average string substring substringBefore substringAfter lowercase uppercase length
trim pad match contains replace split join formatNumber formatBase formatInteger parseInteger number floor ceil round
abs sqrt power random boolean not map zip filter single reduce sift keys lookup append exists spread merge reverse each
error assert type sort shuffle distinct base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent
decodeUrl toMillis fromMillis clone now millis`.split(/\s+/)
