/** Makes schemas of options that references may stand in: before they are resolved, any value can be one. */
import type { TSchema } from '../schema.ts'

type Node = Record<string, unknown>

/** A text that refers to a secret or to the environment. */
const REFERENCE_TEXT = { type: 'string', pattern: '\\$\\{(secret|env):[^}]+\\}' }
/** What describes a value and stays on the outside when it gets an alternative. */
const ANNOTATIONS = ['title', 'description', 'default', 'examples', 'secret']
/** What a text may have without refusing a reference. */
const HARMLESS = ['type', ...ANNOTATIONS]

const made = new WeakMap<TSchema, TSchema>()

/**
 * A copy of a schema in which a reference may stand where a number, a yes or no, or a text of a certain form is
 * asked for, and in which what has a default may be left out. The same schema gives the same copy.
 */
export function acceptReferences(schema: TSchema): TSchema {
  const known = made.get(schema)
  if (known) return known
  const copy = relaxed(schema as Node, false) as TSchema
  made.set(schema, copy)
  return copy
}

/** `alternative`: inside of anyOf or oneOf, where no defaults are filled in. */
function relaxed(node: unknown, alternative: boolean): unknown {
  if (typeof node !== 'object' || node === null) return node
  const schema = node as Node
  return isScalar(schema) ? orReference(schema) : relaxedParts(schema, alternative)
}

function isScalar(schema: Node): boolean {
  if ('const' in schema || 'enum' in schema) return true
  if (schema.type === 'integer' || schema.type === 'number' || schema.type === 'boolean') return true
  return schema.type === 'string' && Object.keys(schema).some(key => !HARMLESS.includes(key))
}

function orReference(schema: Node): Node {
  const entries = Object.entries(schema)
  return {
    ...Object.fromEntries(entries.filter(([key]) => ANNOTATIONS.includes(key))),
    anyOf: [Object.fromEntries(entries.filter(([key]) => !ANNOTATIONS.includes(key))), REFERENCE_TEXT],
  }
}

function relaxedParts(schema: Node, alternative: boolean): Node {
  const copy: Node = { ...schema }
  const properties = (schema.properties ?? {}) as Record<string, Node>
  if (Array.isArray(schema.required) && !alternative) {
    const required = schema.required.filter((key: string) => properties[key]?.default === undefined)
    if (required.length > 0) copy.required = required
    else delete copy.required
  }
  for (const key of ['properties', 'patternProperties']) {
    if (schema[key] === undefined) continue
    const parts = Object.entries(schema[key] as object)
    copy[key] = Object.fromEntries(parts.map(([name, part]) => [name, relaxed(part, alternative)]))
  }
  for (const key of ['items', 'additionalProperties', 'allOf', 'anyOf', 'oneOf']) {
    const part = schema[key]
    const inside = alternative || key === 'anyOf' || key === 'oneOf'
    if (Array.isArray(part)) copy[key] = part.map(one => relaxed(one, inside))
    else if (part !== undefined) copy[key] = relaxed(part, inside)
  }
  return copy
}
