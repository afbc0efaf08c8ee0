/** What formats share to keep hostile data out of prototypes and within limits. */
import { SignalboxError } from '../errors.ts'

/** Whether the text may hold a name that {@link refuseUnsafeNames} has to look for. Cheap; most texts do not. */
export function mayHaveUnsafeNames(text: string): boolean {
  return text.includes('__proto__') || text.includes('constructor') || text.includes('\\u')
}

/**
 * Refuses the own names `__proto__` and `constructor` with a `prototype` inside, at any depth: code that copies or
 * merges such an object would change the prototype of all objects. Throws SIGNALBOX_FORMAT_INVALID.
 */
export function refuseUnsafeNames(value: unknown, what: string): void {
  const open: unknown[] = [value]
  while (open.length > 0) {
    const item = open.pop()
    if (typeof item !== 'object' || item === null || ArrayBuffer.isView(item)) continue
    for (const name of Object.keys(item)) {
      const inner = (item as Record<string, unknown>)[name]
      if (Object.hasOwn(item, name) && isUnsafe(name, inner)) {
        throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `${what}: the name '${name}' is not allowed`, {
          details: { name },
        })
      }
      open.push(inner)
    }
  }
}

function isUnsafe(name: string, value: unknown): boolean {
  if (name === '__proto__') return true
  return (
    name === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
  )
}

/** An error for a limit of {@link BodyLimits}. */
export function overLimit(format: string, limit: string, max: number, what: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `${format}: more than ${max} ${what}`, {
    details: { limit, max },
  })
}
