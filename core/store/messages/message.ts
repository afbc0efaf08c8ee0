/** Durable messages as queues and topics see them: what is published, what is delivered, what one can look at. */

/** A message to keep. */
export interface NewMessage {
  /** What consumers get; the log never looks into it. */
  content: Uint8Array
  /** Duplicates of the same id within the window of the log are dropped. 1 to 256 characters. */
  id?: string | undefined
  /** Messages of one key are delivered in order, one at a time for each subscription. 1 to 256 characters. */
  key?: string | undefined
  /** 0 to 9; higher ones are delivered first. Default 4. Of messages with a key the order counts, not this. */
  priority?: number | undefined
  /** What subscriptions filter by. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Delivered not sooner than after so many milliseconds. */
  delayMs?: number | undefined
  /** Not delivered any more after so many milliseconds, counted from now. */
  expiresInMs?: number | undefined
}

/** A stored message. */
export interface StoredMessage {
  seq: number
  /** Milliseconds since the epoch, by the clock of the node. */
  publishedAt: number
  id: string | undefined
  key: string | undefined
  priority: number
  headers: Readonly<Record<string, string>>
  /** Milliseconds since the epoch; undefined: at once, or never. */
  dueAt: number | undefined
  expiresAt: number | undefined
  content: Buffer
}

/** A message in the hands of a consumer, until it is settled or the lease ends. */
export interface Delivery {
  message: StoredMessage
  /** Counts from 1; attempts in a process that was killed do not count. */
  attempt: number
  /** Proves that the consumer still has the message when it settles it. */
  lease: number
}

/** Why a delivery did not succeed. */
export interface Failure {
  code: string
  message: string
  /** Whatever else helps: stack, node, worker, trace. Plain data. */
  details?: Record<string, unknown> | undefined
}

/** Where a message is for one subscription. */
export type DeliveryState = 'ready' | 'waiting' | 'leased' | 'delayed' | 'dead' | 'settled'

/** A message, as one that looks at a log sees it. */
export interface MessageView {
  message: StoredMessage
  state: DeliveryState
  attempts: number
  /** Of the last attempt. */
  failure: (Failure & { at: number }) | undefined
}

/** When a failed message is delivered again, and how often. */
export interface RetryPolicy {
  /** After so many attempts it is a dead letter. 1 to 1,000. */
  maxAttempts: number
  minMs: number
  maxMs: number
  factor: number
  /** Share of the pause that is random, 0 to 1. */
  jitter: number
}

export interface SubscriptionSettings {
  /** How long a consumer may keep a message before it is delivered again. */
  leaseMs: number
  retry: RetryPolicy
  /** Only messages with these headers: one value, or any of several. */
  filter?: Readonly<Record<string, string | readonly string[]>> | undefined
  /** Who made it, from outside; nobody else from there may use it. */
  owner?: string | undefined
}

/** Where a new subscription begins. */
export type StartAt =
  | { at: 'end' }
  | { at: 'beginning' }
  /** The first message published at or after, milliseconds since the epoch. */
  | { at: 'time'; time: number }
  /** The message of this number. */
  | { at: 'seq'; seq: number }

export interface LogSettings {
  /** Messages that are not settled. */
  maxMessages: number
  /** Bytes of messages that are not settled. */
  maxBytes: number
  /** What happens beyond: the publisher is refused, or the oldest message goes. */
  overflow: 'reject' | 'dropOldest'
  /** Messages older than this are dropped. */
  maxAgeMs?: number | undefined
  /** Messages stay, to be replayed, although everyone has settled them. */
  keep?: { ageMs: number; bytes: number } | undefined
  /** Within this time a second message of the same id is dropped. */
  dedupWindowMs: number
  /** So many ids are remembered at most. */
  dedupMaxIds: number
}

export const DEFAULT_RETRY: RetryPolicy = {
  maxAttempts: 5,
  minMs: 1_000,
  maxMs: 60_000,
  factor: 2,
  jitter: 0.2,
}

export const DEFAULT_SUBSCRIPTION: SubscriptionSettings = { leaseMs: 30_000, retry: DEFAULT_RETRY }

export const DEFAULT_LOG: LogSettings = {
  maxMessages: 10_000_000,
  maxBytes: 16 * 1024 ** 3,
  overflow: 'reject',
  dedupWindowMs: 120_000,
  dedupMaxIds: 250_000,
}

export const DEFAULT_PRIORITY = 4
export const PRIORITIES = 10
