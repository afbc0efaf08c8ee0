/** Queues and topics as operators see them. */
import type { SubscriptionSettings } from '../../core/store/messages/message.ts'
import type { MessageLog } from '../../core/store/messages/message-log.ts'
import type { Rates } from './log-rates.ts'
import type { LogKind } from './protocol.ts'

/** Messages by what is to become of them. */
export interface StateCounts {
  /** Can be delivered now, or as soon as the one before of the same key is settled. */
  ready: number
  /** In the hands of consumers. */
  leased: number
  /** Delivered later: their time has not come, or they failed before. */
  delayed: number
  /** Given up: dead letters. */
  dead: number
}

export interface SubscriptionView extends StateCounts, SubscriptionSettings {
  name: string
  /** When the oldest message that is not settled was published, milliseconds since the epoch. */
  oldestAt: number | undefined
  /** Messages before this number were never for it. */
  startSeq: number
  /** Since the keeper has started. */
  delivered: number
  settled: number
  failures: number
  /** Who gets its messages, e.g. `service/orders.book`; undefined: clients fetch them. */
  target?: string | undefined
}

/** Figures of a queue or topic; of a topic `ready`, `leased`, `delayed` and `dead` are sums over its subscriptions. */
export interface LogFigures extends StateCounts {
  /** Messages that somebody has not settled, and their bytes. */
  messages: number
  bytes: number
  maxMessages: number
  maxBytes: number
  /** Messages that stay to be replayed. */
  kept: number
  oldestAt: number | undefined
  /** Since the keeper has started. */
  published: number
  duplicates: number
  expired: number
  dropped: number
  /** Messages a second over the last seconds; undefined until that was measured. */
  publishedPerSecond: number | undefined
  settledPerSecond: number | undefined
}

/** A queue or topic. One that did not open has an error, and no figures. */
export interface LogView extends Partial<LogFigures> {
  kind: LogKind
  name: string
  /** A queue has one, named `queue`. */
  subscriptions: SubscriptionView[]
  error?: { code: string; message: string }
}

const STATES = ['ready', 'leased', 'delayed', 'dead'] as const

export function viewOfLog(kind: LogKind, name: string, log: MessageLog, rates: Rates | undefined): LogView {
  const { subscriptions: counts, notDue: _notDue, ...totals } = log.counts()
  const subscriptions = log.subscriptions().map(({ name: subscription, settings, startSeq }) => {
    const count = counts[subscription]!
    const owes = STATES.some(state => count[state] > 0)
    const oldestAt = owes ? log.oldest(subscription) : undefined
    return { name: subscription, ...settings, ...count, startSeq, oldestAt }
  })
  const oldest = subscriptions.flatMap(({ oldestAt }) => oldestAt ?? [])
  const sum = (state: keyof StateCounts) => subscriptions.reduce((all, sub) => all + sub[state], 0)
  return {
    kind,
    name,
    ready: sum('ready'),
    leased: sum('leased'),
    delayed: sum('delayed'),
    dead: sum('dead'),
    ...totals,
    maxMessages: log.settings.maxMessages,
    maxBytes: log.settings.maxBytes,
    oldestAt: oldest.length > 0 ? Math.min(...oldest) : undefined,
    publishedPerSecond: rates?.published,
    settledPerSecond: rates?.settled,
    subscriptions,
  }
}
