/** What is kept of a message beside what its log knows: the payload, and what came along with it. */
import type { MessageContext } from '../../core/actor/envelope.ts'
import type { Origin } from '../../core/service/invocation.ts'
import type { Identity } from '../../core/service/service.ts'
import { packValue, unpackValue } from '../../core/store/value.ts'

export interface MessageContent {
  payload: unknown
  /** Correlation id: that of what published it. */
  cid?: string
  /** W3C `traceparent` of what published it. */
  trace?: string
  identity?: Identity
  /** Where it came from, e.g. `service/orders.create`. */
  from?: string
}

/**
 * Encodes a payload with its context, in the thread of the publisher. Throws SIGNALBOX_STORE_ENTRY_INVALID for what
 * is not plain data.
 */
export function packContent(payload: unknown, context: MessageContext, from?: string): Buffer {
  const { cid, trace } = context
  const identity = (context.origin as Origin | undefined)?.identity
  return packValue({
    // Data knows no undefined; a message without a payload is one of null.
    payload: payload ?? null,
    ...(cid !== undefined && { cid }),
    ...(trace !== undefined && { trace }),
    ...(identity !== undefined && { identity }),
    ...(from !== undefined && { from }),
  } satisfies MessageContent)
}

export function unpackContent(content: Uint8Array): MessageContent {
  return unpackValue(content) as MessageContent
}
