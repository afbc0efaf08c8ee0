import { SignalboxError } from '../../core/errors.ts'
import { compileSchema, Type, type Validator } from '../../core/schema.ts'
import type { OutgoingMessage } from '../../core/transport.ts'
import type { HttpRequest } from './request.ts'

const scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()])

/** What a message may say about its request. Other attributes are not for HTTP and are passed over. */
const Attributes = Type.Object({
  method: Type.Optional(Type.String()),
  path: Type.Optional(Type.String()),
  url: Type.Optional(Type.String()),
  pathParams: Type.Optional(Type.Record(Type.String(), scalar)),
  query: Type.Optional(Type.Record(Type.String(), Type.Union([scalar, Type.Array(scalar)]))),
})
let checkAttributes: Validator | undefined

/** The request that an outgoing message stands for. Its method is POST unless the attributes name another. */
export function fromMessage(message: OutgoingMessage): HttpRequest {
  const attributes = message.attributes ?? {}
  // Compiled by the first message, not by everyone who loads this file.
  checkAttributes ??= compileSchema(Attributes)
  const violations = checkAttributes(attributes)
  if (violations) {
    const list = violations.map(({ pointer, rule }) => `attributes${pointer} ${rule}`).join('; ')
    throw new SignalboxError('SIGNALBOX_USAGE', `HTTP message: ${list}`, { details: { errors: violations } })
  }
  const { method = 'POST', path, url, pathParams, query } = attributes as Partial<HttpRequest>
  return {
    method,
    ...(path !== undefined && { path }),
    ...(url !== undefined && { url }),
    ...(pathParams && { pathParams }),
    ...(query && { query }),
    ...bodyOf(message.payload),
    ...(message.headers && { headers: message.headers }),
    ...(message.timeoutMs !== undefined && { timeoutMs: message.timeoutMs }),
    ...(message.signal && { signal: message.signal }),
  }
}

/** Text and bytes go as they are, streams as streams, everything else as JSON. */
function bodyOf(payload: unknown): Pick<HttpRequest, 'body' | 'json' | 'stream'> {
  if (payload === undefined) return {}
  if (typeof payload === 'string' || payload instanceof Uint8Array) return { body: payload }
  if (typeof payload === 'object' && payload !== null && Symbol.asyncIterator in payload) {
    return { stream: payload as AsyncIterable<Uint8Array> }
  }
  return { json: payload }
}
