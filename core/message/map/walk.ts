/** How paths are followed where they are more than names of plain objects. */
import type { Comparator } from './path.ts'

/** A path as the program follows it; filters have become functions of an item. */
export type Walk = readonly (string | number | typeof ALL | ((item: unknown) => boolean))[]

export const ALL = Symbol('all')

/**
 * Follows a path from `at` on. An array on the way stands for its first item, unless a position, a filter or `[]`
 * says otherwise; at the end of the path it is itself. Only own properties are read. Null and undefined are missing.
 */
export function walk(start: unknown, path: Walk, at: number): unknown {
  let value = start
  for (let i = at; i < path.length; i++) {
    if (value === undefined || value === null) return undefined
    const segment = path[i]!
    if (typeof segment === 'string') value = property(value, segment)
    else if (typeof segment === 'number') value = item(value, segment)
    else if (segment === ALL) return walkAll(value, path, i + 1)
    else {
      const found = listOf(value).filter(segment)
      if (path[i + 1] === ALL) return walkAll(found, path, i + 2)
      value = found[0]
    }
  }
  return value ?? undefined
}

function walkAll(value: unknown, path: Walk, at: number): unknown[] {
  const found: unknown[] = []
  for (const each of listOf(value)) {
    const inner = walk(each, path, at)
    if (Array.isArray(inner)) for (const item of inner) found.push(item)
    else if (inner !== undefined) found.push(inner)
  }
  return found
}

function item(value: unknown, index: number): unknown {
  const list = listOf(value)
  return list[index < 0 ? list.length + index : index]
}

/** A list as it is, anything else as a list of one, nothing as an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  return value === undefined || value === null ? [] : [value]
}

/** An own property. The text of an XML element that is only a text is the text. */
export function property(value: unknown, name: string): unknown {
  const object = Array.isArray(value) ? value[0] : value
  if (name === '#text' && typeof object === 'string') return object
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, name)) return undefined
  return (object as Record<string, unknown>)[name]
}

/** Compares values of a condition: as numbers where both are or look like some, else as texts. */
export function compare(left: unknown, right: unknown, comparator: Comparator): boolean {
  const a = scalarOf(left)
  const b = scalarOf(right)
  if (comparator === '=') return isEqual(a, b)
  if (comparator === '!=') return !isEqual(a, b)
  if (a === undefined || b === undefined || a === null || b === null) return false
  const order = orderOf(a, b)
  switch (comparator) {
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
  }
}

/** The text of an XML element with attributes, the first of several. */
function scalarOf(value: unknown): unknown {
  const first = Array.isArray(value) ? value[0] : value
  return typeof first === 'object' && first !== null ? property(first, '#text') : first
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (a === undefined || b === undefined || a === null || b === null) return (a ?? null) === (b ?? null)
  if (typeof a === 'number' || typeof b === 'number') return orderOf(a, b) === 0
  return false
}

function orderOf(a: unknown, b: unknown): number {
  const x = numberOf(a)
  const y = numberOf(b)
  if (x !== undefined && y !== undefined) return x - y
  if (typeof a !== 'string' || typeof b !== 'string') return Number.NaN
  return a < b ? -1 : a > b ? 1 : 0
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || !/^\s*[+-]?(\d+\.?\d*|\.\d+)\s*$/.test(value)) return undefined
  return Number(value)
}
