/** What travels on a link: batches of short arrays, the first element says what each is. See docs/protocol.md. */
import type { MessageContext, ReplyHead } from '../actor/envelope.ts'
import { SignalboxError, type WireError } from '../errors.ts'

export const TELL = 0
export const ASK = 1
export const REPLY = 2
export const ERROR = 3
export const CANCEL = 4
export const WATCH = 5
export const UNWATCH = 6
export const DOWN = 7
export const CREDIT = 8
export const PAUSE = 9
export const RESUME = 10
export const FIN = 11

/** `null` stands for what is absent: it takes one byte. */
export type Wire =
  | [typeof TELL, to: string, context: MessageContext | null, payload: unknown]
  | [typeof ASK, id: number, to: string, ttlMs: number, context: MessageContext | null, payload: unknown]
  | [typeof REPLY, id: number, head: ReplyHead | null, payload: unknown]
  | [typeof ERROR, id: number, error: WireError]
  | [typeof CANCEL, id: number, reason: WireError]
  | [typeof WATCH, id: number, address: string]
  | [typeof UNWATCH, id: number]
  | [typeof DOWN, id: number, reason: WireError | null]
  | [typeof CREDIT, messages: number, bytes: number]
  | [typeof PAUSE, address: string]
  | [typeof RESUME, address: string]
  | [typeof FIN]

/** Carries encoded batches to one other place, in order; the link above it does everything else. */
export interface Pipe {
  /** Bytes of the largest batch it can carry; absent: any. */
  readonly maxBytes?: number
  /** `body` and `attachments` belong to the pipe from now on. */
  post(body: Uint8Array<ArrayBuffer>, attachments: readonly Uint8Array[]): void
  close(): void
}

/** The error for a message that breaks the rules of the link. */
export function malformed(what: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_MALFORMED', what)
}
