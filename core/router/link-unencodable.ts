/** What happens to a message that the codec refuses: who is told, and what travels in its place. */
import { type ErrorCode, SignalboxError, type WireError } from '../errors.ts'
import * as wire from './wire.ts'

/** Where the payload and the context are in each kind of message. */
const PARTS: Partial<Record<number, { payload: number; context: number }>> = {
  [wire.TELL]: { context: 2, payload: 3 },
  [wire.ASK]: { context: 4, payload: 5 },
  [wire.REPLY]: { context: 2, payload: 3 },
}

/** Characters of an error message that travel with an error which is too large as it is. */
const MAX_MESSAGE = 10_000

/** The codec's error as its sender understands it: the path begins at the payload, not at the batch. */
export function explain(message: wire.Wire, error: SignalboxError): SignalboxError {
  const { path, reason } = (error.details ?? {}) as { path?: string; reason?: string }
  const parts = PARTS[message[0]]
  const match = /^\/(\d+)(.*)$/s.exec(path ?? '')
  if (!parts || !match) return error
  const part = Number(match[1]) === parts.payload ? 'payload' : message[0] === wire.REPLY ? 'head' : 'context'
  const what =
    message[0] === wire.REPLY
      ? 'an answer'
      : `a message to ${message[0] === wire.TELL ? message[1] : message[2]}`
  const text = `${what} cannot travel: ${reason} at '${match[2]}' of its ${part}`
  return new SignalboxError(error.code as ErrorCode, text, {
    details: { path: match[2], part, reason },
    cause: error.cause,
  })
}

/** What travels instead; undefined when nothing does. It can be encoded, whatever the message was. */
export function substitute(message: wire.Wire, error: SignalboxError): wire.Wire | undefined {
  switch (message[0]) {
    case wire.REPLY:
      return [wire.ERROR, message[1], error.toWire()]
    case wire.ERROR:
    case wire.CANCEL:
      return [message[0], message[1], bare(message[2])]
    case wire.DOWN:
      return [wire.DOWN, message[1], message[2] && bare(message[2])]
    default:
      return undefined
  }
}

/** An error without its details, and with nothing that anybody may have written over its fields. */
function bare({ code, message, status, retryable, retryAfterMs }: WireError): WireError {
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined)
  return {
    code: typeof code === 'string' ? code : 'SIGNALBOX_ACTOR_FAILED',
    message: typeof message === 'string' ? message.slice(0, MAX_MESSAGE) : 'its message cannot travel',
    status: number(status),
    retryable: retryable === true,
    retryAfterMs: number(retryAfterMs),
  }
}
