/** Finds out which part of a value cannot travel. Slow: it runs after the encoder has failed. */
import * as format from './codec-format.ts'
import { kindOf } from './codec-kinds.ts'
import { errorFields } from './codec-write.ts'

/** What is wrong, and the JSON Pointer (RFC 6901) of the place; members of a Set and a Map are counted. */
export interface Obstacle {
  path: string
  reason: string
}

interface Seen {
  /** The objects that contain the present one. */
  above: Set<object>
  /** Objects without an obstacle: one that is referred to many times is searched once. */
  clean: Set<object>
}

/** The first obstacle in `message`, in the order of encoding, or undefined. */
export function findObstacle(message: unknown): Obstacle | undefined {
  if (!Array.isArray(message)) return { path: '', reason: 'a message is an array' }
  return search(message, '', { above: new Set(), clean: new Set() })
}

function search(value: unknown, path: string, seen: Seen): Obstacle | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return { path, reason: `a ${typeof value}` }
  if (typeof value !== 'object' || value === null) return undefined
  const { above, clean } = seen
  if (clean.has(value)) return undefined
  if (above.has(value)) return { path, reason: 'a cycle: it contains itself' }
  if (above.size >= format.MAX_DEPTH)
    return { path, reason: `nested more than ${format.MAX_DEPTH} levels deep` }
  above.add(value)
  try {
    const found = searchParts(value, path, seen)
    if (found === undefined) clean.add(value)
    return found
  } catch (error) {
    return { path, reason: readingFailed(error) }
  } finally {
    above.delete(value)
  }
}

/** Throws for an object that only pretends to be of its class. */
function searchParts(value: object, path: string, seen: Seen): Obstacle | undefined {
  if (Array.isArray(value)) return searchArray(value, path, seen)
  const kind = kindOf(value)
  if (kind.is === 'refused') return { path, reason: kind.reason }
  if (kind.is === 'date') Date.prototype.getTime.call(value)
  if (kind.is === 'bytes') Reflect.get(value, 'byteLength')
  if (kind.is === 'bytes' || kind.is === 'date' || kind.is === 'regexp') return undefined
  if (kind.is === 'map') {
    return searchAll([...(value as Map<unknown, unknown>)].flat(), path, seen, i => String(i >> 1))
  }
  if (kind.is === 'set') return searchAll([...(value as Set<unknown>)], path, seen, String)
  const fields =
    kind.is === 'error' || kind.is === 'busError'
      ? errorFields(value as Error)
      : (value as Record<string, unknown>)
  for (const key of Object.keys(fields)) {
    const place = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    let part: unknown
    try {
      part = fields[key]
    } catch (error) {
      return { path: place, reason: readingFailed(error) }
    }
    const found = search(part, place, seen)
    if (found !== undefined) return found
  }
  return undefined
}

function readingFailed(error: unknown): string {
  return `reading it failed: ${error instanceof Error ? error.message : String(error)}`
}

function searchArray(value: unknown[], path: string, seen: Seen): Obstacle | undefined {
  let holes = 0
  for (let i = 0; i < value.length; i++) {
    if (i in value) {
      const found = search(value[i], `${path}/${i}`, seen)
      if (found !== undefined) return found
    } else if (++holes > format.MAX_HOLES) {
      return { path, reason: `an array with more than ${format.MAX_HOLES} holes` }
    }
  }
  return undefined
}

function searchAll(
  parts: unknown[],
  path: string,
  seen: Seen,
  name: (index: number) => string,
): Obstacle | undefined {
  for (const [i, part] of parts.entries()) {
    const found = search(part, `${path}/${name(i)}`, seen)
    if (found !== undefined) return found
  }
  return undefined
}
