/**
 * Writes values in the format of codec-format.ts. The state of the one batch being written is in module variables:
 * this is the hot path of the bus.
 */
import type { SignalboxError } from '../errors.ts'
import * as format from './codec-format.ts'
import { kindOf } from './codec-kinds.ts'

/** A value that cannot travel; the caller finds out where it is. */
export class Unencodable extends Error {}

/** Keys of plain objects, in order, that have a number on the wire. */
interface Shape {
  readonly id: number
  readonly keys: readonly string[]
  /** For each key, the shape that its last object (or the objects in its last array) had: the next one's guess. */
  readonly hints: (Shape | undefined)[]
}

interface ShapeNode {
  next: Map<string, ShapeNode>
  shape: Shape | undefined
}

/** The shapes that both ends of a pair know. */
export class ShapeTable {
  readonly root: ShapeNode = { next: new Map(), shape: undefined }
  /** Guesses for the fields of the message itself. */
  readonly hints: (Shape | undefined)[] = []
  size = 0
  /** Objects that found no room for their shape. */
  overflow = 0
}

const SCRATCH_BYTES = 65_536
/** Larger scratch buffers are given back after the batch that needed them. */
const KEPT_SCRATCH_BYTES = 1_048_576
const MAX_BODY_BYTES = 0x3fff_0000
/** Room that every write of a fixed-size value may rely on. */
const SPARE_BYTES = 24
const SEGMENT_CHARS = 1_024

let data = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
let view = new DataView(data.buffer)
let position = 0
let limit = data.length - SPARE_BYTES
let textData = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
let textPosition = 0
let text = ''
let depth = 0
let shapes = new ShapeTable()
let attachments: Uint8Array[] = []
let attachmentMinBytes = 0
let busy = false
/** Index of the message being written, for the error. */
let current = 0

/** What {@link writeBatch} has written. */
export interface Written {
  body: Uint8Array<ArrayBuffer>
  attachments: Uint8Array[]
}

/** Writes a batch and returns an owned body of exact size. Throws whatever the first bad message causes. */
export function writeBatch(
  batch: readonly (readonly unknown[])[],
  table: ShapeTable,
  header: { flags: number; sequence: number; attachmentMinBytes: number },
): Written {
  busy = true
  position = format.HEADER_BYTES
  textPosition = 0
  text = ''
  depth = 0
  current = 0
  shapes = table
  attachments = []
  attachmentMinBytes = header.attachmentMinBytes
  try {
    writeLength(batch.length)
    for (; current < batch.length; current++) writeMessage(batch[current]!)
    if (text.length > 0) flushText()
    return { body: finish(header), attachments }
  } finally {
    busy = false
    release()
  }
}

/** Whether a batch is being written: a getter or proxy in it called us. */
export function isWriting(): boolean {
  return busy
}

/** The message that {@link writeBatch} stopped at when it threw. */
export function failedIndex(): number {
  return current
}

function finish(header: { flags: number; sequence: number }): Uint8Array<ArrayBuffer> {
  data[0] = format.VERSION
  data[1] = header.flags
  view.setUint16(2, 0)
  view.setUint32(4, header.sequence)
  view.setUint32(8, position - format.HEADER_BYTES)
  append(textData.subarray(0, textPosition))
  // The cheapest way to memory of its own: less than Buffer.allocUnsafeSlow and a copy of each part.
  return new Uint8Array(data.subarray(0, position))
}

function release(): void {
  text = ''
  attachments = []
  shapes = NO_SHAPES
  if (data.length > KEPT_SCRATCH_BYTES) useScratch(Buffer.allocUnsafeSlow(SCRATCH_BYTES))
  if (textData.length > KEPT_SCRATCH_BYTES) textData = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
}

const NO_SHAPES = new ShapeTable()

function useScratch(buffer: Buffer<ArrayBuffer>): void {
  data = buffer
  view = new DataView(data.buffer)
  limit = data.length - SPARE_BYTES
}

function grow(bytes: number): void {
  if (position + bytes > MAX_BODY_BYTES) throw new Unencodable('the batch is larger than 1 GiB')
  const bigger = Buffer.allocUnsafeSlow(Math.max(data.length * 2, position + bytes + SPARE_BYTES))
  data.copy(bigger, 0, 0, position)
  useScratch(bigger)
}

function writeMessage(message: readonly unknown[]): void {
  if (!Array.isArray(message)) throw new Unencodable('a message is an array')
  writeArrayHead(message.length)
  depth = 1
  const { hints } = shapes
  for (let i = 0; i < message.length; i++) {
    const hint = hints[i]
    const used = write(message[i], hint)
    if (used !== hint && i < 16) hints[i] = used
  }
  depth = 0
}

/** Writes any value. `hint` is the shape the value probably has; returns the shape that it had, or `hint`. */
function write(value: unknown, hint: Shape | undefined): Shape | undefined {
  if (position > limit) grow(SPARE_BYTES)
  if (typeof value === 'string') writeString(value)
  else if (typeof value === 'number') writeNumber(value)
  else if (typeof value === 'object') {
    if (value === null) data[position++] = format.TAG_NULL
    else return writeObject(value, hint)
  } else if (value === true) data[position++] = format.TAG_TRUE
  else if (value === false) data[position++] = format.TAG_FALSE
  else if (value === undefined) data[position++] = format.TAG_UNDEFINED
  else if (typeof value === 'bigint') writeBigInt(value)
  else throw new Unencodable(`a ${typeof value}`)
  return hint
}

function writeNumber(value: number): void {
  if ((value | 0) !== value || (value === 0 && Object.is(value, -0))) writeFloat(value)
  else if (value >= 0 && value < 0x80) data[position++] = value
  else if (value >= 0 && value < 0x10000) {
    data[position++] = format.TAG_UINT16
    data[position++] = value >> 8
    data[position++] = value & 0xff
  } else if (value < 0 && value >= -0x100) {
    data[position++] = format.TAG_NEGATIVE
    data[position++] = -1 - value
  } else {
    data[position++] = format.TAG_INT32
    view.setInt32(position, value)
    position += 4
  }
}

function writeFloat(value: number): void {
  data[position++] = format.TAG_FLOAT64
  view.setFloat64(position, value, true)
  position += 8
}

function writeString(value: string): void {
  const { length } = value
  if (length < 64) {
    data[position++] = format.TAG_STRING + length
    if (length === 0) return
  } else {
    data[position++] = format.TAG_LONG_STRING
    writeLength(length)
  }
  text += value
  if (text.length >= SEGMENT_CHARS) flushText()
}

function flushText(): void {
  const needed = textPosition + 4 + text.length * 3
  if (needed > textData.length) {
    if (needed > MAX_BODY_BYTES) throw new Unencodable('the batch is larger than 1 GiB')
    const bigger = Buffer.allocUnsafeSlow(Math.max(textData.length * 2, needed))
    textData.copy(bigger, 0, 0, textPosition)
    textData = bigger
  }
  let kind: number = format.TEXT_ASCII
  let bytes = textData.write(text, textPosition + 4, 'utf8')
  if (bytes !== text.length) {
    kind = format.TEXT_UTF8
    if (!text.isWellFormed()) {
      kind = format.TEXT_UTF16
      bytes = textData.write(text, textPosition + 4, 'utf16le')
    }
  }
  textData.writeUInt32BE(bytes * 4 + kind, textPosition)
  textPosition += 4 + bytes
  text = ''
}

function writeLength(length: number): void {
  if (length < 0xfe) data[position++] = length
  else if (length < 0x10000) {
    data[position++] = 0xfe
    view.setUint16(position, length)
    position += 2
  } else {
    data[position++] = 0xff
    view.setUint32(position, length)
    position += 4
  }
}

function writeArrayHead(length: number): void {
  if (position > limit) grow(SPARE_BYTES)
  if (length < 16) data[position++] = format.TAG_ARRAY + length
  else {
    data[position++] = format.TAG_LONG_ARRAY
    writeLength(length)
  }
}

function writeObject(value: object, hint: Shape | undefined): Shape | undefined {
  if (++depth > format.MAX_DEPTH) throw new Unencodable(`nested more than ${format.MAX_DEPTH} levels deep`)
  let used: Shape | undefined
  if (Array.isArray(value)) used = writeArray(value, hint)
  else if (Object.getPrototypeOf(value) === Object.prototype) {
    used = writeFields(value as Record<string, unknown>, hint)
  } else used = writeOther(value, hint)
  depth--
  return used
}

function writeArray(value: readonly unknown[], hint: Shape | undefined): Shape | undefined {
  const { length } = value
  writeArrayHead(length)
  let used = hint
  let holes = 0
  for (let i = 0; i < length; i++) {
    const element = value[i]
    if (element === undefined && !(i in value)) {
      if (++holes > format.MAX_HOLES)
        throw new Unencodable(`an array with more than ${format.MAX_HOLES} holes`)
      if (position > limit) grow(SPARE_BYTES)
      data[position++] = format.TAG_HOLE
    } else used = write(element, used)
  }
  return used
}

function writeFields(value: Record<string, unknown>, hint: Shape | undefined): Shape | undefined {
  if (hint === undefined || !hasShape(value, hint)) return writeUnguessed(value)
  writeShapeId(hint.id)
  const { hints } = hint
  let i = 0
  for (const key in value) {
    const guess = hints[i]
    const used = write(value[key], guess)
    if (used !== guess) hints[i] = used
    i++
  }
  // Only a getter or a proxy can do that, but then the body would be garbage.
  if (i !== hint.keys.length) throw new Unencodable('an object that changes while it is read')
  return hint
}

function hasShape(value: object, shape: Shape): boolean {
  const { keys } = shape
  let i = 0
  for (const key in value) if (key !== keys[i++]) return false
  return i === keys.length
}

function writeUnguessed(value: Record<string, unknown>): Shape | undefined {
  const keys = Object.keys(value)
  const known = findShape(keys)
  if (known !== undefined) writeShapeId(known.id)
  const shape = known ?? defineShape(keys)
  if (shape === undefined) {
    writeDictionary(format.TAG_DICTIONARY, keys, value)
    return undefined
  }
  for (let i = 0; i < keys.length; i++) shape.hints[i] = write(value[keys[i]!], shape.hints[i])
  return shape
}

function findShape(keys: readonly string[]): Shape | undefined {
  if (keys.length > format.MAX_SHAPE_KEYS) return undefined
  let node = shapes.root
  for (const key of keys) {
    const next = node.next.get(key)
    if (next === undefined) return undefined
    node = next
  }
  return node.shape
}

/** Gives keys a number and writes them, or returns undefined when they look like a dictionary or there is no room. */
function defineShape(keys: readonly string[]): Shape | undefined {
  if (keys.length > format.MAX_SHAPE_KEYS) return undefined
  if (shapes.size === format.MAX_SHAPES) {
    shapes.overflow++
    return undefined
  }
  for (const key of keys) if (key.length > format.MAX_SHAPE_KEY_CHARS) return undefined
  let node = shapes.root
  for (const key of keys) {
    let next = node.next.get(key)
    if (next === undefined) {
      next = { next: new Map(), shape: undefined }
      node.next.set(key, next)
    }
    node = next
  }
  // Filled, not empty: an array that never had holes is read faster.
  const shape: Shape = { id: shapes.size++, keys, hints: keys.map(() => undefined) }
  node.shape = shape
  if (position > limit) grow(SPARE_BYTES)
  data[position++] = format.TAG_DEFINE
  data[position++] = keys.length
  for (const key of keys) write(key, undefined)
  return shape
}

function writeShapeId(id: number): void {
  if (position > limit) grow(SPARE_BYTES)
  if (id < 32) data[position++] = format.TAG_SHAPE + id
  else {
    data[position++] = format.TAG_LONG_SHAPE
    data[position++] = id >> 8
    data[position++] = id & 0xff
  }
}

function writeDictionary(tag: number, keys: readonly string[], value: Record<string, unknown>): void {
  if (position > limit) grow(SPARE_BYTES)
  data[position++] = tag
  writeLength(keys.length)
  let hint: Shape | undefined
  for (const key of keys) {
    write(key, undefined)
    hint = write(value[key], hint)
  }
}

/** Everything that is neither an array nor a plain object. */
function writeOther(value: object, hint: Shape | undefined): Shape | undefined {
  const kind = kindOf(value)
  switch (kind.is) {
    case 'fields':
      return writeFields(value as Record<string, unknown>, hint)
    case 'nullObject':
      writeDictionary(format.TAG_NULL_DICTIONARY, Object.keys(value), value as Record<string, unknown>)
      break
    case 'bytes':
      writeBytes(kind.kind, value as ArrayBufferView | ArrayBuffer)
      break
    case 'date':
      extended(format.EXT_DATE)
      view.setFloat64(position, Date.prototype.getTime.call(value), true)
      position += 8
      break
    case 'map':
      writeMap(value as Map<unknown, unknown>)
      break
    case 'set':
      writeSet(value as Set<unknown>)
      break
    case 'regexp':
      extended(format.EXT_REGEXP)
      write((value as RegExp).source, undefined)
      write((value as RegExp).flags, undefined)
      break
    case 'error':
      writeError(value as Error)
      break
    case 'busError':
      extended(format.EXT_BUS_ERROR)
      write({ ...(value as SignalboxError).toWire() }, undefined)
      break
    case 'refused':
      throw new Unencodable(kind.reason)
  }
  return hint
}

function extended(type: number): void {
  data[position++] = format.TAG_EXTENDED
  data[position++] = type
}

function writeBigInt(value: bigint): void {
  if (BigInt.asIntN(64, value) === value) {
    extended(format.EXT_BIGINT64)
    view.setBigInt64(position, value)
    position += 8
    return
  }
  const hex = (value < 0n ? -value : value).toString(16)
  const magnitude = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  extended(format.EXT_BIGINT)
  data[position++] = value < 0n ? 1 : 0
  writeLength(magnitude.length)
  append(magnitude)
}

function append(bytes: Uint8Array): void {
  if (position + bytes.length > limit) grow(bytes.length)
  data.set(bytes, position)
  position += bytes.length
}

function writeBytes(kind: number, value: ArrayBufferView | ArrayBuffer): void {
  const isView = ArrayBuffer.isView(value)
  const bytes =
    value instanceof Uint8Array
      ? value
      : isView
        ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
        : new Uint8Array(value)
  const outside = bytes.byteLength >= attachmentMinBytes
  extended(outside ? format.EXT_ATTACHMENT : format.EXT_BYTES)
  data[position++] = kind
  if (outside) attachments.push(bytes)
  else {
    writeLength(bytes.byteLength)
    append(bytes)
  }
}

function writeMap(value: Map<unknown, unknown>): void {
  extended(format.EXT_MAP)
  const { size } = value
  writeLength(size)
  let count = 0
  let hint: Shape | undefined
  for (const [key, entry] of Map.prototype.entries.call(value)) {
    write(key, undefined)
    hint = write(entry, hint)
    count++
  }
  if (count !== size) throw new Unencodable('a Map that changes while it is read')
}

function writeSet(value: Set<unknown>): void {
  extended(format.EXT_SET)
  const { size } = value
  writeLength(size)
  let count = 0
  let hint: Shape | undefined
  for (const member of Set.prototype.values.call(value)) {
    hint = write(member, hint)
    count++
  }
  if (count !== size) throw new Unencodable('a Set that changes while it is read')
}

/**
 * Name, message, code and own enumerable fields travel. Stack and cause stay behind: they tell about files and
 * hold secrets, and both are in the log of the side where the error arose.
 */
function writeError(value: Error): void {
  extended(format.EXT_ERROR)
  write(String(value.name), undefined)
  write(String(value.message), undefined)
  const fields = errorFields(value)
  writeDictionary(format.TAG_DICTIONARY, Object.keys(fields), fields)
}

/** What travels of an error beside its name and message. */
export function errorFields(value: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null)
  for (const key of Object.keys(value)) {
    if (key !== 'stack' && key !== 'cause' && key !== 'message') fields[key] = Reflect.get(value, key)
  }
  const code: unknown = Reflect.get(value, 'code')
  if (typeof code === 'string' || typeof code === 'number') fields.code = code
  if (value instanceof AggregateError) fields.errors = value.errors
  return fields
}
