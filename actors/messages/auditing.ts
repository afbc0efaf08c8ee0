/** What the audit log is told of queues and topics. */
import { recorder } from '../../core/audit/recorder.ts'
import { type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Receipt } from '../../core/service/service.ts'
import { type MessageContent, unpackContent } from './content.ts'
import { type DeliveredMessage, type LogKind, logAddress } from './protocol.ts'

/** A message on its way into a queue or topic. */
export interface Published {
  kind: LogKind
  name: string
  cid: string | undefined
  /** What publishes it, where that is known. */
  from?: string | undefined
  payload: unknown
  headers?: Readonly<Record<string, string>> | undefined
  bytes: number
}

/** Publishes, and records how that ended: one that succeeded is on disk by then. */
export async function auditPublish(message: Published, publish: () => Promise<Receipt>): Promise<Receipt> {
  if (!recorder) return publish()
  const { kind, name, cid = '', from, payload, headers, bytes } = message
  const startedAt = performance.now()
  const step = {
    kind: 'publish',
    cid,
    address: logAddress(kind, name),
    from,
    startedAt,
    headers,
    payload,
  } as const
  try {
    const receipt = await publish()
    const operation = receipt.duplicate ? 'duplicate' : 'publish'
    recorder.record({ ...step, operation, bytesIn: bytes, seq: receipt.seq })
    return receipt
  } catch (thrown) {
    const { code, status } = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
    recorder.record({ ...step, operation: 'publish', bytesIn: bytes, error: code, status })
    throw thrown
  }
}

/** How a delivery to a consumer went. */
export interface Delivered {
  /** The address of the queue, or of the topic with the subscription behind it. */
  address: string
  to: string
  message: DeliveredMessage
  content: MessageContent
  startedAt: number
  error?: SignalboxError | undefined
}

export function auditDelivery({ address, to, message, content, startedAt, error }: Delivered): void {
  const { seq, attempt, publishedAt, headers } = message
  recorder?.record({
    kind: 'delivery',
    cid: content.cid ?? '',
    address,
    to,
    from: content.from,
    operation: 'deliver',
    startedAt,
    error: error?.code,
    status: error?.status,
    bytesOut: message.content.length,
    seq,
    attempt,
    waitedMs: Math.max(0, performance.timeOrigin + startedAt - publishedAt),
    headers,
    payload: content.payload,
  })
}

/** A message will not be delivered any more. */
export function auditDead({ address, to, message, content, error }: Delivered): void {
  const { seq, attempt, headers } = message
  const startedAt = performance.now()
  const step = {
    kind: 'dead',
    cid: content.cid ?? '',
    address,
    to,
    operation: 'dead letter',
    startedAt,
  } as const
  recorder?.record({ ...step, error: error?.code, seq, attempt, headers, payload: content.payload })
}

/** Clients took messages by the API; whether they succeed with them is theirs to say. */
export function auditFetched(
  address: string,
  as: string | undefined,
  messages: readonly DeliveredMessage[],
): void {
  if (!recorder) return
  const startedAt = performance.now()
  const to = `client/${as ?? ''}`
  for (const message of messages) {
    auditDelivery({ address, to, message, content: unpackContent(message.content), startedAt })
  }
}

/** Where a delivery happens: `queue/orders`, `topic/events/billing`. */
export function deliveryAddress(kind: LogKind, log: string, subscription: string): string {
  return kind === 'queue' ? logAddress(kind, log) : `${logAddress(kind, log)}/${subscription}`
}
