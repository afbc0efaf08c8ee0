/** Header tables that are sent. */
import { SignalboxError } from '../../core/errors.ts'

/** What a header frame needs beside the table: the frame itself, and properties of at most 255 bytes each. */
const REST_BYTES = 4_096
/** amqplib writes a table into a buffer of this size. */
const ENCODER_BYTES = 65_536
const MAX_NAME_BYTES = 255
/** Tag and length of a value. */
const VALUE_BYTES = 9
/** The broker reads these as lists of further routing keys. */
const LISTS = new Set(['CC', 'BCC'])

/**
 * Throws SIGNALBOX_MESSAGE_INVALID for headers that cannot be sent: a header frame is never split, and the broker ends
 * the whole connection for one that is too large.
 */
export function checkTable(table: Record<string, unknown> | undefined, frameMaxBytes: number): void {
  if (table === undefined) return
  const limit = Math.min(frameMaxBytes, ENCODER_BYTES + REST_BYTES) - REST_BYTES
  let bytes = 0
  for (const name of Object.keys(table)) {
    const value = table[name]
    const nameBytes = Buffer.byteLength(name)
    if (nameBytes > MAX_NAME_BYTES) {
      throw invalid(`the name of header '${name.slice(0, 32)}...' is longer than ${MAX_NAME_BYTES} bytes`)
    }
    if (LISTS.has(name)) throw invalid(`${name} is no header here: use ${name.toLowerCase()} of publish`)
    bytes += 1 + nameBytes + sizeOf(value)
    if (bytes > limit) throw invalid(`its headers are larger than ${limit} bytes`)
  }
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return VALUE_BYTES + Buffer.byteLength(value)
  if (Buffer.isBuffer(value)) return VALUE_BYTES + value.length
  if (typeof value !== 'object' || value === null) return VALUE_BYTES
  let bytes = VALUE_BYTES
  for (const [name, inner] of Object.entries(value)) bytes += 1 + Buffer.byteLength(name) + sizeOf(inner)
  return bytes
}

function invalid(what: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_MESSAGE_INVALID', `the message cannot be sent: ${what}`)
}
