/** How a service has messages kept: packed in its own thread, sent to the queue or topic. */
import type { ActorSystem } from '../../core/actor/index.ts'
import type { ServicePorts } from '../../core/service/invocation.ts'
import { packContent } from './content.ts'
import { type LogReplies, opsAddress } from './protocol.ts'

export function keeping(system: ActorSystem): ServicePorts['keep'] {
  return async (kind, name, { payload, options, from }, context) => {
    const content = packContent(payload, context, `service/${from}`)
    const request = { op: 'publish', messages: [{ ...options, content }] }
    const [receipt] = (await system.ask(opsAddress(kind, name), request, context)) as LogReplies['publish']
    return receipt!
  }
}
