/** How a service has messages kept: packed in its own thread, sent to the queue or topic. */
import type { ActorSystem } from '../../core/actor/index.ts'
import type { ServicePorts } from '../../core/service/invocation.ts'
import { addressOf } from '../../core/service/runner.ts'
import type { Receipt } from '../../core/service/service.ts'
import { auditPublish } from './auditing.ts'
import { packContent } from './content.ts'
import { opsAddress } from './protocol.ts'

export function keeping(system: ActorSystem): ServicePorts['keep'] {
  return async (kind, name, { payload, options, from }, context) => {
    const maker = addressOf(from)
    const content = packContent(payload, context, maker)
    const request = { op: 'publish', messages: [{ ...options, content }] }
    const { cid } = context
    const { headers } = options
    return auditPublish(
      { kind, name, cid, from: maker, payload, headers, bytes: content.length },
      async () => {
        const answer = await system.ask(opsAddress(kind, name), request, context)
        return (answer as Receipt[])[0]!
      },
    )
  }
}
