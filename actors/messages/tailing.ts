/** Shows those who tail which messages queues and topics take in, and what becomes of them. Costs a test otherwise. */
import type { MessageContext } from '../../core/actor/envelope.ts'
import { type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Origin } from '../../core/service/invocation.ts'
import type { NewMessage } from '../../core/store/messages/message.ts'
import { tailHub } from '../../core/telemetry/observe.ts'

/** Publishes, and tells of it. `address` is that of the queue or topic. */
export async function publishedIn<T>(
  address: string,
  context: MessageContext,
  messages: readonly NewMessage[],
  publish: () => Promise<T>,
): Promise<T> {
  if (!tailHub.listening) return publish()
  const startedAt = performance.now()
  const tell = (outcome: string) => {
    const channel = (context.origin as Origin | undefined)?.channel
    for (const { content } of messages) {
      tailHub.emit({
        event: 'kept',
        kind: address.startsWith('queue/') ? 'queue' : 'topic',
        at: Date.now(),
        cid: context.cid,
        from: channel && `channel/${channel.transport}/${channel.name}`,
        to: address,
        outcome,
        durationMs: performance.now() - startedAt,
        bytes: content.length,
      })
    }
  }
  try {
    const result = await publish()
    tell('ok')
    return result
  } catch (thrown) {
    tell(toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE').code)
    throw thrown
  }
}

/** Begins to watch a delivery; undefined while nobody tails. What it returns tells of the end. */
export function deliveryWatch(
  from: string,
  to: string,
  bytes: number,
): ((cid: string | undefined, error?: SignalboxError) => void) | undefined {
  if (!tailHub.listening) return undefined
  const startedAt = performance.now()
  return (cid, error) =>
    tailHub.emit({
      event: error === undefined ? 'consumed' : 'failed',
      kind: 'consumer',
      at: Date.now(),
      cid,
      from,
      to,
      outcome: error?.code ?? 'ok',
      durationMs: performance.now() - startedAt,
      bytes,
    })
}
