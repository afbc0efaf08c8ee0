/** Finds the places of secrets in options, by the `secret: true` of their schema. */
import type { TSchema } from '../schema.ts'
import { isReference } from './references.ts'

/** The part of JSON Schema that option schemas use. */
interface SchemaNode {
  secret?: boolean
  properties?: Record<string, SchemaNode>
  patternProperties?: Record<string, SchemaNode>
  additionalProperties?: boolean | SchemaNode
  items?: SchemaNode | SchemaNode[]
  anyOf?: SchemaNode[]
  oneOf?: SchemaNode[]
  allOf?: SchemaNode[]
}

/**
 * JSON pointers of all values that the schema calls secret. Of alternatives (anyOf, oneOf) all are followed: what is
 * secret in any of them is treated as secret.
 */
export function secretPointers(schema: TSchema, value: unknown): string[] {
  const found = new Set<string>()
  walk(schema as SchemaNode, value, '', found)
  return [...found]
}

/** Pointers of the secrets that are written down instead of referred to. */
export function plainTextSecrets(schema: TSchema, value: unknown): string[] {
  return secretPointers(schema, value).filter(pointer => {
    const secret = valueAt(value, pointer)
    return typeof secret !== 'string' || (secret !== '' && !isReference(secret))
  })
}

/** The steps of a JSON pointer (RFC 6901). */
export function stepsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function valueAt(value: unknown, pointer: string): unknown {
  return stepsOf(pointer).reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], value)
}

function walk(schema: SchemaNode, value: unknown, pointer: string, found: Set<string>): void {
  if (value === undefined) return
  if (schema.secret === true) {
    found.add(pointer)
    return
  }
  for (const other of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]) {
    walk(other, value, pointer, found)
  }
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const items = Array.isArray(schema.items) ? schema.items[i] : schema.items
      if (items !== undefined) walk(items, item, `${pointer}/${i}`, found)
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      const step = key.replaceAll('~', '~0').replaceAll('/', '~1')
      for (const node of schemasOf(schema, key)) walk(node, inner, `${pointer}/${step}`, found)
    }
  }
}

function schemasOf(schema: SchemaNode, key: string): SchemaNode[] {
  const { properties = {}, patternProperties = {}, additionalProperties } = schema
  const nodes = Object.entries(patternProperties)
    .filter(([pattern]) => new RegExp(pattern, 'u').test(key))
    .map(([, node]) => node)
  if (Object.hasOwn(properties, key)) nodes.push(properties[key]!)
  if (nodes.length === 0 && typeof additionalProperties === 'object') nodes.push(additionalProperties)
  return nodes
}
