/** Answers to messages with a reply-to property. */
import type { ConsumeMessage, Options } from 'amqplib'
import { SignalboxError, type WireError } from '../../core/errors.ts'
import type { Outbound } from '../../core/transport.ts'
import { writeBody } from './body.ts'
import { CID_HEADER, ERROR_HEADER, STATUS_HEADER } from './inbound.ts'
import type { AmqpChannelSettings } from './options.ts'

export interface Reply {
  /** Name of the queue: answers go through the default exchange. */
  routingKey: string
  content: Buffer
  options: Options.Publish
}

/** Whether the sender of a message is answered: it chose the queue, and others may read that. */
export function answersTo(message: ConsumeMessage, replies: AmqpChannelSettings['replies']): boolean {
  const { replyTo } = message.properties
  if (replies === 'none' || typeof replyTo !== 'string' || replyTo === '') return false
  return replies === 'any' || replyTo.startsWith('amq.')
}

/** The answer of a service. Throws SIGNALBOX_CODEC_UNENCODABLE, SIGNALBOX_ANSWER_INVALID. */
export function successReply(message: ConsumeMessage, answer: Outbound): Reply {
  const { 'content-type': type, ...headers } = answer.headers
  const { content, contentType } = writeBody(answer.payload, type)
  const table: Record<string, unknown> = { ...headers, [CID_HEADER]: answer.cid }
  if (answer.status !== undefined) table[STATUS_HEADER] = String(answer.status)
  return replyOf(message, content, contentType, table)
}

/** The answer when there is none. */
export function errorReply(message: ConsumeMessage, error: SignalboxError): Reply {
  const content = Buffer.from(JSON.stringify({ error: publicError(error) }))
  return replyOf(message, content, 'application/json', { [ERROR_HEADER]: error.code })
}

function replyOf(
  { properties }: ConsumeMessage,
  content: Buffer,
  contentType: string | undefined,
  headers: Record<string, unknown>,
): Reply {
  const { replyTo, correlationId } = properties
  const options: Options.Publish = {
    headers,
    ...(contentType !== undefined && { contentType }),
    ...(correlationId !== undefined && { correlationId }),
  }
  return { routingKey: replyTo, content, options }
}

/** What a sender may know of an error: server errors (5xx) keep message and details to themselves. */
function publicError(error: SignalboxError): WireError {
  const wire = error.toWire()
  if (error.status < 500) return wire
  const { code, status, retryable, retryAfterMs } = wire
  return { code, message: new SignalboxError(code).message, status, retryable, retryAfterMs }
}
