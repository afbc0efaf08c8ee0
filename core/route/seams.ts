/** What a route takes from other parts: expressions, mappings and validators, made ready once at deployment. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import { compileJsonata } from '../message/jsonata/compile.ts'
import { loadMapping } from '../message/map/load.ts'
import { declaredRules } from '../message/validate/declared-rules.ts'
import { validator } from '../message/validate/validator.ts'
import type { Validator } from '../message/validate/violation.ts'
import { readYaml } from './yaml.ts'

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
  validator(name: string): Promise<Validator>
}

const NAME = /^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*$/
const MAPPINGS = ['.yaml', '.yml', '.json', '.jsonata', '.ts', '.js'] as const
const VALIDATORS = ['.json', '.xsd', '.rules.yaml', '.ts', '.js'] as const
const MAX_RULES_BYTES = 4 * 1024 * 1024

/** The seams of a project: JSONata, mappings from files below `mappings/`, validators from files below `schemas/`. */
export function projectSeams(root: string): RouteSeams {
  return {
    expression: (text, options) => compileJsonata(text, options),
    mapping: async name => loadMapping(await fileOf(join(root, 'mappings'), 'mapping', name, MAPPINGS)),
    validator: async name => loadValidator(join(root, 'schemas'), name),
  }
}

/** `NAME.json` is JSON Schema, `NAME.xsd` XML Schema, `NAME.rules.yaml` a list of rules, `NAME.ts` a validator as code. */
async function loadValidator(folder: string, name: string): Promise<Validator> {
  const file = await fileOf(folder, 'validator', name, VALIDATORS)
  const relative = file.slice(folder.length + 1)
  if (file.endsWith('.xsd')) return validator({ xsd: relative, folder })
  if (file.endsWith('.json')) return validator({ schemaFile: relative, folder })
  if (file.endsWith('.rules.yaml')) return loadRules(file)
  const module = (await import(pathToFileURL(file).href)) as { default?: Partial<Validator> }
  if (typeof module.default?.validate === 'function') return module.default as Validator
  throw invalid(`schemas/${relative} has no validator as its default export, such as rules([...])`)
}

async function loadRules(file: string): Promise<Validator> {
  if ((await stat(file)).size > MAX_RULES_BYTES) throw invalid(`${file} is larger than 4 MiB`)
  const { data: definitions } = await readYaml(await readFile(file, 'utf8'), file)
  const expressions = new Map<string, Evaluator>()
  for (const text of expressionsIn(definitions))
    expressions.set(text, await compileJsonata(text, { name: file }))
  return declaredRules(definitions, text => message => expressions.get(text)!.run(message))
}

/** Expressions compile asynchronously; what is no list of rules is refused by who reads it next. */
function expressionsIn(definitions: unknown): string[] {
  const list: unknown[] = Array.isArray(definitions) ? definitions : []
  return list.flatMap(rule => {
    const { when, test } = (rule ?? {}) as { when?: unknown; test?: unknown }
    return [when, test].filter(text => typeof text === 'string')
  })
}

/** The file of this name with one of the endings. */
async function fileOf(
  folder: string,
  what: string,
  name: string,
  endings: readonly string[],
): Promise<string> {
  if (!NAME.test(name)) throw invalid(`'${name}' is no name of a ${what}`)
  for (const ending of endings) {
    const path = join(folder, ...name.split('/')) + ending
    if (await isFile(path)) return path
  }
  throw invalid(`there is no ${what} '${name}': looked for ${name}{${endings.join(',')}} in ${folder}`)
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_ROUTE_INVALID', message)
}
