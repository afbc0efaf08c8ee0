/**
 * Reads the format of codec-format.ts from a body that may come from anyone: every length is checked against the
 * bytes that are left before anything is allocated, nothing is read twice, and nesting is limited.
 */
import { fromWire, type WireError } from '../errors.ts'
import * as format from './codec-format.ts'

/** A body that cannot be read; becomes SIGNALBOX_CODEC_MALFORMED. */
export class Malformed extends Error {}

type ShapeReader = () => Record<string, unknown>

interface Shape {
  readonly keys: readonly string[]
  read: ShapeReader
  /** Uses left before a reader of its own is compiled. */
  cold: number
}

/** The shapes that earlier bodies defined. */
export class Shapes {
  list: Shape[] = []
  /** Compiled readers by their keys as JSON; they outlive {@link list}, so a fresh body finds them again. */
  readonly compiled = new Map<string, ShapeReader>()
}

/** Uses of a shape before a reader of its own is compiled for it. */
const COMPILE_AFTER_USES = 16
/** Readers that a pair compiles at most: a peer that keeps inventing shapes gets the slower general one. */
const MAX_COMPILED = 1_024
/** Smaller binary data is copied, so that keeping it does not keep the whole body. */
const VIEW_MIN_BYTES = 4_096

let body: Buffer = Buffer.alloc(0)
let position = 0
/** Where the data ends and the text begins. */
let end = 0
let text = ''
let textPosition = 0
let nextSegment = 0
let depth = 0
/** Elements that may still be declared: each takes a byte at least. */
let budget = 0
let shapes = new Shapes()
let attachments: readonly Uint8Array[] = []
let nextAttachment = 0

/** Reads the batch in `source`, whose header was checked. Throws Malformed, RangeError and the like. */
export function readBatch(
  source: Buffer,
  dataBytes: number,
  known: Shapes,
  outside: readonly Uint8Array[],
): unknown[][] {
  body = source
  position = format.HEADER_BYTES
  end = format.HEADER_BYTES + dataBytes
  nextSegment = end
  text = ''
  textPosition = 0
  depth = 0
  budget = dataBytes
  shapes = known
  attachments = outside
  nextAttachment = 0
  try {
    return readMessages()
  } finally {
    body = EMPTY
    text = ''
    attachments = []
    shapes = NO_SHAPES
  }
}

const EMPTY = Buffer.alloc(0)
const NO_SHAPES = new Shapes()

function readMessages(): unknown[][] {
  const count = readCount(1)
  const batch: unknown[][] = new Array(count)
  for (let i = 0; i < count; i++) {
    const message = read()
    if (!Array.isArray(message)) throw new Malformed('a message is not an array')
    batch[i] = message
  }
  if (position !== end) throw new Malformed('the data does not end where the header says')
  if (textPosition !== text.length || nextSegment !== body.length) throw new Malformed('text is left over')
  if (nextAttachment !== attachments.length) throw new Malformed('attachments are left over')
  return batch
}

function read(): unknown {
  const tag = body[position++]!
  if (tag < format.TAG_STRING) return tag
  if (tag < format.TAG_ARRAY) return readText(tag - format.TAG_STRING)
  if (tag < format.TAG_SHAPE) return readArray(tag - format.TAG_ARRAY)
  if (tag < format.TAG_NULL) return readShape(tag - format.TAG_SHAPE)
  return readTagged(tag)
}

function readTagged(tag: number): unknown {
  switch (tag) {
    case 0xf0:
      return null
    case 0xf1:
      return undefined
    case 0xf2:
      return false
    case 0xf3:
      return true
    case 0xf4:
      return -1 - readByte()
    case 0xf5:
      return readUint16()
    case 0xf6:
      return readUint32() | 0
    case 0xf7:
      return readFloat64()
    case 0xf8:
      return readText(readLength())
    case 0xf9:
      return readArray(readLength())
    case 0xfa:
      return readShape(readUint16())
    case 0xfb:
      return defineShape()
    case 0xfc:
      return readDictionary({})
    case 0xfd:
      return readDictionary(Object.create(null) as Record<string, unknown>)
    case 0xfe:
      return readExtended()
  }
  throw new Malformed(
    tag === undefined ? 'the body ends too early' : `a byte ${tag} stands where a value must`,
  )
}

function readByte(): number {
  const byte = body[position++]
  if (byte === undefined) throw new Malformed('the body ends too early')
  return byte
}

function readLength(): number {
  const byte = readByte()
  if (byte < 0xfe) return byte
  return byte === 0xfe ? readUint16() : readUint32()
}

function mustHave(bytes: number): void {
  if (bytes > end - position) throw new Malformed('a length is larger than the body')
}

function readUint16(): number {
  mustHave(2)
  position += 2
  return (body[position - 2]! << 8) | body[position - 1]!
}

function readUint32(): number {
  mustHave(4)
  position += 4
  return body.readUInt32BE(position - 4)
}

const eightBytes = new Uint8Array(8)
const asFloat64 = new Float64Array(eightBytes.buffer)

/** As `Buffer.readDoubleLE`, without its argument checks: numbers with a fraction are common. */
function readFloat64(): number {
  mustHave(8)
  for (let i = 0; i < 8; i++) eightBytes[i] = body[position + i]!
  position += 8
  return asFloat64[0]!
}

/** Reads how many things of at least `bytesEach` follow. */
function readCount(bytesEach: number): number {
  const count = readLength()
  spend(count * bytesEach)
  return count
}

/** The sum of all declared counts of a true body is at most its bytes, however they nest. */
function spend(count: number): void {
  if (count > end - position || count > budget) throw new Malformed('a length is larger than the body')
  budget -= count
}

function readText(length: number): string {
  if (length === 0) return ''
  if (textPosition === text.length) readSegment()
  const from = textPosition
  textPosition += length
  if (textPosition > text.length) throw new Malformed('a string is longer than its text')
  return text.substring(from, textPosition)
}

function readSegment(): void {
  if (nextSegment + 4 > body.length) throw new Malformed('text is missing')
  const word = body.readUInt32BE(nextSegment)
  const from = nextSegment + 4
  const to = from + Math.floor(word / 4)
  if (to > body.length) throw new Malformed('a text segment is longer than the body')
  const kind = word & 3
  if (kind === format.TEXT_ASCII) text = body.toString('latin1', from, to)
  else if (kind === format.TEXT_UTF8) text = body.toString('utf8', from, to)
  else if (kind === format.TEXT_UTF16) text = body.toString('utf16le', from, to)
  else throw new Malformed('a text segment of an unknown kind')
  textPosition = 0
  nextSegment = to
}

function descend(): void {
  if (++depth > format.MAX_DEPTH) throw new Malformed(`nested more than ${format.MAX_DEPTH} levels deep`)
}

function readArray(length: number): unknown[] {
  spend(length)
  descend()
  const array: unknown[] = new Array(length)
  for (let i = 0; i < length; i++) {
    if (body[position] === format.TAG_HOLE) position++
    else array[i] = read()
  }
  depth--
  return array
}

function readShape(id: number): Record<string, unknown> {
  const shape = shapes.list[id]
  if (shape === undefined) throw new Malformed(`shape ${id} was never defined`)
  descend()
  if (shape.cold > 0 && --shape.cold === 0) compileReader(shape)
  const object = shape.read()
  depth--
  return object
}

function defineShape(): Record<string, unknown> {
  if (shapes.list.length >= format.MAX_SHAPES) throw new Malformed('too many shapes')
  const count = readByte()
  if (count > format.MAX_SHAPE_KEYS) throw new Malformed('a shape with too many keys')
  const keys: string[] = []
  for (let i = 0; i < count; i++) {
    const key = readKey()
    if (key.length > format.MAX_SHAPE_KEY_CHARS) throw new Malformed('a shape with a key that is too long')
    keys.push(key)
  }
  const id = shapes.list.length
  shapes.list.push(knownShape(keys) ?? newShape(keys))
  return readShape(id)
}

function knownShape(keys: readonly string[]): Shape | undefined {
  if (shapes.compiled.size === 0) return undefined
  const read = shapes.compiled.get(JSON.stringify(keys))
  return read && { keys, read, cold: 0 }
}

function newShape(keys: readonly string[]): Shape {
  if (new Set(keys).size !== keys.length) throw new Malformed('a shape with the same key twice')
  // Property names are copies of their own; the strings just read would keep their text segment alive.
  const names = keys.map(key => Object.keys({ [key]: 0 })[0]!)
  return { keys: names, read: () => readValues(names), cold: COMPILE_AFTER_USES }
}

function readKey(): string {
  const key = read()
  if (typeof key !== 'string') throw new Malformed('a key that is not a string')
  return key
}

function readValues(keys: readonly string[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const key of keys) setOwn(object, key, read())
  return object
}

/**
 * Makes an object literal of the keys: more than twice as fast as adding them one by one. A computed `__proto__` is an
 * own property like any other. The keys enter the source as JSON strings, so they cannot be anything but strings.
 */
function compileReader(shape: Shape): void {
  if (shapes.compiled.size >= MAX_COMPILED) return
  const fields = shape.keys.map(key => `${key === '__proto__' ? '["__proto__"]' : JSON.stringify(key)}:r()`)
  const reader: ShapeReader = new Function('r', `return function(){return{${fields.join(',')}}}`)(read)
  shapes.compiled.set(JSON.stringify(shape.keys), reader)
  shape.read = reader
}

function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else object[key] = value
}

function readDictionary(object: Record<string, unknown>): Record<string, unknown> {
  const count = readCount(2)
  descend()
  for (let i = 0; i < count; i++) setOwn(object, readKey(), read())
  depth--
  return object
}

function readExtended(): unknown {
  const type = readByte()
  switch (type) {
    case format.EXT_BIGINT64:
      return take(8).readBigInt64BE()
    case format.EXT_BIGINT:
      return readBigInt()
    case format.EXT_DATE:
      return new Date(readFloat64())
    case format.EXT_REGEXP:
      return new RegExp(readKey(), readKey())
    case format.EXT_MAP:
      return readMap()
    case format.EXT_SET:
      return readSet()
    case format.EXT_ERROR:
      return readError()
    case format.EXT_BUS_ERROR:
      return readBusError()
    case format.EXT_BYTES:
      return readBytes(readByte())
    case format.EXT_ATTACHMENT:
      return readAttachment(readByte())
  }
  throw new Malformed(`unknown extended type ${type}`)
}

/** The next `length` bytes, which must be there. */
function take(length: number): Buffer {
  mustHave(length)
  position += length
  return body.subarray(position - length, position)
}

function readBigInt(): bigint {
  const negative = readByte() === 1
  const magnitude = BigInt(`0x${take(readLength()).toString('hex')}`)
  return negative ? -magnitude : magnitude
}

function readMap(): Map<unknown, unknown> {
  const count = readCount(2)
  descend()
  const map = new Map<unknown, unknown>()
  for (let i = 0; i < count; i++) map.set(read(), read())
  depth--
  return map
}

function readSet(): Set<unknown> {
  const count = readCount(1)
  descend()
  const set = new Set<unknown>()
  for (let i = 0; i < count; i++) set.add(read())
  depth--
  return set
}

function readError(): Error {
  const name = readKey()
  const message = readKey()
  if (readByte() !== format.TAG_DICTIONARY) throw new Malformed('an error without fields')
  const fields = readDictionary({})
  const known = format.ERROR_CLASSES.get(name)
  const { errors, ...others } = fields
  const error =
    name === 'AggregateError' && Array.isArray(errors)
      ? new AggregateError(errors, message)
      : new (known ?? Error)(message)
  if (error.name !== name) hidden(error, 'name', name)
  hidden(error, 'stack', `${name}: ${message}`)
  const rest = error instanceof AggregateError || errors === undefined ? others : fields
  for (const [key, value] of Object.entries(rest)) own(error, key, value)
  return error
}

function own(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

function hidden(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: false, configurable: true })
}

function readBusError(): Error {
  const wire = read()
  if (!isWireError(wire)) throw new Malformed('an error of the bus with fields of the wrong type')
  const error = fromWire(wire)
  hidden(error, 'stack', `${error.name}: ${error.message}`)
  return error
}

function isWireError(value: unknown): value is WireError {
  if (typeof value !== 'object' || value === null) return false
  const { code, message, details, status, retryable, retryAfterMs } = value as Record<string, unknown>
  return (
    typeof code === 'string' &&
    typeof message === 'string' &&
    (details === undefined || (typeof details === 'object' && details !== null)) &&
    (status === undefined || typeof status === 'number') &&
    (retryable === undefined || typeof retryable === 'boolean') &&
    (retryAfterMs === undefined || typeof retryAfterMs === 'number')
  )
}

function readBytes(kind: number): unknown {
  const bytes = take(readLength())
  if (kind === 0 && bytes.byteLength >= VIEW_MIN_BYTES) return bytes
  const copy = new Uint8Array(bytes.byteLength)
  copy.set(bytes)
  return asKind(kind, copy)
}

function readAttachment(kind: number): unknown {
  const bytes = attachments[nextAttachment++]
  if (bytes === undefined) throw new Malformed('an attachment is missing')
  return asKind(kind, bytes)
}

/** The bytes as the kind of object they were, without a copy where alignment allows it. */
function asKind(kind: number, bytes: Uint8Array): unknown {
  const Kind = format.BYTES[kind]
  if (Kind === undefined) throw new Malformed(`unknown kind of binary data ${kind}`)
  if (Kind === Buffer) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (Kind === ArrayBuffer) return wholeBuffer(bytes)
  const Typed = Kind as Float64ArrayConstructor
  const unit = Typed.BYTES_PER_ELEMENT ?? 1
  if (bytes.byteLength % unit !== 0) throw new Malformed('binary data is not a whole number of elements')
  const aligned = bytes.byteOffset % unit === 0 ? bytes : Uint8Array.from(bytes)
  return new Typed(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / unit)
}

function wholeBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) return buffer
  return new Uint8Array(bytes).buffer
}
