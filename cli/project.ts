/** A project: a folder with `signalbox.yaml` and `services/`. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Document, LineCounter, parseDocument, type YAMLParseError } from 'yaml'
import { SignalboxError } from '../core/errors.ts'
import { parseOptions, type SchemaViolation, type Static, type TSchema, Type } from '../core/schema.ts'
import { TelemetryOptions } from '../core/telemetry/options.ts'
import { Problems, segmentsOf } from './project-problems.ts'
import { findTransport, unknownTransport } from './transport-named.ts'

const Name = Type.String({
  pattern: '^[A-Za-z][A-Za-z0-9_.-]*$',
  description: 'Name on the bus: a letter, then letters, digits, dots, dashes and underscores.',
})

const Endpoint = Type.Object(
  {
    name: Name,
    type: Type.String({ description: 'Name of the transport, e.g. http.' }),
    options: Type.Optional(Type.Unknown({ description: 'Options of the transport.' })),
  },
  { additionalProperties: false },
)

const Key = Type.String({ pattern: '^[!-~]{40}$', description: 'A CURVE key in Z85: 40 characters.' })

/** The schema of `signalbox.yaml`. */
export const ProjectSchema = Type.Object(
  {
    name: Type.Optional(Name),
    node: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9.-]{1,64}$',
        default: 'node',
        description: 'Id of the node, unique in the cluster.',
      }),
    ),
    workers: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 256, description: 'Worker threads; default: one for each core.' }),
    ),
    limits: Type.Optional(
      Type.Object(
        {
          heapMb: Type.Optional(
            Type.Integer({ minimum: 32, default: 512, description: 'Heap of one worker, MiB.' }),
          ),
          externalMb: Type.Optional(
            Type.Integer({ minimum: 32, default: 1024, description: 'Buffers of one worker, MiB.' }),
          ),
          stuckMs: Type.Optional(
            Type.Integer({
              minimum: 500,
              default: 2000,
              description: 'A worker that stands still this long is replaced, ms.',
            }),
          ),
          startMs: Type.Optional(
            Type.Integer({
              minimum: 1000,
              default: 30_000,
              description: 'A worker that is not ready after this long is ended, ms.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    network: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(
            Type.String({
              default: '127.0.0.1',
              description: 'Address to listen on for nodes and programs.',
            }),
          ),
          port: Type.Integer({ minimum: 0, maximum: 65_535, description: 'Port to listen on.' }),
          publicKey: Key,
          secretKey: Type.String({
            // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
            description: 'CURVE secret key; write ${env:NAME}, never the key itself.',
          }),
          peers: Type.Optional(
            Type.Array(
              Type.Object(
                { nodeId: Type.String(), endpoint: Type.String({ pattern: '^tcp://' }), publicKey: Key },
                { additionalProperties: false },
              ),
              { default: [], description: 'The other nodes.' },
            ),
          ),
          clients: Type.Optional(
            Type.Array(Type.Object({ name: Name, publicKey: Key }, { additionalProperties: false }), {
              default: [],
              description: 'Programs that may attach.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    telemetry: Type.Optional(TelemetryOptions),
    try: Type.Optional(
      Type.Array(Type.String(), {
        default: [],
        description: 'Commands to show when the project has started.',
      }),
    ),
    channels: Type.Optional(Type.Array(Endpoint, { default: [] })),
    connections: Type.Optional(Type.Array(Endpoint, { default: [] })),
  },
  { additionalProperties: false },
)

type ProjectFile = Static<typeof ProjectSchema>

/** A channel or connection with options that are valid and complete. */
export interface EndpointConfig {
  name: string
  type: string
  options: unknown
}

export interface Project {
  /** Absolute path of the folder. */
  root: string
  name: string
  node: string
  workers: number | undefined
  limits: ProjectFile['limits']
  network: ProjectFile['network']
  telemetry: TelemetryOptions | undefined
  /** Commands to show when it has started. */
  try: string[]
  channels: EndpointConfig[]
  connections: EndpointConfig[]
}

/** Reads a project. Throws SIGNALBOX_CONFIG_INVALID with the line of what is wrong. */
export async function loadProject(folder: string): Promise<Project> {
  const root = resolve(folder)
  const path = join(root, 'signalbox.yaml')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    const message = `${path} cannot be read: a project is a folder with a signalbox.yaml`
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', message, { cause })
  }
  return parseProject(text, root, path)
}

/** Parses the text of a `signalbox.yaml`. Throws SIGNALBOX_CONFIG_INVALID with everything that is wrong. */
export function parseProject(text: string, root: string, path = 'signalbox.yaml'): Project {
  const lines = new LineCounter()
  const document = parseDocument(text, { prettyErrors: true, lineCounter: lines })
  if (document.errors.length > 0) throw syntaxError(document.errors, path)
  const problems = new Problems(path, document, lines)
  const value = substitute(dataOf(document, path), '', problems)
  const file: ProjectFile = parsed(ProjectSchema, value, '', problems) ?? {}
  const channels = checkedAll(value, 'channel', problems)
  const connections = checkedAll(value, 'connection', problems)
  problems.throwIfAny()
  return {
    root,
    name: file.name ?? 'signalbox',
    node: file.node ?? 'node',
    workers: file.workers,
    limits: file.limits,
    network: file.network,
    telemetry: file.telemetry,
    try: file.try ?? [],
    channels,
    connections,
  }
}

function syntaxError(errors: readonly YAMLParseError[], path: string): SignalboxError {
  const list = errors.map(({ message, linePos }) => `${path}:${linePos?.[0].line ?? 1}: ${message.trimEnd()}`)
  const details = { line: errors[0]!.linePos?.[0].line }
  return new SignalboxError('SIGNALBOX_CONFIG_INVALID', list.join('\n'), { details })
}

function dataOf(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {}
  } catch (cause) {
    // An alias of nothing, or too many of them.
    const message = `${path}: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', message, { cause })
  }
}

/** The channels or connections whose options are valid; what is wrong with the others joins the problems. */
function checkedAll(file: unknown, side: 'channel' | 'connection', problems: Problems): EndpointConfig[] {
  const list = (file as Record<string, unknown> | null)?.[`${side}s`]
  if (!Array.isArray(list)) return []
  const seen = new Set<unknown>()
  return list.flatMap((endpoint: Partial<EndpointConfig> | null, index) => {
    const place = `/${side}s/${index}`
    // Otherwise the schema of the file has said so.
    if (typeof endpoint?.name !== 'string' || typeof endpoint.type !== 'string') return []
    if (seen.has(endpoint.name)) problems.add(place, `is a second ${side} named ${endpoint.name}`)
    seen.add(endpoint.name)
    return checked(endpoint as EndpointConfig, side, place, problems)
  })
}

function checked(
  { name, type, options }: EndpointConfig,
  side: 'channel' | 'connection',
  place: string,
  problems: Problems,
): EndpointConfig[] {
  const transport = findTransport(type)
  const schema: TSchema | undefined = transport?.[side]?.options
  if (!schema) {
    problems.add(
      `${place}/type`,
      transport ? `is wrong: transport ${type} has no ${side}s` : `is wrong: ${unknownTransport(type)}`,
    )
    return []
  }
  const valid = parsed(schema, options, `${place}/options`, problems)
  return valid === undefined ? [] : [{ name, type, options: valid }]
}

/** The value with its defaults; undefined when it is not valid. `pointer` says where it stands in the file. */
function parsed<T>(schema: TSchema, value: unknown, pointer: string, problems: Problems): T | undefined {
  try {
    return parseOptions<T>(schema, value, pointer, 'SIGNALBOX_CONFIG_INVALID')
  } catch (error) {
    if (convertVariables(value, pointer, error, problems)) return parsed(schema, value, pointer, problems)
    problems.addFrom(error, pointer)
    return undefined
  }
}

/** An environment variable is text: where a number or a yes or no is asked for, it is made one. Whether it was. */
function convertVariables(value: unknown, base: string, error: unknown, problems: Problems): boolean {
  const errors = (error as SignalboxError).details?.errors
  if (!Array.isArray(errors)) return false
  let converted = false
  for (const { pointer, rule } of errors as SchemaViolation[]) {
    const text = problems.variables.get(base + pointer)
    const data = text === undefined ? undefined : dataFrom(text, rule)
    if (data === undefined) continue
    const path = segmentsOf(pointer)
    const holder = path.slice(0, -1).reduce((inner, key) => (inner as Record<string, unknown>)[key], value)
    ;(holder as Record<string, unknown>)[path.at(-1)!] = data
    converted = true
  }
  return converted
}

function dataFrom(text: string, rule: string): number | boolean | undefined {
  if (/^must be (integer|number)$/.test(rule) && /^-?\d+(\.\d+)?$/.test(text)) return Number(text)
  if (rule === 'must be boolean' && /^(true|false)$/.test(text)) return text === 'true'
  return undefined
}

/** Puts environment variables in the place of `${env:NAME}`. */
function substitute(value: unknown, pointer: string, problems: Problems): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}/g, (text, name: string) => {
      const found = process.env[name]
      if (found !== undefined && text === value) problems.variables.set(pointer, found)
      if (found === undefined)
        problems.add(pointer, `needs the environment variable ${name}, which is not set`)
      return found ?? text
    })
  }
  if (Array.isArray(value)) return value.map((item, i) => substitute(item, `${pointer}/${i}`, problems))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, substitute(inner, `${pointer}/${escaped(key)}`, problems)]),
  )
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
