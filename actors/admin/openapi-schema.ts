/**
 * JSON Schemas of services, made fit to stand in an OpenAPI document: inside `components`, references that were
 * local to the schema have to say where it is now, and nothing may lead outside the document.
 */

export type JsonSchema = { [keyword: string]: unknown }

/** Keywords whose value is a map of names to schemas: a name in there is no keyword. */
const MAPS = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])
/** Keywords whose value is data, not a schema. */
const DATA = new Set(['const', 'enum', 'default', 'examples', 'example'])
const MAX_DEPTH = 64

/**
 * A copy of a schema whose place in the document is `place`, e.g. `#/components/schemas/OrdersInput`. `$id`,
 * `$schema` and anchors are left out; a reference to another document becomes a schema that allows anything.
 */
export function embedSchema(schema: unknown, place: string): JsonSchema | boolean {
  if (typeof schema === 'boolean') return schema
  if (!isObject(schema)) return {}
  const ids = new Map<string, string>()
  collectIds(schema, place, ids, 0)
  return copySchema(schema, { place, ids }, 0) as JsonSchema
}

interface Context {
  place: string
  /** Where the schema with an `$id` or `$anchor` is. */
  ids: ReadonlyMap<string, string>
}

function collectIds(value: unknown, pointer: string, ids: Map<string, string>, depth: number): void {
  if (depth > MAX_DEPTH || typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) {
    const { $id, $anchor } = value as JsonSchema
    if (typeof $id === 'string' && !ids.has($id)) ids.set($id, pointer)
    if (typeof $anchor === 'string' && !ids.has(`#${$anchor}`)) ids.set(`#${$anchor}`, pointer)
  }
  for (const [key, inner] of Object.entries(value)) {
    if (!DATA.has(key)) collectIds(inner, `${pointer}/${escapePointer(key)}`, ids, depth + 1)
  }
}

function copySchema(value: unknown, context: Context, depth: number): unknown {
  if (depth > MAX_DEPTH) return {}
  if (Array.isArray(value)) return value.map(inner => copySchema(inner, context, depth + 1))
  if (!isObject(value)) return value
  const copy: JsonSchema = {}
  for (const [key, inner] of Object.entries(value)) {
    if (key === '$id' || key === '$schema' || key === '$anchor' || key === '__proto__') continue
    if (key === '$ref') Object.assign(copy, movedReference(inner, context))
    else if (DATA.has(key)) copy[key] = plain(inner)
    else if (MAPS.has(key) && isObject(inner)) copy[key] = copyMap(inner, context, depth + 1)
    else copy[key] = copySchema(inner, context, depth + 1)
  }
  return copy
}

function copyMap(map: JsonSchema, context: Context, depth: number): JsonSchema {
  const entries = Object.entries(map).filter(([name]) => name !== '__proto__')
  return Object.fromEntries(entries.map(([name, inner]) => [name, copySchema(inner, context, depth + 1)]))
}

function movedReference(reference: unknown, { place, ids }: Context): JsonSchema {
  if (typeof reference !== 'string') return {}
  const known = ids.get(reference)
  if (known !== undefined) return { $ref: known }
  if (reference === '#') return { $ref: place }
  if (reference.startsWith('#/')) return { $ref: place + reference.slice(1) }
  return { description: 'Anything: its schema is in another document.' }
}

/** Data as JSON knows it; undefined for what JSON does not. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}

/** One part of a JSON Pointer in a URI fragment. */
export function escapePointer(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')).replaceAll('%24', '$')
}

/** The value at a pointer like `#/components/schemas/A`; undefined when there is none. */
export function valueAt(document: unknown, pointer: string): unknown {
  if (pointer !== '#' && !pointer.startsWith('#/')) return undefined
  let value: unknown = document
  for (const part of pointer.split('/').slice(1)) {
    const name = decodePart(part)
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as JsonSchema)[name]
  }
  return value
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return part // not percent-encoding, so it is meant as it stands
  }
}

export function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
