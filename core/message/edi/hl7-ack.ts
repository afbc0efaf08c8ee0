/** Acknowledgements of HL7 messages (chapter 2.9). */
import type { Hl7Fields } from './hl7-fields.ts'
import { hl7Get } from './hl7-get.ts'
import type { Hl7Message } from './hl7-reader.ts'

/** Accepted, error, rejected: the second letter; in original (A) and in enhanced mode (C). */
export type Hl7AckCode = 'AA' | 'AE' | 'AR' | 'CA' | 'CE' | 'CR'

export interface Hl7AckOptions {
  /** The control ID of the acknowledgement itself, unique for its sender. */
  controlId: string
  /** When it is made; written in UTC. */
  at: Date
}

/**
 * The acknowledgement of a message: back to its sender, with the same version and processing ID. `text` says what was
 * wrong and becomes MSA-3. Build it with `{ messages: [hl7Ack(...)] }`.
 */
export function hl7Ack(
  message: Pick<Hl7Message, 'MSH'>,
  code: Hl7AckCode,
  text: string | undefined,
  { controlId, at }: Hl7AckOptions,
): Hl7Message {
  const { MSH } = message
  const event = hl7Get(message, 'MSH-9.2')
  const header: Hl7Fields = {
    1: MSH[1] ?? '|',
    2: MSH[2] ?? '^~\\&',
    7: [{ 1: timestamp(at) }],
    9: [event ? { 1: 'ACK', 2: event, 3: 'ACK' } : { 1: 'ACK' }],
    10: [{ 1: controlId }],
  }
  // Sender and receiver change places; processing ID, version and character set stay.
  for (const [to, from] of [
    [3, 5],
    [4, 6],
    [5, 3],
    [6, 4],
    [11, 11],
    [12, 12],
    [18, 18],
  ] as const) {
    const value = MSH[from]
    if (value !== undefined) header[to] = value
  }
  const fields: Hl7Fields = { 1: [{ 1: code }] }
  const reference = hl7Get(message, 'MSH-10')
  if (reference) fields[2] = [{ 1: reference }]
  if (text) fields[3] = [{ 1: text }]
  const type = event ? `ACK^${event}` : 'ACK'
  return { type, reference: controlId, MSH: header, segments: [{ tag: 'MSA', fields }] }
}

/** `YYYYMMDDHHMMSS+0000`. */
function timestamp(at: Date): string {
  return `${at.toISOString().replace(/[-:T]/g, '').slice(0, 14)}+0000`
}
