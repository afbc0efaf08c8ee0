/** Resources that name others in their options: the topic of a subscription, the connection of a queue. */
import { nearest, type SchemaViolation, type TSchema } from '../schema.ts'
import { step } from './option-values.ts'
import { idOf, type Resource, type ResourceKind, type ResourceKinds } from './resource.ts'

interface SchemaNode {
  /** Marks a text that is the name of a resource of this kind. */
  names?: ResourceKind
  properties?: Record<string, SchemaNode>
}

/** A place in the options of a resource that names one that is not there. */
export interface DanglingName extends SchemaViolation {
  resource: Resource
}

/** Names of resources that are not among these, with their places in the options and the nearest name. */
export function danglingNames(resources: readonly Resource[], kinds: ResourceKinds): DanglingName[] {
  const known = new Map<ResourceKind, string[]>()
  for (const { kind, name } of resources) known.set(kind, [...(known.get(kind) ?? []), name])
  return resources.flatMap(resource => {
    const schema = kinds.schemaOf(resource.kind, resource.type)
    if (!schema) return []
    return namesIn(schema, resource.options, '').flatMap(({ kind, name, pointer }): DanglingName[] => {
      const names = known.get(kind) ?? []
      if (names.includes(name)) return []
      const near = nearest(name.slice(0, 128), names)
      const hint = near ? `; did you mean '${near}'?` : ''
      return [{ resource, pointer, rule: `is wrong: there is no ${kind} '${name}'${hint}` }]
    })
  })
}

/** The same in one line, for who changes one resource; undefined when nothing dangles. */
export function danglingText(resources: readonly Resource[], kinds: ResourceKinds): string | undefined {
  const dangling = danglingNames(resources, kinds)
  if (dangling.length === 0) return undefined
  return dangling
    .slice(0, 10)
    .map(({ resource, pointer, rule }) => `${idOf(resource)}: /options${pointer} ${rule}`)
    .join('; ')
}

function namesIn(
  schema: TSchema | SchemaNode,
  value: unknown,
  pointer: string,
): { kind: ResourceKind; name: string; pointer: string }[] {
  const { names, properties } = schema as SchemaNode
  // What refers to the environment or a secret is known only when it runs.
  if (typeof value === 'string')
    return names && !value.includes('${') ? [{ kind: names, name: value, pointer }] : []
  if (typeof value !== 'object' || value === null || properties === undefined) return []
  return Object.entries(properties).flatMap(([key, inner]) =>
    Object.hasOwn(value, key)
      ? namesIn(inner, (value as Record<string, unknown>)[key], `${pointer}/${step(key)}`)
      : [],
  )
}
