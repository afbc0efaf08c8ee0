/**
 * What queues and topics understand. To `queue/NAME` and `topic/NAME` anyone sends a payload, which is kept; at
 * `queue/NAME/ops` and `topic/NAME/ops` one publishes with options and consumes.
 */
import type { Failure, NewMessage, StartAt, SubscriptionSettings } from '../../core/store/messages/message.ts'
import type { Lease } from '../../core/store/messages/message-log.ts'

/** The subscription that every queue has. */
export const QUEUE_SUBSCRIPTION = 'queue'

export type LogKind = 'queue' | 'topic'

export function logAddress(kind: LogKind, name: string): string {
  return `${kind}/${name}`
}

export function opsAddress(kind: LogKind, name: string): string {
  return `${kind}/${name}/ops`
}

/** `as`: who asks from outside, by the name of the proven identity; such a request is checked for what it may. */
export type LogRequest = { as?: string } & Operation

type Operation =
  | { op: 'publish'; messages: NewMessage[] }
  /** Waits up to `waitMs` (default 0, at most 60,000) for the first message; takes up to `max`, 1 to 1,000. */
  | { op: 'take'; subscription: string; max: number; consumer: string; waitMs?: number; leaseMs?: number }
  | { op: 'settle'; subscription: string; leases: Lease[] }
  | {
      op: 'fail'
      subscription: string
      lease: Lease
      failure: Failure
      delayMs?: number
      /** It is no use to try again. */
      dead?: boolean
    }
  | { op: 'giveBack'; subscription: string; leases: Lease[] }
  | { op: 'extend'; subscription: string; lease: Lease; leaseMs: number }
  | { op: 'subscribe'; subscription: string; settings?: Partial<SubscriptionSettings>; start?: StartAt }
  | { op: 'unsubscribe'; subscription: string }
  | { op: 'seek'; subscription: string; to: StartAt }

/** A message as it reaches a consumer. */
export interface DeliveredMessage {
  seq: number
  lease: number
  attempt: number
  publishedAt: number
  id: string | undefined
  key: string | undefined
  priority: number
  headers: Readonly<Record<string, string>>
  content: Uint8Array
}
