/** JSON Schemas as TypeScript types. Whatever stands in a schema comes out as a type, never as code. */
import { isObject, type JsonSchema, valueAt } from './openapi-schema.ts'

const MAX_DEPTH = 32
const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/

/** Words that cannot name a type or would hide one that the generated client uses. */
const TAKEN_TYPES = [
  'any',
  'array',
  'Array',
  'bigint',
  'Blob',
  'boolean',
  'Client',
  'ClientOptions',
  'CallOptions',
  'ClientError',
  'Credentials',
  'Error',
  'FormData',
  'Headers',
  'never',
  'null',
  'number',
  'object',
  'Problem',
  'Promise',
  'Record',
  'Request',
  'RequestInit',
  'Response',
  'string',
  'symbol',
  'undefined',
  'unknown',
  'URL',
  'URLSearchParams',
  'Uint8Array',
  'void',
  'AbortSignal',
  'Part',
  'Operation',
  'Parameters',
]
const RESERVED = new Set(
  (
    'await break case catch class const continue debugger default delete do else enum export extends false finally for ' +
    'function if implements import in instanceof interface let new null package private protected public return ' +
    'static super switch this throw true try typeof var void while with yield async of get set constructor'
  ).split(' '),
)

/** A name as an identifier: letters, digits and `_`, not a reserved word, and different from those in `taken`. */
export function identifier(name: string, taken: Set<string>): string {
  const words = name.split(/[^A-Za-z0-9_]+/).filter(Boolean)
  const joined = words.map((word, i) => (i === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join('')
  const base = /^[A-Za-z_]/.test(joined) ? joined : `_${joined}`
  let result = base
  for (let count = 2; taken.has(result) || RESERVED.has(result); count++) result = `${base}${count}`
  taken.add(result)
  return result
}

/** A text as a literal. JSON is a subset of ECMAScript since 2019; `<` is escaped for those who embed it in HTML. */
export function literal(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replace(/[\u2028\u2029]/g, character => `\\u${character.charCodeAt(0).toString(16)}`)
}

/** A text as a documentation comment with this indentation; empty for an empty text. */
export function comment(text: unknown, indent: string): string {
  if (typeof text !== 'string' || text.trim() === '') return ''
  const lines = text
    .replaceAll('*/', '*\\/')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come through
    .replace(/[\u0000-\u0009\u000b-\u001f\u007f\u2028\u2029]/g, ' ')
    .trim()
    .split('\n')
  return lines.length === 1
    ? `${indent}/** ${lines[0]} */\n`
    : `${indent}/**\n${lines.map(line => `${indent} * ${line}\n`).join('')}${indent} */\n`
}

/** A property name, quoted where it has to be. */
export function propertyName(name: string): string {
  return IDENTIFIER.test(name) && name !== '__proto__' ? name : literal(name)
}

/** Types of one document: a name for each schema that is referred to. */
export class TypeWriter {
  readonly #document: unknown
  readonly #names = new Map<string, string>()
  readonly #taken = new Set(TAKEN_TYPES)

  constructor(document: unknown) {
    this.#document = document
    const schemas = valueAt(document, '#/components/schemas')
    // Problem has a fixed type of its own in every client.
    for (const name of Object.keys(isObject(schemas) ? schemas : {}))
      if (name !== 'Problem') this.#nameOf(`#/components/schemas/${name}`)
    this.#names.set('#/components/schemas/Problem', 'Problem')
  }

  /** All named types. Call it last: it includes those that only other types refer to. */
  declarations(): string {
    let text = ''
    // Grows while it is walked: a declaration may refer to a part that had no name yet.
    for (const [reference, name] of this.#names) {
      if (name === 'Problem') continue
      const schema = valueAt(this.#document, reference)
      const isCircular = this.#reachesItself(reference, reference, new Set())
      const type = isCircular ? 'unknown' : this.type(schema)
      const head = isObject(schema) ? comment(schema.description, '') : ''
      text += `${head}export type ${name} = ${type}\n\n`
    }
    return text
  }

  /** The type of a schema. */
  type(schema: unknown, depth = 0): string {
    if (schema === false) return 'never'
    if (!isObject(schema) || depth > MAX_DEPTH) return 'unknown'
    if (typeof schema.$ref === 'string') return this.#reference(schema.$ref)
    if ('const' in schema) return scalar(schema.const)
    if (Array.isArray(schema.enum)) return union(schema.enum.map(scalar))
    const parts = [
      ...(Array.isArray(schema.anyOf) ? [union(schema.anyOf.map(one => this.type(one, depth + 1)))] : []),
      ...(Array.isArray(schema.oneOf) ? [union(schema.oneOf.map(one => this.type(one, depth + 1)))] : []),
      ...(Array.isArray(schema.allOf) ? schema.allOf.map(one => this.type(one, depth + 1)) : []),
    ]
    const own = this.#own(schema, depth)
    const all = [...parts, ...(own === undefined ? [] : [own])].filter(part => part !== 'unknown')
    if (all.length === 0) return 'unknown'
    return all.length === 1 ? all[0]! : all.map(part => `(${part})`).join(' & ')
  }

  #own(schema: JsonSchema, depth: number): string | undefined {
    const given = schema.type ?? (isObject(schema.properties) ? 'object' : undefined)
    const types = [given ?? []].flat()
    if (types.length === 0) return undefined
    return union(types.map(type => this.#typed(type, schema, depth)))
  }

  #typed(type: unknown, schema: JsonSchema, depth: number): string {
    switch (type) {
      case 'string':
        return schema.format === 'binary' ? 'Blob | Uint8Array' : 'string'
      case 'integer':
      case 'number':
        return 'number'
      case 'boolean':
      case 'null':
        return type
      case 'array':
        return this.#array(schema, depth)
      case 'object':
        return this.#object(schema, depth)
      default:
        return 'unknown'
    }
  }

  #array(schema: JsonSchema, depth: number): string {
    const items = this.type(schema.items ?? true, depth + 1)
    if (!Array.isArray(schema.prefixItems)) return `(${items})[]`
    const needed = typeof schema.minItems === 'number' ? schema.minItems : 0
    const first = schema.prefixItems.map(
      (item, i) => `(${this.type(item, depth + 1)})${i < needed ? '' : '?'}`,
    )
    return `[${[...first, ...(schema.items === false ? [] : [`...(${items})[]`])].join(', ')}]`
  }

  #object(schema: JsonSchema, depth: number): string {
    const properties = isObject(schema.properties) ? schema.properties : {}
    const required = new Set(Array.isArray(schema.required) ? schema.required : [])
    const indent = '  '.repeat(depth + 1)
    const members = Object.entries(properties).map(([name, property]) => {
      const note = isObject(property) ? comment(property.description, indent) : ''
      const mark = required.has(name) ? '' : '?'
      return `${note}${indent}${propertyName(name)}${mark}: ${this.type(property, depth + 1)}\n`
    })
    const patterns = isObject(schema.patternProperties) ? Object.values(schema.patternProperties) : []
    const rest = schema.additionalProperties
    const open = isObject(rest) ? [...patterns, rest] : patterns
    const record = `{ [name: string]: ${union(open.map(one => this.type(one, depth + 1)))} }`
    if (members.length > 0 && open.length === 0) return `{\n${members.join('')}${'  '.repeat(depth)}}`
    if (members.length > 0)
      return `{\n${members.join('')}${indent}[name: string]: unknown\n${'  '.repeat(depth)}}`
    if (open.length > 0) return record
    return rest === false ? '{ [name: string]: never }' : '{ [name: string]: unknown }'
  }

  #reference(reference: string): string {
    return valueAt(this.#document, reference) === undefined ? 'unknown' : this.#nameOf(reference)
  }

  #nameOf(reference: string): string {
    let name = this.#names.get(reference)
    if (name === undefined) {
      const parts = reference
        .split('/')
        .filter(part => !['#', 'components', 'schemas', '$defs', 'definitions'].includes(part))
      const text = parts.map(part => part[0]?.toUpperCase() + part.slice(1)).join(' ') || 'Document'
      name = identifier(text, this.#taken)
      this.#names.set(reference, name)
    }
    return name
  }

  /** Whether a type would be an alias of itself, which TypeScript refuses (inside objects and arrays it may). */
  #reachesItself(reference: string, start: string, seen: Set<string>): boolean {
    if (seen.has(reference)) return reference === start
    seen.add(reference)
    return directReferences(valueAt(this.#document, reference), 0).some(
      inner => inner === start || this.#reachesItself(inner, start, seen),
    )
  }
}

function directReferences(schema: unknown, depth: number): string[] {
  if (!isObject(schema) || depth > MAX_DEPTH) return []
  if (typeof schema.$ref === 'string') return [schema.$ref]
  const choices = [schema.anyOf, schema.oneOf, schema.allOf].filter(Array.isArray).flat()
  return choices.flatMap(choice => directReferences(choice, depth + 1))
}

function scalar(value: unknown): string {
  if (value === null || ['string', 'boolean'].includes(typeof value)) return literal(value)
  return typeof value === 'number' && Number.isFinite(value) ? String(value) : 'unknown'
}

function union(types: string[]): string {
  const distinct = [...new Set(types)]
  return distinct.length === 0 ? 'unknown' : distinct.join(' | ')
}
