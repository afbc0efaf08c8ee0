/** Mappings as files: NAME.yaml, NAME.yml and NAME.json are declared, NAME.jsonata is JSONata, NAME.ts is code. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../../errors.ts'
import { compileJsonata } from '../jsonata/compile.ts'
import { compileMapping, type MappingOptions } from './compile.ts'
import type { MappingDefinition } from './definition.ts'
import type { Place } from './emit.ts'

/** A mapping, whatever it is written in. */
export interface LoadedMapping {
  /** Name of the file without its ending. */
  readonly name: string
  readonly kind: 'declared' | 'jsonata' | 'typescript'
  /** For JSONata: why it is left to the jsonata package, which is slow; undefined when it is compiled. */
  readonly fallback: string | undefined
  /** Maps; a promise from JSONata that is not compiled, and from TypeScript that returns one. */
  run(input: unknown, extra?: Readonly<Record<string, unknown>>): unknown
  /** For declared mappings: the paths of values that the input lacks, required ones and others. */
  missing?(
    input: unknown,
    extra?: Readonly<Record<string, unknown>>,
  ): { required: string[]; optional: string[] }
  /** For declared mappings: by JSON Pointer of the output, the path of the source that its value came from. */
  trace?(input: unknown, extra?: Readonly<Record<string, unknown>>): ReadonlyMap<string, string>
}

const MAX_BYTES = 4 * 1024 * 1024
const MAX_ALIASES = 1_000

/** Loads one file. Throws SIGNALBOX_MAPPING_INVALID, with line and column where they are known. */
export async function loadMapping(
  file: string,
  options: Omit<MappingOptions, 'name' | 'locate'> = {},
): Promise<LoadedMapping> {
  const ending = extname(file)
  const name = basename(file, ending)
  if (ending === '.ts' || ending === '.js' || ending === '.mjs') return loadModule(file, name, options)
  const text = await textOf(file)
  if (ending === '.jsonata') {
    const { run, reason } = await compileJsonata(text, { name: file })
    return { name, kind: 'jsonata', fallback: reason, run }
  }
  if (ending === '.yaml' || ending === '.yml' || ending === '.json')
    return declared(name, ...(await parseMapping(text, file)), options)
  throw new SignalboxError(
    'SIGNALBOX_MAPPING_INVALID',
    `${file}: a mapping ends in .yaml, .json, .jsonata or .ts`,
  )
}

/** What became of a file in a folder of mappings. */
export type MappingFile = { file: string; mapping: LoadedMapping } | { file: string; error: Error }

/** Loads all mappings in a folder, in the order of their names; none when the folder is not there. */
export async function loadMappings(folder: string): Promise<MappingFile[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const files = names
    .filter(name => /\.(ya?ml|json|jsonata|ts|m?js)$/.test(name) && !/\.(test|d)\.ts$/.test(name))
    .sort()
  return Promise.all(
    files.map(async (file): Promise<MappingFile> => {
      return loadMapping(join(folder, file)).then(
        mapping => ({ file, mapping }),
        (error: Error) => ({ file, error }),
      )
    }),
  )
}

/** Reads the YAML (or JSON) text of a mapping. `name` is for errors. Rejects with SIGNALBOX_MAPPING_INVALID. */
export async function parseMapping(text: string, name: string): Promise<[MappingDefinition, MappingOptions]> {
  // Most workers have no use for it.
  const { isNode, LineCounter, parseDocument } = await import('yaml')
  const lines = new LineCounter()
  const tooMuch = (cause: unknown) =>
    new SignalboxError('SIGNALBOX_MAPPING_INVALID', `${name}: ${(cause as Error).message}`, { cause })
  const document = attempt(
    () => parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true }),
    tooMuch,
  )
  const problem = document.errors[0]
  if (problem !== undefined) {
    const { line, col: column } = lines.linePos(problem.pos[0])
    const message = `${name}: ${problem.message}, at line ${line}, column ${column}`
    throw new SignalboxError('SIGNALBOX_MAPPING_INVALID', message, { details: { line, column } })
  }
  const locate = (place: Place) => {
    // What was merged in with << is not there itself: then the nearest thing around it.
    for (let length = place.length; length > 0; length--) {
      const node = document.getIn(place.slice(0, length), true)
      if (isNode(node) && node.range) {
        const { line, col: column } = lines.linePos(node.range[0])
        return { line, column }
      }
    }
    return { line: 1, column: 1 }
  }
  const definition: unknown = attempt(() => document.toJS({ maxAliasCount: MAX_ALIASES }), tooMuch)
  return [definition as MappingDefinition, { name, locate }]
}

/** The package throws for an alias of nothing, for too many of them, and for a depth that the stack does not hold. */
function attempt<T>(work: () => T, failed: (cause: unknown) => SignalboxError): T {
  try {
    return work()
  } catch (cause) {
    throw failed(cause)
  }
}

function declared(
  name: string,
  definition: MappingDefinition,
  parsed: MappingOptions,
  options: MappingOptions,
): LoadedMapping {
  const mapping = compileMapping(definition, { ...options, ...parsed })
  return {
    name,
    kind: 'declared',
    fallback: undefined,
    run: (input, extra) => mapping.run(input, extra),
    trace: (input, extra) => mapping.trace(input, extra),
    missing(input, extra) {
      const { problems, absent } = mapping.report(input, extra)
      const required = problems.filter(({ reason }) => reason === undefined).map(({ source }) => source)
      return { required, optional: absent.map(({ source }) => source) }
    },
  }
}

/** The default export: a function, or a mapping made with `mapping()`. A changed file is loaded anew. */
async function loadModule(file: string, name: string, options: MappingOptions): Promise<LoadedMapping> {
  let exported: unknown
  try {
    const { mtimeMs } = await stat(file)
    const url = pathToFileURL(file)
    url.searchParams.set('changed', String(mtimeMs))
    exported = ((await import(url.href)) as { default?: unknown }).default
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_MAPPING_INVALID', `${file}: ${(cause as Error).message}`, { cause })
  }
  if (typeof exported === 'function') {
    return { name, kind: 'typescript', fallback: undefined, run: exported as LoadedMapping['run'] }
  }
  if (typeof exported === 'object' && exported !== null) {
    return declared(name, exported as MappingDefinition, { name: file }, options)
  }
  const message = `${file}: the default export must be a function (input, extra) => output, or a declared mapping`
  throw new SignalboxError('SIGNALBOX_MAPPING_INVALID', message)
}

async function textOf(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_MAPPING_INVALID', `${file}: ${(cause as Error).message}`, { cause })
  }
}
