/** What a route takes from other parts: expressions, mappings and validators, made ready once at deployment. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import type { SchemaViolation } from '../schema.ts'

type Bindings = Readonly<Record<string, unknown>>

/** Something that is evaluated for each message; a promise where it has to be. */
export interface Evaluator {
  run(input: unknown, bindings?: Bindings): unknown
}

export interface RouteSeams {
  /** Compiles a JSONata expression. Rejects for a syntax error; details `line` and `column` where known. */
  expression(text: string, options: { name: string; timeoutMs: number }): Promise<Evaluator>
  /** The mapping of this name, of the project. Rejects when there is none. */
  mapping(name: string): Promise<Evaluator>
  /** The validator of this name, of the project. Rejects when there is none. */
  validator(name: string): Promise<(payload: unknown) => readonly SchemaViolation[] | undefined>
}

/** Frames of one evaluation, and items of one sequence it makes. */
const MAX_STACK = 1_000
const MAX_ITEMS = 1_000_000
const MAX_MAPPING_BYTES = 4 * 1024 * 1024
const MAPPING_TIMEOUT_MS = 5_000

/** The seams of a project: JSONata by the jsonata package, mappings from files below `mappings/`. */
export function projectSeams(root: string): RouteSeams {
  const expression: RouteSeams['expression'] = async (text, { timeoutMs }) => {
    const { default: jsonata } = await import('jsonata')
    const compiled = jsonata(text, { timeout: timeoutMs, stack: MAX_STACK, sequence: MAX_ITEMS })
    // The package keeps the bindings of a run apart from those of others.
    return { run: (input, bindings) => compiled.evaluate(input, bindings as Record<string, unknown>) }
  }
  return {
    expression,
    mapping: name => loadMapping(join(root, 'mappings'), name, expression),
    validator: async name => {
      throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `there is no validator '${name}'; give a schema`)
    },
  }
}

async function loadMapping(
  folder: string,
  name: string,
  expression: RouteSeams['expression'],
): Promise<Evaluator> {
  if (!/^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*$/.test(name)) {
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `'${name}' is no name of a mapping`)
  }
  const path = join(folder, ...name.split('/'))
  const text = await readFile(`${path}.jsonata`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  if (text !== undefined) {
    if (text.length > MAX_MAPPING_BYTES) {
      throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `mappings/${name}.jsonata is larger than 4 MiB`)
    }
    return expression(text, { name: `mappings/${name}.jsonata`, timeoutMs: MAPPING_TIMEOUT_MS })
  }
  const module = (await import(pathToFileURL(`${path}.ts`).href).catch((cause: unknown) => {
    const message = `there is no mapping '${name}' that loads (mappings/${name}.jsonata or .ts): ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', message, { cause })
  })) as { default?: unknown }
  if (typeof module.default === 'function') return { run: module.default as Evaluator['run'] }
  throw new SignalboxError(
    'SIGNALBOX_ROUTE_INVALID',
    `mappings/${name}.ts has no function (input, extra) => output as its default export`,
  )
}
