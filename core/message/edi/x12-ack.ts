/** Functional acknowledgements of X12 groups: 997 (X12.20) and 999 (X231). */
import { type EdiGroup, type EdiInterchange, type EdiMessage, textOf } from './dialect.ts'
import { unencodable } from './errors.ts'
import type { EdiElement, EdiSegment } from './syntax.ts'

/** What is wrong with a segment of a message. */
export interface X12SegmentError {
  tag: string
  /** Its number within the message; ST is 1. */
  position: number
  /** The loop it is in, if any. */
  loop?: string
  /** AK304 or IK304, such as 3: a mandatory segment is missing. */
  code?: string
  elements?: {
    /** Its number within the segment, from 1. */
    position: number
    /** AK403 or IK403, such as 7: the code value is not valid. */
    code: string
    /** The value that is wrong. */
    value?: string
  }[]
}

export interface X12Rejection {
  /** ST02 of the message. */
  reference: string
  /** GS06 of its group, when the reference alone is not unique. */
  group?: string
  /** A note only: accepted, but with errors. Default: rejected. */
  accepted?: boolean
  /** AK502 to AK506 or IK502 to IK506, such as 5: one or more segments in error. */
  codes: string[]
  segments?: X12SegmentError[]
}

export interface X12AckOptions {
  /** 997, or 999, which HIPAA asks for. Default 997. */
  kind?: '997' | '999'
  /** Control number of the new interchange, a number of up to 9 digits. */
  controlNumber: string
  /** When it is made; written in UTC. */
  at: Date
  /** Messages that are not simply accepted. */
  rejected?: readonly X12Rejection[]
}

/**
 * The acknowledgement of an interchange that was read: back to its sender, one message for each of its groups. Groups
 * that are acknowledgements themselves (FA) get none, as the standard says.
 *
 * Throws SIGNALBOX_CODEC_UNENCODABLE when a rejection names a message that the interchange does not have.
 */
export function x12Ack(received: EdiInterchange, options: X12AckOptions): EdiInterchange {
  const { kind = '997', controlNumber, at, rejected = [] } = options
  const isa = (received.interchange.ISA as EdiElement[]).map(textOf)
  const [date, time] = stamp(at)
  const header = [...isa]
  for (const [to, from] of [
    [4, 6],
    [5, 7],
    [6, 4],
    [7, 5],
  ] as const)
    header[to] = isa[from]!
  header[8] = date.slice(2)
  header[9] = time
  header[12] = controlNumber
  header[13] = '0'
  const groups = (received.groups ?? []).filter(group => textOf((group.GS as EdiElement[])[0]) !== 'FA')
  const used = new Set<X12Rejection>()
  const acks = groups.map((group, i) => {
    const gs = (group.GS as EdiElement[]).map(textOf)
    const version = kind === '999' ? '005010X231A1' : gs[7]!
    const ack = groupAck(group, kind, String(i + 1).padStart(4, '0'), version, rejected, used)
    const GS = ['FA', gs[2]!, gs[1]!, date, time, String(i + 1), gs[6]!, version]
    return { GS: simple(GS), messages: [ack] }
  })
  const unknown = rejected.findIndex(each => !used.has(each))
  if (unknown !== -1) {
    throw unencodable('X12', `rejected[${unknown}].reference`, 'is no message of the interchange')
  }
  const { separators } = received.interchange
  return { interchange: { separators, ISA: simple(header) }, groups: acks }
}

function groupAck(
  group: EdiGroup,
  kind: '997' | '999',
  reference: string,
  version: string,
  rejected: readonly X12Rejection[],
  used: Set<X12Rejection>,
): EdiMessage {
  const gs = (group.GS as EdiElement[]).map(textOf)
  const segments: EdiSegment[] = [segment('AK1', gs[0]!, gs[5]!, ...(kind === '999' ? [gs[7]!] : []))]
  let accepted = 0
  let noted = false
  for (const message of group.messages) {
    const found = rejected.find(
      each => each.reference === message.reference && (each.group === undefined || each.group === gs[5]),
    )
    if (found) used.add(found)
    if (!found || found.accepted) accepted++
    if (found) noted = true
    segments.push(...messageAck(message, kind, found))
  }
  const count = group.messages.length
  const refused = accepted === 0 && count > 0 ? 'R' : 'P'
  const code = accepted < count ? refused : noted ? 'E' : 'A'
  segments.push(segment('AK9', code, String(count), String(count), String(accepted)))
  const ST = simple(kind === '999' ? [kind, reference, version] : [kind, reference])
  return { type: kind, reference, ST, segments }
}

function messageAck(message: EdiMessage, kind: '997' | '999', found: X12Rejection | undefined): EdiSegment[] {
  const prefix = kind === '999' ? 'IK' : 'AK'
  const st = (message.ST as EdiElement[]).map(textOf)
  const more = kind === '999' && st[2] ? [st[2]] : []
  const segments = [segment('AK2', st[0]!, st[1]!, ...more)]
  for (const each of found?.segments ?? []) {
    segments.push(
      segment(`${prefix}3`, each.tag, String(each.position), each.loop ?? '', each.code ?? '8'),
      ...(each.elements ?? []).map(({ position, code, value }) =>
        segment(`${prefix}4`, String(position), '', code, ...(value === undefined ? [] : [value])),
      ),
    )
  }
  const verdict = found === undefined ? 'A' : found.accepted ? 'E' : 'R'
  segments.push(segment(`${prefix}5`, verdict, ...(found?.codes ?? [])))
  return segments
}

function segment(tag: string, ...values: string[]): EdiSegment {
  return { tag, elements: simple(values) }
}

function simple(values: string[]): EdiElement[] {
  return values.map(value => [value])
}

/** CCYYMMDD and HHMM. */
function stamp(at: Date): [string, string] {
  const text = at.toISOString().replace(/[-:T]/g, '')
  return [text.slice(0, 8), text.slice(8, 12)]
}
