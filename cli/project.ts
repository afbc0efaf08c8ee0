/** A project: a folder with `signalbox.yaml` and `services/`. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { SignalboxError } from '../core/errors.ts'
import { parseOptions, type Static, type TSchema, Type } from '../core/schema.ts'
import { TelemetryOptions } from '../core/telemetry/options.ts'
import type { Transport } from '../core/transport.ts'
import { transports } from '../transports/index.ts'

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
      Type.String({ pattern: '^[A-Za-z0-9.-]{1,64}$', default: 'node', description: 'Id of the node, unique in the cluster.' }),
    ),
    workers: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 256, description: 'Worker threads; default: one for each core.' }),
    ),
    limits: Type.Optional(
      Type.Object(
        {
          heapMb: Type.Optional(Type.Integer({ minimum: 32, default: 512, description: 'Heap of one worker, MiB.' })),
          externalMb: Type.Optional(
            Type.Integer({ minimum: 32, default: 1024, description: 'Buffers of one worker, MiB.' }),
          ),
          stuckMs: Type.Optional(
            Type.Integer({ minimum: 500, default: 2000, description: 'A worker that stands still this long is replaced, ms.' }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    network: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(Type.String({ default: '127.0.0.1', description: 'Address to listen on for nodes and programs.' })),
          port: Type.Integer({ minimum: 0, maximum: 65_535, description: 'Port to listen on.' }),
          publicKey: Key,
          secretKey: Type.String({ description: 'CURVE secret key; write ${env:NAME}, never the key itself.' }),
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
      Type.Array(Type.String(), { default: [], description: 'Commands to show when the project has started.' }),
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

/** Parses the text of a `signalbox.yaml`. */
export function parseProject(text: string, root: string, path = 'signalbox.yaml'): Project {
  const document = parseDocument(text, { prettyErrors: true })
  const problem = document.errors[0]
  if (problem) {
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', `${path}: ${problem.message}`, {
      details: { line: problem.linePos?.[0].line },
    })
  }
  const value: unknown = substitute(document.toJS({ maxAliasCount: 100 }) ?? {}, path)
  const file = parseOptions<ProjectFile>(ProjectSchema, value, path, 'SIGNALBOX_CONFIG_INVALID')
  const channels = file.channels ?? []
  const connections = file.connections ?? []
  refuseTwins(channels, 'channel', path)
  refuseTwins(connections, 'connection', path)
  return {
    root,
    name: file.name ?? 'signalbox',
    node: file.node ?? 'node',
    workers: file.workers,
    limits: file.limits,
    network: file.network,
    telemetry: file.telemetry,
    try: file.try ?? [],
    channels: channels.map(endpoint => checked(endpoint, 'channel', path)),
    connections: connections.map(endpoint => checked(endpoint, 'connection', path)),
  }
}

/** The transport of this name. Throws SIGNALBOX_TRANSPORT_UNKNOWN. */
export function transportNamed(name: string): Transport {
  const transport = transports.find(other => other.name === name)
  if (transport) return transport
  const names = transports.map(other => other.name).join(', ')
  throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', `there is no transport '${name}'; there are: ${names}`)
}

function checked(endpoint: Static<typeof Endpoint>, side: 'channel' | 'connection', path: string): EndpointConfig {
  const { name, type } = endpoint
  const schema: TSchema | undefined = transportNamed(type)[side]?.options
  if (!schema) {
    throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', `${path}: transport ${type} has no ${side}s`)
  }
  const what = `${path}: options of ${side} ${name}`
  return { name, type, options: parseOptions(schema, endpoint.options, what, 'SIGNALBOX_CONFIG_INVALID') }
}

function refuseTwins(endpoints: readonly { name: string }[], what: string, path: string): void {
  const seen = new Set<string>()
  for (const { name } of endpoints) {
    if (seen.has(name)) {
      throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', `${path}: there are two ${what}s named ${name}`)
    }
    seen.add(name)
  }
}

/** Puts environment variables in the place of `${env:NAME}`. */
function substitute(value: unknown, path: string): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
      const found = process.env[name]
      if (found !== undefined) return found
      throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', `${path}: the environment variable ${name} is not set`)
    })
  }
  if (Array.isArray(value)) return value.map(item => substitute(item, path))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, substitute(inner, path)]))
}
