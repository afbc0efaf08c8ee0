/** Checks of the queues and topics of a running node. */
import type { LogView, SubscriptionView } from '../../actors/messages/log-view.ts'
import { duration } from '../output.ts'
import type { Check, Finding } from './check.ts'

/** Somebody should take what has been ready for so long. */
const OLD_MS = 3_600_000
const NOBODY = 'no node runs, so there is nothing to ask'

/** A queue, or a subscription of a topic. */
interface Place {
  subscription: SubscriptionView
  /** `queue/orders`, or `topic/prices --subscription desk`, as the command line takes it. */
  ref: string
}

/** `logs` is undefined where no node runs. */
export function keptChecks(logs: readonly LogView[] | undefined, now: () => number = Date.now): Check[] {
  const check = (id: string, title: string, look: (logs: readonly LogView[]) => Finding): Check => ({
    id,
    title,
    run: async () => (logs ? look(logs) : { ...look([]), detail: NOBODY }),
  })
  return [
    check('logs-open', 'queues and topics that opened', opened),
    check('dead-letters', 'dead letters', deadLetters),
    check('old-messages', 'messages that wait', all => oldMessages(all, now())),
  ]
}

function opened(logs: readonly LogView[]): Finding {
  const closed = logs.flatMap(({ kind, name, error }) => (error ? { ref: `${kind}/${name}`, ...error } : []))
  const list = closed.map(({ ref, code, message }) => `${ref} did not open: ${code}: ${message}`)
  return {
    status: closed.length > 0 ? 'warn' : 'ok',
    detail: list.join('; ') || `all ${logs.length}`,
    why: 'What is published to one that did not open is refused, and what is in it is not delivered.',
    fix: `\`signalbox explain ${closed[0]?.code ?? 'CODE'}\`; start the node again when it is mended.`,
  }
}

function deadLetters(logs: readonly LogView[]): Finding {
  const dead = placesOf(logs).filter(({ subscription }) => subscription.dead > 0)
  const [first] = dead
  const ref = first?.ref ?? 'queue/NAME'
  return {
    status: first ? 'warn' : 'ok',
    detail: dead.map(({ ref, subscription }) => `${ref}: ${subscription.dead}`).join('; ') || 'none',
    why: 'They were delivered as often as they may be and nobody could handle them: what they say has not happened.',
    fix: `\`signalbox browse ${ref} --state dead\` says why; then \`signalbox resend ${ref} --all\`, or edit or drop them.`,
  }
}

function oldMessages(logs: readonly LogView[], now: number): Finding {
  const old = placesOf(logs).flatMap(place => {
    const { ready, dead, oldestAt } = place.subscription
    // Where there are dead letters the oldest may be one of them, and they have a check of their own.
    const waitsMs = ready > 0 && dead === 0 && oldestAt !== undefined ? now - oldestAt : 0
    return waitsMs > OLD_MS ? { ...place, waitsMs } : []
  })
  const list = old.map(({ ref, subscription, waitsMs }) => {
    const { ready, target } = subscription
    return `${ref}: ${ready} ready, the oldest for ${duration(waitsMs)}, ${target ?? 'for clients to fetch'}`
  })
  const [first] = old
  return {
    status: first ? 'warn' : 'ok',
    detail: list.join('; ') || 'none for longer than an hour',
    why: 'Nobody takes them, or not as fast as they come; when the limit is reached, publishers are refused.',
    fix: `\`signalbox browse ${first?.ref ?? 'queue/NAME'}\` shows them; look whether the consumer runs (\`signalbox ps\`), or add workers with \`signalbox scale\`.`,
  }
}

function placesOf(logs: readonly LogView[]): Place[] {
  return logs.flatMap(({ kind, name, subscriptions }) =>
    subscriptions.map(subscription => ({
      subscription,
      ref: kind === 'queue' ? `queue/${name}` : `topic/${name} --subscription ${subscription.name}`,
    })),
  )
}
