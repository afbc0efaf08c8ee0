/** Values as bytes: MessagePack behind a checksum, so that a damaged record is found and never believed. */
import { crc32 } from 'node:zlib'
import { Packr } from 'msgpackr'
import { SignalboxError } from '../errors.ts'
import { refused } from './entry.ts'

const VERSION = 1
const BODY = 21
const MAX_DEPTH = 64
/** The largest value, encoded: 16 MiB. */
export const MAX_VALUE_BYTES = 16 * 1024 * 1024

const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false })

/** Reads what {@link packValue} wrote. Bytes in it are views of what is given. */
export function unpackValue(bytes: Uint8Array): unknown {
  return packr.unpack(bytes)
}

/** Two numbers that an engine keeps beside a value: its revision, its time. */
export type Head = readonly [number, number]

/**
 * Encodes a value. Takes null, booleans, numbers, well-formed text, Uint8Array (comes back as Buffer), arrays and
 * plain objects; properties that are undefined are left out, and -0 becomes 0. Throws SIGNALBOX_STORE_ENTRY_INVALID with the JSON
 * pointer of what cannot be stored.
 */
export function packValue(value: unknown): Buffer {
  const body = packr.pack(plain(value, '', 0))
  if (body.length > MAX_VALUE_BYTES)
    throw refused(`a value of ${body.length} bytes is over ${MAX_VALUE_BYTES}`)
  // The packer goes on to use the memory behind its result.
  return Buffer.from(body)
}

/**
 * The bytes to keep at `place`: version (1 byte), CRC-32 (4), the two numbers (8 each), the packed value. The checksum
 * covers the place too: bytes that turn up at another place are not believed either.
 */
export function seal(place: Uint8Array, [first, second]: Head, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(BODY + body.length)
  bytes[0] = VERSION
  bytes.writeDoubleLE(first, 5)
  bytes.writeDoubleLE(second, 13)
  bytes.set(body, BODY)
  bytes.writeUInt32LE(crc32(bytes.subarray(5), crc32(place)), 1)
  return bytes
}

/** Opens what {@link seal} made for the same place. Throws SIGNALBOX_STORE_DAMAGED, naming `what`. */
export function unseal(place: Uint8Array, sealed: Uint8Array, what: string): { head: Head; value: unknown } {
  // A copy: the unpacker may keep views of what it reads, and the caller's memory may be a map of the file.
  const bytes = Buffer.from(sealed)
  if (bytes.length <= BODY || bytes[0] !== VERSION) throw damaged(what)
  if (bytes.readUInt32LE(1) !== crc32(bytes.subarray(5), crc32(place))) throw damaged(what)
  try {
    const value: unknown = packr.unpack(bytes.subarray(BODY))
    return { head: [bytes.readDoubleLE(5), bytes.readDoubleLE(13)], value }
  } catch (cause) {
    throw damaged(what, cause)
  }
}

/** The error for bytes that are not those that were written. */
export function damaged(what: string, cause?: unknown): SignalboxError {
  const options = { details: { place: what }, ...(cause !== undefined && { cause }) }
  return new SignalboxError(
    'SIGNALBOX_STORE_DAMAGED',
    `${what} is damaged: its checksum does not match`,
    options,
  )
}

/** A copy that MessagePack gives back as it is. */
function plain(value: unknown, pointer: string, depth: number): unknown {
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return value
  if (typeof value === 'string') {
    if (value.isWellFormed()) return value
    throw unstorable('text that is not well-formed Unicode', pointer)
  }
  if (typeof value !== 'object') throw unstorable(`a ${typeof value}`, pointer)
  if (depth >= MAX_DEPTH) throw unstorable(`more than ${MAX_DEPTH} levels of nesting`, pointer)
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map((item, index) => plain(item, `${pointer}/${index}`, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw unstorable(`a ${value.constructor?.name ?? 'special object'}`, pointer)
  }
  const copy: Record<string, unknown> = {}
  for (const [name, inner] of Object.entries(value)) {
    const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (name === '__proto__' || !name.isWellFormed()) throw unstorable(`the name ${JSON.stringify(name)}`, at)
    if (inner !== undefined) copy[name] = plain(inner, at, depth + 1)
  }
  return copy
}

function unstorable(what: string, pointer: string): SignalboxError {
  return refused(`${what} cannot be stored, at ${pointer || '(all)'}`)
}
