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
  let kept: unknown
  try {
    kept = plain(value, 0)
  } catch (error) {
    throw refusal(error)
  }
  const body = packr.pack(kept)
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

/** What MessagePack gives back as it is: the value itself, or a copy where something has to be left out. */
function plain(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      if (value.isWellFormed()) return value
      throw new Unstorable('text that is not well-formed Unicode')
    case 'number':
    case 'boolean':
      return value
    case 'object':
      return value === null ? null : plainObject(value, depth)
    default:
      throw new Unstorable(`a ${typeof value}`)
  }
}

function plainObject(value: object, depth: number): unknown {
  if (depth >= MAX_DEPTH) throw new Unstorable(`more than ${MAX_DEPTH} levels of nesting`)
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return plainArray(value, depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new Unstorable(`a ${value.constructor?.name ?? 'special object'}`)
  }
  const copy: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[name]
    try {
      if (name === '__proto__' || !name.isWellFormed()) {
        throw new Unstorable(`the name ${JSON.stringify(name)}`)
      }
      if (inner !== undefined) copy[name] = plain(inner, depth + 1)
    } catch (error) {
      throw within(name, error)
    }
  }
  return copy
}

function plainArray(value: readonly unknown[], depth: number): unknown[] {
  return Array.from(value, (item, index) => {
    try {
      return plain(item, depth + 1)
    } catch (error) {
      throw within(String(index), error)
    }
  })
}

/** What cannot be stored; where it is becomes known on the way out, so that a value that can costs nothing for it. */
class Unstorable extends Error {
  readonly path: string[] = []
}

function within(name: string, error: unknown): unknown {
  if (error instanceof Unstorable) error.path.unshift(name)
  return error
}

function refusal(error: unknown): unknown {
  if (!(error instanceof Unstorable)) return error
  const pointer = error.path.map(name => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  return refused(`${error.message} cannot be stored, at ${pointer || '(all)'}`)
}
