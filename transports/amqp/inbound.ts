/** Messages of the broker, as the bus sees them. */
import type { ConsumeMessage, MessageProperties } from 'amqplib'

/** Headers that this transport puts on messages. */
export const CID_HEADER = 'x-signalbox-cid'
export const ATTEMPTS_HEADER = 'x-signalbox-attempts'
export const ERROR_HEADER = 'x-signalbox-error'
export const STATUS_HEADER = 'x-signalbox-status'

const SANE_CID = /^[A-Za-z0-9._-]{1,128}$/
const PROPERTIES = [
  'messageId',
  'correlationId',
  'replyTo',
  'type',
  'appId',
  'userId',
  'contentType',
  'contentEncoding',
  'expiration',
  'priority',
  'timestamp',
  'deliveryMode',
] as const satisfies readonly (keyof MessageProperties)[]

/** The part of a table that a peer sent under its own names: never one of a prototype that a peer sent too. */
export function tableOf(message: { properties: MessageProperties }): Record<string, unknown> {
  return message.properties.headers ?? {}
}

/**
 * Headers as text, names in lower case. Tables, lists and times are no texts: they are left out, and returned in
 * `others`.
 */
export function headersOf(message: { properties: MessageProperties }): {
  headers: Record<string, string>
  others: Record<string, unknown> | undefined
} {
  const headers: Record<string, string> = {}
  let others: Record<string, unknown> | undefined
  const table = tableOf(message)
  for (const name of Object.keys(table)) {
    // Assigned, it would be the prototype of what services get.
    if (name === '__proto__') continue
    const value = table[name]
    if (typeof value === 'string') headers[name.toLowerCase()] = value
    else if (typeof value === 'number' || typeof value === 'boolean') {
      headers[name.toLowerCase()] = String(value)
    } else {
      others ??= {}
      others[name] = value
    }
  }
  const { contentType } = message.properties
  if (typeof contentType === 'string') headers['content-type'] ??= contentType
  return { headers, others }
}

/** The correlation id that a sender gave, if it is one that may go into logs and headers. */
export function cidOf(message: { properties: MessageProperties }): string | undefined {
  const header = tableOf(message)[CID_HEADER]
  if (typeof header === 'string' && SANE_CID.test(header)) return header
  const { correlationId } = message.properties
  return typeof correlationId === 'string' && SANE_CID.test(correlationId) ? correlationId : undefined
}

/** What else is known about a message: where it comes from, its properties, the count of its deliveries. */
export function attributesOf(
  message: ConsumeMessage,
  queue: string,
  attempt: number,
  others: Record<string, unknown> | undefined,
): Record<string, unknown> {
  const { exchange, routingKey, redelivered } = message.fields
  const attributes: Record<string, unknown> = { queue, exchange, routingKey, redelivered, attempt }
  const { properties } = message
  for (const name of PROPERTIES) {
    if (properties[name] !== undefined) attributes[name] = properties[name]
  }
  if (others !== undefined) attributes.headers = others
  return attributes
}
