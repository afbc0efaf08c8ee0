/** Messages that a connection sends: what a caller may say of one, and what goes to the broker. */
import type { Options } from 'amqplib'
import { SignalboxError } from '../../core/errors.ts'
import { compileSchema, Type, type Validator } from '../../core/schema.ts'
import type { OutgoingMessage } from '../../core/transport.ts'
import { writeBody } from './body.ts'
import { CID_HEADER } from './inbound.ts'
import type { AmqpConnectionSettings } from './options.ts'
import type { Publication } from './publisher.ts'

/** What a header may be; a whole number is sent as an integer. */
export type AmqpHeader =
  | string
  | number
  | boolean
  | null
  | Uint8Array
  | AmqpHeader[]
  | { [name: string]: AmqpHeader }

/** Properties of a message (AMQP 0-9-1, 1.8.3) and where it goes; those of the connection fill in what is missing. */
export interface AmqpProperties {
  exchange?: string
  routingKey?: string
  /** A message that no queue gets is an error. */
  mandatory?: boolean
  persistent?: boolean
  contentType?: string
  /** Says how the payload is encoded; it is sent as it is. */
  contentEncoding?: string
  priority?: number
  /** The message expires after so many milliseconds. */
  expirationMs?: number
  messageId?: string
  /** Default: the correlation id of the bus. Requests have one of their own. */
  correlationId?: string
  replyTo?: string
  type?: string
  appId?: string
  userId?: string
  /** Seconds since the epoch. */
  timestamp?: number
  /** Further routing keys, which receivers see (`cc`) or not (`bcc`). */
  cc?: readonly string[]
  bcc?: readonly string[]
}

/** A message for the operations of the connection. */
export interface AmqpMessage extends AmqpProperties {
  payload?: unknown
  headers?: Record<string, AmqpHeader>
  timeoutMs?: number
  signal?: AbortSignal
  cid?: string
}

// Short strings of the protocol; their length in bytes is checked when they are written.
const Short = Type.Optional(Type.String({ maxLength: 255 }))
const Keys = Type.Optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 256 }))

const Properties = Type.Object({
  exchange: Short,
  routingKey: Short,
  mandatory: Type.Optional(Type.Boolean()),
  persistent: Type.Optional(Type.Boolean()),
  contentType: Short,
  contentEncoding: Short,
  priority: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
  expirationMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_295 })),
  messageId: Short,
  correlationId: Short,
  replyTo: Short,
  type: Short,
  appId: Short,
  userId: Short,
  timestamp: Type.Optional(Type.Integer({ minimum: 0 })),
  cc: Keys,
  bcc: Keys,
})
let checkProperties: Validator | undefined

/** The properties among the attributes of a message; other attributes are passed over. */
export function fromOutgoing(message: OutgoingMessage): AmqpMessage {
  const { attributes, ...rest } = message
  if (attributes === undefined) return rest
  const { payload: _, headers: __, timeoutMs: ___, signal: ____, cid: _____, ...properties } = attributes
  return { ...(properties as AmqpProperties), ...rest }
}

/** What is published. Throws SIGNALBOX_MESSAGE_INVALID, SIGNALBOX_CODEC_UNENCODABLE. */
export function publicationOf(message: AmqpMessage, settings: AmqpConnectionSettings): Publication {
  // Compiled by the first message, not by everyone who loads this file.
  checkProperties ??= compileSchema(Properties)
  const violations = checkProperties(message)
  if (violations) {
    const list = violations.map(({ pointer, rule }) => `${pointer} ${rule}`).join('; ')
    const details = { errors: violations }
    throw new SignalboxError('SIGNALBOX_MESSAGE_INVALID', `AMQP message: ${list}`, { details })
  }
  const { exchange = settings.exchange, timeoutMs, signal } = message
  const routingKey = message.routingKey ?? settings.routingKey
  const { content, contentType } = writeBody(message.payload, contentTypeOf(message, settings))
  const options = optionsOf(message, settings, contentType)
  return { exchange, routingKey, content, options, timeoutMs, signal }
}

function contentTypeOf({ contentType, headers }: AmqpMessage, settings: AmqpConnectionSettings) {
  const header = headers?.['content-type']
  return contentType ?? (typeof header === 'string' ? header : undefined) ?? settings.contentType
}

function optionsOf(
  message: AmqpMessage,
  settings: AmqpConnectionSettings,
  contentType: string | undefined,
): Options.Publish {
  const { cid, cc, bcc } = message
  const { 'content-type': _, ...own } = message.headers ?? {}
  const headers: Record<string, unknown> = { ...settings.headers, ...own }
  // As a property it is limited to 255 bytes, and a request has another one there.
  if (cid !== undefined) headers[CID_HEADER] = cid
  const short = cid !== undefined && Buffer.byteLength(cid) <= 255 ? cid : undefined
  const expirationMs = message.expirationMs ?? settings.expirationMs
  return withoutUndefined({
    headers,
    contentType,
    contentEncoding: message.contentEncoding,
    mandatory: message.mandatory ?? settings.mandatory,
    persistent: message.persistent ?? settings.persistent,
    priority: message.priority ?? settings.priority,
    expiration: expirationMs === undefined ? undefined : String(expirationMs),
    messageId: message.messageId,
    correlationId: message.correlationId ?? short,
    replyTo: message.replyTo,
    type: message.type ?? settings.type,
    appId: message.appId ?? settings.appId,
    userId: message.userId ?? settings.userId,
    timestamp: message.timestamp,
    CC: cc && [...cc],
    BCC: bcc && [...bcc],
  })
}

function withoutUndefined(options: Record<string, unknown>): Options.Publish {
  for (const name of Object.keys(options)) if (options[name] === undefined) delete options[name]
  return options as Options.Publish
}
