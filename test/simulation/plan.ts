/** What a seed decides before a simulation begins. */
import type { Overflow } from '../../core/actor/mailbox.ts'
import type { LogSettings, SubscriptionSettings } from '../../core/store/messages/message.ts'
import type { World } from './world.ts'

export interface Plan {
  settings: Partial<LogSettings>
  /** By name. The first has no filter. */
  subscriptions: Record<string, Partial<SubscriptionSettings>>
  segmentBytes: number
  publishers: number
  /** By subscription. */
  consumers: number
  activeMs: number
  /** Pause of a publisher between two calls is up to so long. */
  paceMs: number
  /** Share of messages with each property. */
  keyed: number
  delayed: number
  expiring: number
  /** Longest time a write to the disk takes. */
  diskMs: number
  link: { delayMs: number; lossRate: number }
  gate: { capacity: number; concurrency: number; overflow: Overflow }
  chaos: { crash: boolean; disk: boolean; clock: boolean; operator: boolean; actor: boolean }
}

export const MAX_ATTEMPTS = 3
const OVERFLOWS: readonly Overflow[] = ['wait', 'reject', 'dropOldest']

export function planOf(world: World): Plan {
  const dropOldest = world.chance(0.15)
  const small = dropOldest || world.chance(0.2)
  const retry = { maxAttempts: MAX_ATTEMPTS, minMs: 5, maxMs: 100, factor: 2, jitter: 0.5 }
  const leaseMs = world.int(40, 200)
  const subscriptions: Plan['subscriptions'] = { all: { leaseMs, retry } }
  if (world.chance(0.6)) subscriptions.red = { leaseMs, retry, filter: { color: 'red' } }
  if (world.chance(0.4)) subscriptions.more = { leaseMs, retry, filter: { color: ['red', 'blue'] } }
  return {
    settings: {
      overflow: dropOldest ? 'dropOldest' : 'reject',
      maxMessages: small ? world.int(5, 20) : 10_000,
      dedupWindowMs: world.pick([0, 200, 1_000, 60_000]),
      ...(world.chance(0.2) && { keep: { ageMs: world.int(100, 2_000), bytes: world.int(500, 5_000) } }),
      ...(world.chance(0.1) && { maxAgeMs: world.int(200, 1_000) }),
    },
    subscriptions,
    segmentBytes: world.pick([600, 1_500, 4_000, 1_000_000]),
    publishers: world.int(1, 4),
    consumers: world.int(1, 3),
    activeMs: world.int(300, 1_500),
    paceMs: world.pick([5, 20, 60]),
    keyed: world.pick([0, 0.5, 0.9]),
    delayed: world.pick([0, 0.2]),
    expiring: world.pick([0, 0.2]),
    diskMs: world.pick([0, 2, 20]),
    link: { delayMs: world.pick([0.5, 5, 40]), lossRate: world.pick([0, 0.02, 0.1]) },
    gate: {
      capacity: world.pick([2, 8, 64]),
      concurrency: world.pick([1, 4, 64]),
      overflow: world.pick(OVERFLOWS),
    },
    chaos: {
      crash: world.chance(0.6),
      disk: world.chance(0.4),
      clock: world.chance(0.4),
      operator: world.chance(0.5),
      actor: world.chance(0.3),
    },
  }
}
