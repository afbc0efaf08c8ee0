/** Checks of the node, where one runs. */
import type { ActorView, NodeView } from '../../actors/admin/operator.ts'
import type { Check } from './check.ts'

const TROUBLED = /fail|lost|dead|crash|stuck|stopped|backoff|restarting/

/** `node` is undefined where none runs. */
export function actorsRun(node: NodeView | undefined): Check {
  return {
    id: 'actors',
    title: 'actors that run',
    run: async () => {
      const actors = node?.workers.flatMap(worker => worker.actors) ?? []
      const troubled = new Map(actors.filter(isTroubled).map(actor => [actor.address, actor]))
      const list = Array.from(troubled.values(), ({ address, state, lastError }) =>
        [address, state, lastError].filter(Boolean).join(' '),
      )
      return {
        status: list.length > 0 ? 'fail' : 'ok',
        detail:
          list.join('; ') || (node ? `all ${actors.length}` : 'no node runs, so there is nothing to ask'),
        why: 'A channel or connection that does not start neither gets nor sends messages.',
        fix: 'Mend what its last error says in signalbox.yaml, then `signalbox apply`.',
      }
    },
  }
}

function isTroubled({ state }: ActorView): boolean {
  return TROUBLED.test(state)
}
