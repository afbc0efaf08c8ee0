/** Finds a value of an HL7 message by the notation that its documents use. */
import { SignalboxError } from '../../errors.ts'
import { isRecord, own } from './errors.ts'

const PATH =
  /^([A-Z][A-Z0-9]{2})(?:\[([1-9]\d{0,4})\])?-([1-9]\d{0,3})(?:\[([1-9]\d{0,4})\])?(?:\.([1-9]\d{0,3}))?(?:\.([1-9]\d{0,3}))?$/

/**
 * The value at `SEG[n]-FIELD[n].COMPONENT.SUBCOMPONENT`: `hl7Get(message, 'PID-3[2].4.1')`. Segments and repetitions
 * count from 1 and are the first when not given, as are component and subcomponent: a field of one component and its
 * first component are the same in HL7, which a path into the value cannot express. Null is `""`, undefined nothing.
 * In grouped messages, the segments of MSH and of the outermost level are found.
 *
 * Throws SIGNALBOX_FORMAT_UNSUPPORTED for a path that is none.
 */
export function hl7Get(message: object, path: string): string | null | undefined {
  const match = PATH.exec(path)
  if (!match) {
    throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', `HL7: not a path such as PID-3[1].1: ${path}`)
  }
  const [, tag, segment = '1', field, repetition = '1', component = '1', subcomponent = '1'] = match
  const fields = segmentOf(message as Record<string, unknown>, tag!, Number(segment))
  const value = fields && own(fields, field!)
  if (typeof value === 'string') return value
  const repeated = Array.isArray(value) ? value[Number(repetition) - 1] : undefined
  let found: unknown = isRecord(repeated) ? own(repeated, component) : undefined
  if (isRecord(found)) found = own(found, subcomponent)
  else if (subcomponent !== '1') found = undefined
  return found as string | null | undefined
}

function segmentOf(
  message: Record<string, unknown>,
  tag: string,
  number: number,
): Record<string, unknown> | undefined {
  if (tag === 'MSH') return number === 1 ? (message.MSH as Record<string, unknown>) : undefined
  const found = isRecord(message.content) ? own(message.content, tag) : undefined
  if (Array.isArray(found)) return found[number - 1]
  if (isRecord(found)) return number === 1 ? found : undefined
  if (!Array.isArray(message.segments)) return undefined
  let seen = 0
  for (const segment of message.segments) {
    if (segment.tag === tag && ++seen === number) return segment.fields
  }
  return undefined
}
