/** MessagePack. Bodies are checked before anything is built: msgpackr recurses and knows extensions that make objects. */
import { Packr, Unpackr } from 'msgpackr'
import { SignalboxError } from '../errors.ts'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS, type FormatCodec } from './format.ts'
import { overLimit, refuseUnsafeNames } from './safety.ts'

/** A number where it is exact, else a bigint; the declarations of the library lack the value. */
const INT64 = 'auto' as 'number'
const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: INT64 })
const PROTO = Buffer.from('__proto_')
const TIMESTAMP = 0xff

export const msgpack: FormatCodec = {
  mediaTypes: ['application/msgpack', 'application/vnd.msgpack', 'application/x-msgpack'],
  parse(bytes, limits) {
    new Check(bytes, limits).run()
    // msgpackr renames this key, so it has to be found in the bytes.
    if (bytes.includes(PROTO)) throw invalid(`the name '__proto__' is not allowed`, bytes.indexOf(PROTO))
    const value = unpack(bytes)
    if (bytes.includes('constructor')) refuseUnsafeNames(value, 'MessagePack')
    return value
  },
  build(value) {
    try {
      return Buffer.from(packr.pack(value))
    } catch (error) {
      throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `MessagePack: ${(error as Error).message}`)
    }
  },
}

/** Maps whose names are no names, and timestamps of a wrong length, are only found by the library. */
function unpack(bytes: Buffer): unknown {
  try {
    return unpackr.unpack(bytes)
  } catch (cause) {
    const { message } = cause as Error
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `MessagePack: ${message}`, { cause })
  }
}

/** Walks over one value by its headers, without recursion: lengths, depth, number of values, extensions. */
class Check {
  readonly #bytes: Buffer
  readonly #maxDepth: number
  readonly #maxElements: number
  #at = 0

  constructor(bytes: Buffer, { maxDepth, maxElements = DEFAULT_MAX_ELEMENTS }: BodyLimits) {
    this.#bytes = bytes
    this.#maxDepth = maxDepth
    this.#maxElements = maxElements
  }

  run(): void {
    /** How many values each open array or map still waits for. */
    const open: number[] = [1]
    let elements = 0
    while (open.length > 0) {
      const left = open.at(-1)!
      if (left === 0) {
        open.pop()
        continue
      }
      open[open.length - 1] = left - 1
      if (++elements > this.#maxElements)
        throw overLimit('MessagePack', 'maxElements', this.#maxElements, 'values')
      const children = this.#value()
      if (children === undefined) continue
      if (open.length > this.#maxDepth)
        throw overLimit('MessagePack', 'maxDepth', this.#maxDepth, 'levels of nesting')
      if (children > this.#bytes.length - this.#at)
        throw invalid('the body ends too early', this.#bytes.length)
      open.push(children)
    }
    if (this.#at !== this.#bytes.length) throw invalid('bytes follow the value', this.#at)
  }

  /** Steps over a header and its own bytes. The number of values inside for an array or a map. */
  #value(): number | undefined {
    const type = this.#number(1)
    if (type <= 0x7f || type >= 0xe0) return undefined
    if (type <= 0x8f) return 2 * (type & 0x0f)
    if (type <= 0x9f) return type & 0x0f
    if (type <= 0xbf) return this.#skip(type & 0x1f)
    if (type >= 0xdc) {
      const count = this.#number(type % 2 === 0 ? 2 : 4)
      return type >= 0xde ? 2 * count : count
    }
    if (type >= 0xd9) return this.#skip(this.#number(1 << (type - 0xd9)))
    if (type >= 0xd4) return this.#extension(1 << (type - 0xd4))
    if (type >= 0xca) return this.#skip(type <= 0xcb ? 4 << (type - 0xca) : 1 << (type & 3))
    if (type >= 0xc7) return this.#extension(this.#number(1 << (type - 0xc7)))
    if (type >= 0xc4) return this.#skip(this.#number(1 << (type - 0xc4)))
    if (type === 0xc1) throw invalid('the type 0xc1 does not exist', this.#at - 1)
    return undefined
  }

  #extension(length: number): undefined {
    const type = this.#number(1)
    if (type !== TIMESTAMP)
      throw invalid(`the extension type ${(type << 24) >> 24} is not accepted`, this.#at - 1)
    return this.#skip(length)
  }

  #number(size: number): number {
    if (this.#at + size > this.#bytes.length) throw invalid('the body ends too early', this.#bytes.length)
    const value = this.#bytes.readUIntBE(this.#at, size)
    this.#at += size
    return value
  }

  #skip(length: number): undefined {
    if (this.#at + length > this.#bytes.length) throw invalid('the body ends too early', this.#bytes.length)
    this.#at += length
    return undefined
  }
}

function invalid(why: string, offset: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `MessagePack: ${why}, at byte ${offset}`, {
    details: { offset },
  })
}
