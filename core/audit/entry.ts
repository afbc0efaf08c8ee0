/** What the audit log records of each step of a message. */

/** Steps that are recorded; the place in the list is what is written, so new ones come at the end. */
export const AUDIT_KINDS = [
  'channel',
  'service',
  'connection',
  'publish',
  'delivery',
  'dead',
  'replay',
] as const

/**
 * `channel`: a message came in and was answered. `service`: a service handled it. `connection`: an operation of a
 * connection. `publish`: a queue or topic kept it. `delivery`: a queue or subscription handed it to a consumer.
 * `dead`: it will not be delivered any more. `replay`: an operator sent it again.
 */
export type AuditKind = (typeof AUDIT_KINDS)[number]

/** Why a body was not kept although the policy asks for bodies. */
export const BODY_REASONS = ['kept', 'none', 'tooLarge', 'stream', 'notData', 'notMaskable'] as const
export type BodyReason = (typeof BODY_REASONS)[number]

/** What is kept of a body. `bytes` are MessagePack of a {@link KeptBody}. */
export interface EncodedBody {
  reason: BodyReason
  /** Fields were masked, or the text was written anew: it is not what was sent, and cannot be sent again. */
  altered: boolean
  bytes: Uint8Array | undefined
}

/** A body as it is kept, with what a service may see beside it. */
export interface KeptBody {
  payload: unknown
  attributes?: Record<string, unknown>
}

/** One step of a message, as a thread records it when the step has ended. */
export interface AuditEntry {
  kind: AuditKind
  /** When the step began, milliseconds since the epoch. */
  at: number
  durationMs: number
  cid: string
  /** What the step happened at, e.g. `channel/http/public`, `queue/orders`. */
  address: string
  /** Whom a channel, a delivery or a replay hands it to; undefined: nobody. */
  to?: string | undefined
  /** What made the step, e.g. `service/orders.create`, where that is known. */
  from?: string | undefined
  /** `send`, `POST`. */
  operation?: string | undefined
  /** A path, without its query. */
  detail?: string | undefined
  /** Code of the error; undefined: it went well. */
  error?: string | undefined
  /** In HTTP terms. */
  status?: number | undefined
  bytesIn?: number | undefined
  bytesOut?: number | undefined
  /** Number of the message in its queue or topic. */
  seq?: number | undefined
  attempt?: number | undefined
  /** How long a queue had it before this delivery. */
  waitedMs?: number | undefined
  /** Names and values, those that the policy names. */
  headers?: readonly (readonly [string, string])[] | undefined
  body?: EncodedBody | undefined
}

/** A step as the log gives it back. */
export interface AuditRecord extends Omit<AuditEntry, 'error' | 'headers' | 'body'> {
  /** Names the record in this log; valid until retention takes it away. */
  id: string
  /** The thread that recorded it, `node/slot`. */
  worker: string
  /** `ok` or the code of an error. */
  outcome: string
  headers: Record<string, string>
  /** Why there is no body, or `kept`. */
  body: BodyReason
  /** The body is not what was sent: fields are masked. */
  altered: boolean
}

/** Longest text of each part; the rest is cut off. */
export const MAX_TEXT = 512
/** Longest correlation id that is told apart. */
export const MAX_CID = 256
