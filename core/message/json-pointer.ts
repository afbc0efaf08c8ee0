/** JSON Pointer (RFC 6901). */
import { SignalboxError } from '../errors.ts'

/** The names and indexes of a pointer. Throws SIGNALBOX_OPTIONS_INVALID for one that does not start with a slash. */
export function pointerSegments(pointer: string): string[] {
  if (pointer === '') return []
  if (!pointer.startsWith('/')) {
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `the JSON Pointer ${JSON.stringify(pointer)} does not start with /`,
    )
  }
  const segments = pointer.slice(1).split('/')
  return segments.map(segment => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The value at a place. Throws SIGNALBOX_FORMAT_INVALID when there is none. */
export function valueAt(value: unknown, segments: readonly string[]): unknown {
  let at = value
  for (const segment of segments) {
    const index = !Array.isArray(at) || /^(?:0|[1-9]\d*)$/.test(segment)
    if (typeof at !== 'object' || at === null || !index || !Object.hasOwn(at, segment))
      throw nothingAt(segments)
    at = (at as Record<string, unknown>)[segment]
  }
  return at
}

export function nothingAt(segments: readonly string[], what = 'value'): SignalboxError {
  const pointer = segments.map(segment => `/${segment.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  const place = pointer === '' ? 'at the top' : `at ${pointer}`
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `JSON: there is no ${what} ${place}`, {
    details: { pointer },
  })
}
