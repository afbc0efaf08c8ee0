/**
 * Options that name files. In a project they are relative to its folder, wherever the node was started from; this is
 * the one place that makes them so, for every transport.
 */
import { resolve } from 'node:path'
import type { TSchema } from '../schema.ts'
import { stepsOf } from '../security/secret-paths.ts'
import { step } from './option-values.ts'

interface SchemaNode {
  /** Marks a text that is the path of a file or folder. */
  file?: boolean
  properties?: Record<string, SchemaNode>
  additionalProperties?: boolean | SchemaNode
  items?: SchemaNode
  anyOf?: SchemaNode[]
  oneOf?: SchemaNode[]
  allOf?: SchemaNode[]
}

/** Below `tls`, certificates and keys are PEM texts or the paths of files. */
const TLS_FILES = new Set(['ca', 'cert', 'key', 'crl', 'pfx'])
const FILE_NAME = /(?:File|Folder)$/

/**
 * JSON pointers of the values that are paths: texts whose schema says `file: true`, texts named `...File` or
 * `...Folder`, and certificates and keys below `tls` that are not PEM themselves.
 */
export function filePointers(schema: TSchema, value: unknown): string[] {
  const found = new Set<string>()
  walk(schema as SchemaNode, value, [], found)
  return [...found]
}

/** A frozen copy of the options in which relative paths are absolute, seen from `root`; the same when none is. */
export function withFilePaths<T>(schema: TSchema, options: T, root: string): T {
  const pointers = filePointers(schema, options)
  if (pointers.length === 0) return options
  const copy = structuredClone(options)
  for (const pointer of pointers) {
    const steps = stepsOf(pointer)
    const last = steps.pop()!
    const holder = steps.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], copy)
    const record = holder as Record<string, string>
    record[last] = resolve(root, record[last]!)
  }
  return frozen(copy)
}

function walk(schema: SchemaNode, value: unknown, path: readonly string[], found: Set<string>): void {
  for (const other of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]) {
    walk(other, value, path, found)
  }
  if (typeof value === 'string') {
    if (isPath(schema, value, path)) found.add(path.map(key => `/${step(key)}`).join(''))
  } else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) walk(schema.items ?? {}, item, [...path, String(i)], found)
  } else if (typeof value === 'object' && value !== null) {
    const { properties = {}, additionalProperties } = schema
    for (const [key, inner] of Object.entries(value)) {
      const other = typeof additionalProperties === 'object' ? additionalProperties : undefined
      const node = Object.hasOwn(properties, key) ? properties[key] : other
      // What the schema does not know is data, whatever it is called.
      if (node !== undefined) walk(node, inner, [...path, key], found)
    }
  }
}

function isPath(schema: SchemaNode, value: string, path: readonly string[]): boolean {
  if (value === '' || value.includes('-----BEGIN') || value.includes('${')) return false
  if (schema.file === true) return true
  // An item of a list is called what the list is.
  const names = path.filter(key => !/^\d+$/.test(key))
  const name = names.at(-1) ?? ''
  const holder = names.at(-2)
  return FILE_NAME.test(name) || (holder === 'tls' && TLS_FILES.has(name))
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const inner of Object.values(value)) frozen(inner)
    Object.freeze(value)
  }
  return value
}
