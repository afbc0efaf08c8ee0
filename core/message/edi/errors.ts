/** Errors that all segment formats share. */
import { SignalboxError } from '../../errors.ts'

/** Where in a body something stands. */
export interface Place {
  /** From 1. */
  line: number
  /** From 1, in bytes. */
  column: number
  /** Number of the segment in the body, from 1; UNA does not count. */
  segment: number
  /** Name of that segment, where it is known. */
  tag?: string
}

export function invalid(format: string, why: string, place: Place): SignalboxError {
  const name = place.tag === undefined ? '' : ` (${place.tag})`
  const where = `segment ${place.segment}${name} at line ${place.line}, column ${place.column}`
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `${format}: ${why}; ${where}`, {
    details: { ...place },
  })
}

export function tooLarge(
  format: string,
  limit: string,
  max: number,
  what: string,
  place: Place,
): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `${format}: more than ${max} ${what}`, {
    details: { limit, max, ...place },
  })
}

export function unencodable(format: string, path: string, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `${format}: ${path || 'the value'} ${why}`, {
    details: { path },
  })
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

/** An own member, never an inherited one. */
export function own(value: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined
}
