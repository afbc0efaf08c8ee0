/** The settings of a node in `signalbox.yaml`: everything there that is not a resource. */
import { AuditOptions } from '../audit/policy.ts'
import { type Static, type TSchema, Type } from '../schema.ts'
import { RESOURCE_LISTS, ResourceName } from './resource.ts'

const closed = { additionalProperties: false }

const Key = Type.String({ pattern: '^[!-~]{40}$', description: 'A CURVE key in Z85: 40 characters.' })

const Limits = Type.Object(
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
  { ...closed, description: 'What a worker may use before it is replaced.' },
)

const Network = Type.Object(
  {
    host: Type.Optional(
      Type.String({ default: '127.0.0.1', description: 'Address to listen on for nodes and programs.' }),
    ),
    port: Type.Integer({ minimum: 0, maximum: 65_535, description: 'Port to listen on.' }),
    publicKey: Key,
    secretKey: Type.String({
      secret: true,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
      description: 'CURVE secret key; write ${env:NAME} or ${secret:NAME}, never the key itself.',
    }),
    peers: Type.Optional(
      Type.Array(
        Type.Object(
          { nodeId: Type.String(), endpoint: Type.String({ pattern: '^tcp://' }), publicKey: Key },
          closed,
        ),
        { default: [], description: 'The other nodes.' },
      ),
    ),
    clients: Type.Optional(
      Type.Array(Type.Object({ name: ResourceName, publicKey: Key }, closed), {
        default: [],
        description: 'Programs that may attach.',
      }),
    ),
  },
  { ...closed, description: 'Where other nodes and programs attach. Default: nowhere.' },
)

const Admin = Type.Object(
  {
    host: Type.Optional(
      Type.String({ minLength: 1, default: '127.0.0.1', description: 'Address the admin API listens on.' }),
    ),
    port: Type.Integer({
      minimum: 0,
      maximum: 65_535,
      description: 'Port of the admin API; 0 takes a free one.',
    }),
  },
  { ...closed, description: 'Where the admin API listens. Default: nowhere.' },
)

const Level = (development: string, description: string) =>
  Type.Optional(
    Type.Union([Type.Literal('allowed'), Type.Literal('warned'), Type.Literal('refused')], {
      description: `${description} Development: ${development}; production: refused.`,
    }),
  )

const PolicyChanges = Type.Object(
  {
    plainTextSecrets: Level('warned', 'Secrets that are written down in the configuration.'),
    disabledTlsChecks: Level('warned', 'Certificates of the other side that are not verified.'),
    openAdminPort: Level('warned', 'An admin API that other machines reach.'),
    codeDeployment: Level(
      'allowed',
      'Code that comes into the running node: by the admin API, and by saving a file. Refused, the node starts ' +
        'and takes none.',
    ),
  },
  { ...closed, description: 'Levels in the place of those of the profile.' },
)

/** The keys of the settings and their schemas, in the order in which `export` writes them. */
export const SETTINGS = {
  name: Type.Optional(ResourceName),
  node: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9.-]{1,64}$',
      default: 'node',
      description: 'Id of the node, unique in the cluster.',
    }),
  ),
  profile: Type.Optional(
    Type.Union([Type.Literal('development'), Type.Literal('production')], {
      default: 'development',
      description: 'Which security policy holds: production refuses risks that development warns of.',
    }),
  ),
  policy: Type.Optional(PolicyChanges),
  workers: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 256, description: 'Worker threads; default: one for each core.' }),
  ),
  limits: Type.Optional(Limits),
  network: Type.Optional(Network),
  admin: Type.Optional(Admin),
  telemetry: Type.Optional(Type.Unknown({ description: 'Logs, metrics and traces.' })),
  audit: Type.Optional(AuditOptions),
  try: Type.Optional(
    Type.Array(Type.String(), { default: [], description: 'Commands to show when the project has started.' }),
  ),
}

const List = Type.Optional(Type.Array(Type.Unknown(), { maxItems: 10_000 }))

/** The schema of the settings; lists of resources are let through. */
export const SettingsSchema = Type.Object(
  { ...SETTINGS, ...Object.fromEntries(RESOURCE_LISTS.map(({ key }) => [key, List])) },
  closed,
)

/** Settings with environment and defaults filled in; texts may still refer to secrets. */
export type Settings = Static<ReturnType<typeof settingsType>>

function settingsType() {
  return Type.Object(SETTINGS)
}

/** What the caller knows of settings that the core does not. */
export interface SettingsSchemas {
  /** Schema of `telemetry`; without it anything is let through. */
  telemetry?: TSchema
}
