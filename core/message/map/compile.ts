/** Declared mappings, compiled: a path here, a value there, near the speed of code written by hand. */
import { SignalboxError } from '../../errors.ts'
import type { MappingDefinition, TypedMapping } from './definition.ts'
import { type EmitOptions, emitMapping, type Issue, type Place } from './emit.ts'
import { FUNCTIONS, type FunctionDefinition, type MappingFunction } from './functions.ts'
import { type Problem, RUNTIME } from './runtime.ts'

export type { Problem } from './runtime.ts'

export interface MappingOptions {
  /** What the mapping is called in errors. Default `mapping`. */
  name?: string
  /** Functions beside the built-in ones. They answer at once; what they throw is why they refuse a value. */
  functions?: Readonly<Record<string, MappingFunction>>
  /** Tables for `lookup` beside those of the mapping. */
  tables?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Where a place of the definition stands in its file. */
  locate?: (place: Place) => { line: number; column: number }
}

/** What a mapping made, and what it did not find. */
export interface MappingReport<Output> {
  output: Output
  /** Required values that are missing, and values that were refused: {@link Mapping.run} would have thrown. */
  problems: Problem[]
  /** Optional values that are missing. */
  absent: Problem[]
}

/** A compiled mapping. */
export interface Mapping<Input = unknown, Output = unknown> {
  readonly name: string
  /**
   * Maps. `extra` is what paths that start with `$name` find. The output shares parts that are taken as a whole with
   * the input. Throws SIGNALBOX_MAPPING_MISSING or SIGNALBOX_MAPPING_FAILED with all `problems` in the details.
   */
  run(input: Input, extra?: Readonly<Record<string, unknown>>): Output
  /** Maps, and says what was missing instead of throwing. */
  report(input: Input, extra?: Readonly<Record<string, unknown>>): MappingReport<Partial<Output>>
  /** For each JSON Pointer of the output, the path of the source that its value came from. */
  trace(input: Input, extra?: Readonly<Record<string, unknown>>): ReadonlyMap<string, string>
}

type Program = (
  input: unknown,
  extra: unknown,
  problems: Problem[],
  absent: Problem[] | undefined,
  trace: Map<string, string> | undefined,
) => unknown

/** Compiles a mapping. Throws SIGNALBOX_MAPPING_INVALID with all `issues` in the details: path, line, column, message. */
export function compileMapping<Input = unknown, Output = unknown>(
  definition: MappingDefinition | TypedMapping<Input, Output>,
  options: MappingOptions = {},
): Mapping<Input, Output> {
  const { name = 'mapping' } = options
  const program = link(definition, options, 'nothing')
  let reporting: Program | undefined
  let tracing: Program | undefined
  return {
    name,
    run(input, extra) {
      const problems: Problem[] = []
      const output = program(input, extra, problems, undefined, undefined)
      if (problems.length > 0) throw refused(name, problems)
      return output as Output
    },
    report(input, extra) {
      const problems: Problem[] = []
      const absent: Problem[] = []
      reporting ??= link(definition, options, 'absent')
      const output = reporting(input, extra, problems, absent, undefined) as Partial<Output>
      return { output, problems, absent }
    },
    trace(input, extra) {
      tracing ??= link(definition, options, 'sources')
      const trace = new Map<string, string>()
      tracing(input, extra, [], undefined, trace)
      return trace
    },
  }
}

function link(definition: MappingDefinition, options: MappingOptions, notes: EmitOptions['notes']): Program {
  const { tables = {}, functions = {} } = options
  const issues = definitionIssues(definition)
  if (issues.length > 0) throw invalid(issues, options)
  const emitted = emitMapping(definition, {
    functions: { ...FUNCTIONS, ...customs(functions) },
    tables,
    notes,
  })
  if (emitted.issues.length > 0) throw invalid(emitted.issues, options)
  const made = new Function('R', 'K', 'P', 'O', emitted.code)
  return made(RUNTIME, emitted.pool, Object.getPrototypeOf, Object.prototype) as Program
}

function customs(functions: Readonly<Record<string, MappingFunction>>): Record<string, FunctionDefinition> {
  const definitions = Object.entries(functions).map(([name, call]): [string, FunctionDefinition] => {
    const guarded: MappingFunction = (...args) => {
      const result = call(...args)
      if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
        throw new Error(`the function '${name}' returned a promise; it must answer at once`)
      }
      return result
    }
    return [name, { description: 'custom', args: [], required: 0, variadic: true, call: guarded }]
  })
  return Object.fromEntries(definitions)
}

function definitionIssues(definition: unknown): Issue[] {
  if (typeof definition !== 'object' || definition === null || Array.isArray(definition)) {
    return [{ place: [], message: 'must be an object with a map' }]
  }
  return Object.keys(definition)
    .filter(key => !['description', 'from', 'tables', 'map'].includes(key))
    .map(key => ({
      place: [key],
      message: `'${key}' means nothing here; there are description, from, tables and map`,
    }))
}

function invalid(issues: readonly Issue[], { name = 'mapping', locate }: MappingOptions): SignalboxError {
  const details = issues.map(({ place, message }) => ({ path: place.join('.'), message, ...locate?.(place) }))
  const texts = details.map(({ path, message, ...at }) => {
    const { line, column } = at as { line?: number; column?: number }
    return `${path || '(all)'}${line === undefined ? '' : ` (line ${line}, column ${column})`} ${message}`
  })
  const { path, message: _, ...place } = details[0]!
  return new SignalboxError('SIGNALBOX_MAPPING_INVALID', `${name}: ${texts.join('; ')}`, {
    details: { path, ...place, issues: details },
  })
}

const SHOWN = 10

function refused(name: string, problems: readonly Problem[]): SignalboxError {
  const texts = problems.slice(0, SHOWN).map(({ source, target, reason }) => {
    const from = source === '' ? 'a value' : source
    return reason === undefined ? `${from} is missing (for ${target})` : `${from}: ${reason} (for ${target})`
  })
  if (problems.length > SHOWN) texts.push(`and ${problems.length - SHOWN} more`)
  const onlyMissing = problems.every(({ reason }) => reason === undefined)
  const code = onlyMissing ? 'SIGNALBOX_MAPPING_MISSING' : 'SIGNALBOX_MAPPING_FAILED'
  const missing = problems.filter(({ reason }) => reason === undefined).map(({ source }) => source)
  return new SignalboxError(code, `${name}: ${texts.join('; ')}`, { details: { problems, missing } })
}
