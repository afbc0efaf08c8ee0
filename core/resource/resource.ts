/** Anything configured: what it is, and whether it is right. */
import { SignalboxError } from '../errors.ts'
import { compileSchema, nearest, type SchemaViolation, type TSchema, Type } from '../schema.ts'
import { secretPointers } from '../security/secret-paths.ts'
import { type Environment, type InspectedOptions, inspectOptions, step } from './option-values.ts'

/** The kinds of resources, in the order in which they depend on each other. */
export const RESOURCE_KINDS = [
  'security',
  'connection',
  'queue',
  'topic',
  'subscription',
  'channel',
  'schedule',
] as const

export type ResourceKind = (typeof RESOURCE_KINDS)[number]

/** The lists of a project file, in the order in which `export` writes them. */
export const RESOURCE_LISTS: readonly { key: string; kind: ResourceKind; description: string }[] = [
  { key: 'security', kind: 'security', description: 'Ways of proving who sends a message.' },
  { key: 'connections', kind: 'connection', description: 'Where messages go out.' },
  { key: 'queues', kind: 'queue', description: 'Messages kept for one consumer each.' },
  { key: 'topics', kind: 'topic', description: 'Messages kept for everyone who subscribes.' },
  { key: 'subscriptions', kind: 'subscription', description: 'Who gets the messages of a topic.' },
  { key: 'channels', kind: 'channel', description: 'Where messages come in.' },
  { key: 'schedules', kind: 'schedule', description: 'What runs at set times.' },
]

/** The type of kinds that have only one; it may be left out. */
export const ONLY_TYPE: Readonly<Partial<Record<ResourceKind, string>>> = {
  queue: 'durable',
  topic: 'durable',
  subscription: 'durable',
}

/** A resource as the operator wrote it: secrets are references, defaults are left out. */
export interface Resource {
  kind: ResourceKind
  /** Transport of a channel or connection, or type of a security definition. */
  type: string
  name: string
  options: unknown
  /** Names of the security definitions of which one must let a message in; channels only. */
  security?: string[]
}

/** The types of resources that there are. Given by who wires the bus together: core knows none of them. */
export interface ResourceKinds {
  /** Schema of the options; undefined when there is no such type. */
  schemaOf(kind: ResourceKind, type: string): TSchema | undefined
  types(kind: ResourceKind): readonly string[]
}

/** What else is known when a resource is checked. */
export interface CheckContext {
  /** The security definitions that there are; without it names of them are not checked. */
  securityNames?: readonly string[]
  /** Default: that of the process. */
  environment?: Environment
}

/** The name of a resource. */
export const ResourceName = Type.String({
  pattern: '^[A-Za-z][A-Za-z0-9_.-]*$',
  maxLength: 128,
  description: 'Name on the bus: a letter, then letters, digits, dots, dashes and underscores.',
})

const ENTRY = {
  name: ResourceName,
  type: Type.String({ maxLength: 128, description: 'Name of the transport, e.g. http.' }),
  options: Type.Optional(Type.Unknown({ description: 'Options of the type.' })),
}
const SECURITY = Type.Optional(
  Type.Array(ResourceName, {
    maxItems: 32,
    uniqueItems: true,
    description: 'Security definitions of which one must let a message in. Default: all messages come in.',
  }),
)

const DURABLE = {
  ...ENTRY,
  type: Type.Optional(Type.Literal('durable', { default: 'durable', description: 'May be left out.' })),
}
const closed = { additionalProperties: false }

/** Schemas of resources without their kind, as they stand in a file; options are not looked into. */
export const ENTRY_SCHEMAS: Readonly<Record<ResourceKind, TSchema>> = {
  channel: Type.Object({ ...ENTRY, security: SECURITY }, closed),
  connection: Type.Object(ENTRY, closed),
  security: Type.Object(
    { ...ENTRY, type: Type.String({ maxLength: 128, description: 'Type of the definition, e.g. apiKey.' }) },
    closed,
  ),
  queue: Type.Object(DURABLE, closed),
  topic: Type.Object(DURABLE, closed),
  subscription: Type.Object(DURABLE, closed),
  schedule: Type.Object(
    { ...ENTRY, type: Type.String({ maxLength: 128, description: 'cron, interval or once.' }) },
    closed,
  ),
}

const validators = Object.fromEntries(
  RESOURCE_KINDS.map(kind => [kind, compileSchema(ENTRY_SCHEMAS[kind])]),
) as Record<ResourceKind, ReturnType<typeof compileSchema>>

/** The id of a resource, e.g. `channel/http/public`. */
export function idOf({ kind, type, name }: Pick<Resource, 'kind' | 'type' | 'name'>): string {
  return `${kind}/${type}/${name}`
}

/**
 * Checks a resource and returns its options with environment and defaults filled in, secrets still as references; what
 * is stored stays as it was written. Throws SIGNALBOX_OPTIONS_INVALID with everything that is wrong.
 */
export function checkResource(resource: Resource, kinds: ResourceKinds, context: CheckContext = {}): unknown {
  const { kind, ...entry } = resource
  if (!RESOURCE_KINDS.includes(kind)) {
    const near = nearest(String(kind), RESOURCE_KINDS)
    const hint = near ? `did you mean '${near}'?` : `use one of ${RESOURCE_KINDS.join(', ')}`
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `there is no kind '${kind}' of resources; ${hint}`,
      {
        details: { errors: [{ pointer: '/kind', rule: `must be one of ${JSON.stringify(RESOURCE_KINDS)}` }] },
      },
    )
  }
  const { violations, options } = inspectEntry(kind, entry, kinds, context)
  if (violations.length === 0) return options
  const list = violations.map(({ pointer, rule }) => `${pointer || '(all)'} ${rule}`).join('; ')
  const details = { errors: violations }
  throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `${idOf(resource)}: ${list}`, { details })
}

/** What is wrong with a resource without its kind, and its options when nothing is. `entry` may be anything. */
export function inspectEntry(
  kind: ResourceKind,
  entry: unknown,
  kinds: ResourceKinds,
  { securityNames, environment }: CheckContext = {},
): InspectedOptions {
  const violations = validators[kind](entry) ?? []
  const given = (entry ?? {}) as Partial<Record<keyof Resource, unknown>>
  const { type = ONLY_TYPE[kind], options, security } = given
  if (securityNames) violations.push(...unknownSecurity(security, securityNames, '/security'))
  if (typeof type !== 'string') return { violations, options: undefined }
  const schema = kinds.schemaOf(kind, type)
  if (!schema) {
    violations.push({ pointer: '/type', rule: `is wrong: ${unknownType(kind, type, kinds)}` })
    return { violations, options: undefined }
  }
  const inspected = inspectOptions(schema, options, { ...(environment && { environment }) })
  violations.push(
    ...inspected.violations.map(({ pointer, rule }) => ({ pointer: `/options${pointer}`, rule })),
  )
  if (securityNames && kind === 'channel')
    violations.push(...unknownInOptions(inspected.options ?? options, securityNames, '/options'))
  return { violations, options: violations.length === 0 ? inspected.options : undefined }
}

/** The names of the security definitions that a channel names, for itself or in its options, e.g. for a route. */
export function securityNamesOf({ security, options }: Resource): string[] {
  const names = new Set<string>(security ?? [])
  visitSecurity(options, '', list => {
    for (const name of list) if (typeof name === 'string') names.add(name)
  })
  return [...names]
}

/** Says which places in the options of a resource are secret; all of them where the type is not known. */
export function secretsOf(kinds: ResourceKinds): (resource: Resource) => string[] {
  return ({ kind, type, options }) => {
    const schema = kinds.schemaOf(kind, type)
    return schema ? secretPointers(schema, options) : ['']
  }
}

/** Visits the lists called `security` in options: that is what transports call names of security definitions. */
function visitSecurity(
  value: unknown,
  pointer: string,
  visit: (list: readonly unknown[], pointer: string) => void,
): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    const place = `${pointer}/${step(key)}`
    if (key === 'security' && Array.isArray(inner)) visit(inner, place)
    else visitSecurity(inner, place, visit)
  }
}

function unknownInOptions(options: unknown, known: readonly string[], base: string): SchemaViolation[] {
  const violations: SchemaViolation[] = []
  visitSecurity(options, base, (list, pointer) => {
    violations.push(...unknownSecurity(list, known, pointer))
  })
  return violations
}

function unknownSecurity(names: unknown, known: readonly string[], pointer: string): SchemaViolation[] {
  if (!Array.isArray(names)) return []
  return names.flatMap((name: unknown, i) => {
    if (typeof name !== 'string' || known.includes(name)) return []
    const near = nearest(name.slice(0, 128), known)
    const hint = near ? `; did you mean '${near}'?` : ''
    return [
      { pointer: `${pointer}/${i}`, rule: `is wrong: there is no security definition '${name}'${hint}` },
    ]
  })
}

function unknownType(kind: ResourceKind, type: string, kinds: ResourceKinds): string {
  const known = kinds.types(kind)
  const isEndpoint = kind === 'channel' || kind === 'connection'
  const noun = isEndpoint ? 'transport' : 'type'
  const other = kind === 'channel' ? 'connection' : 'channel'
  if (isEndpoint && kinds.types(other).includes(type))
    return `transport ${type} has no ${kind}s (there are: ${known.join(', ')})`
  const near = nearest(type.slice(0, 128), known)
  return `there is no ${noun} '${type}'${near ? `; did you mean '${near}'?` : ''} (there are: ${known.join(', ')})`
}
