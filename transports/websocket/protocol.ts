/**
 * The frames of json mode. A text frame is JSON, a binary frame MessagePack; both hold the same objects, and an
 * answer comes in the encoding of its request unless its payload is bytes, which need a binary frame.
 */
import { SignalboxError, toSignalboxError, type WireError } from '../../core/errors.ts'
import { buildBody, parseBody } from '../../core/message/formats.ts'

export type RequestId = string | number

/** What a client sends. Without `id` it wants no answer. */
export interface RequestFrame {
  id?: RequestId
  payload?: unknown
  headers?: Record<string, string>
  cid?: string
  traceparent?: string
  timeoutMs?: number
  /** Gives up the request `id`. */
  cancel?: true
}

/** What a server sends: an answer, an error, an item of a stream, or the end of one. */
export interface AnswerFrame {
  /** `null`: of a request that could not be read. */
  id: RequestId | null
  payload?: unknown
  headers?: Record<string, string>
  status?: number
  cid?: string
  error?: WireError
  /** One item of a streamed answer, in `payload`; more follow until `end`. */
  item?: true
  end?: true
}

/** Reads a frame. Throws SIGNALBOX_FORMAT_INVALID or SIGNALBOX_FORMAT_LIMIT. */
export function decodeFrame(bytes: Buffer, binary: boolean, maxDepth: number): Record<string, unknown> {
  const value = parseBody(binary ? 'msgpack' : 'json', bytes, { maxDepth })
  // MessagePack has values of its own classes; a frame is a plain object.
  const prototype: unknown =
    typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : undefined
  if (prototype === Object.prototype || prototype === null) return value as Record<string, unknown>
  throw malformed('a message must be an object')
}

/** Writes a frame. Throws SIGNALBOX_CODEC_UNENCODABLE. */
export function encodeFrame(frame: RequestFrame | AnswerFrame, binary: boolean): string | Buffer {
  return buildBody(binary || frame.payload instanceof Uint8Array ? 'msgpack' : 'json', frame)
}

/** Checks what a client sent, field by field; unknown fields are left alone for later versions. */
export function checkRequest(frame: Record<string, unknown>): RequestFrame {
  const { id, headers, cid, traceparent, timeoutMs, cancel } = frame
  if (id !== undefined && !isId(id))
    throw malformed('id must be a string of at most 128 characters or an integer')
  if (cancel !== undefined && (cancel !== true || id === undefined))
    throw malformed('cancel must be true and needs an id')
  if (cid !== undefined && !(typeof cid === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(cid))) {
    throw malformed('cid must be 1 to 128 characters of A-Za-z0-9._-')
  }
  if (traceparent !== undefined && typeof traceparent !== 'string')
    throw malformed('traceparent must be a string')
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && (timeoutMs as number) > 0)) {
    throw malformed('timeoutMs must be a positive integer')
  }
  if (headers !== undefined && !isHeaders(headers)) throw malformed('headers must be an object of strings')
  return frame as RequestFrame
}

export function isId(value: unknown): value is RequestId {
  return (typeof value === 'string' && value.length <= 128) || Number.isSafeInteger(value)
}

export function isHeaders(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(inner => typeof inner === 'string')
}

/** What a client may know of an error: server errors (5xx) keep message and details to themselves. */
export function publicError(thrown: unknown): WireError {
  const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
  const wire = error.toWire()
  if (error.status < 500) return wire
  const { code, status, retryable, retryAfterMs } = wire
  const message = new SignalboxError(error.code).message
  return { code, message, status, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}

function malformed(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message)
}
