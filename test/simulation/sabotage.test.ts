/** The simulation finds what is broken on purpose, and a seed always gives the same history. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Journal } from '../../core/store/journal.ts'
import type { SimulatedDisk, SimulatedJournal } from '../../core/store/messages/journal-test-kit.ts'
import type { MessageLog } from '../../core/store/messages/message-log.ts'
import type { Sabotage } from './node.ts'
import { simulate } from './simulation.ts'

/** So many seeds are tried until one finds it. */
const SEEDS = 60

function changed<T extends object>(original: T, change: Partial<T>): T {
  return new Proxy(original, {
    get(target, name) {
      if (Object.hasOwn(change, name)) return change[name as keyof T]
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Every so many calls. */
function every(count: number): () => boolean {
  let calls = 0
  return () => ++calls % count === 0
}

const SABOTAGES: Record<string, { found: RegExp; make: () => Sabotage }> = {
  'a journal that loses a record that it has confirmed': {
    found: /is lost|never came|after a restart|damaged/,
    make: () => {
      const isTurn = every(10)
      return {
        journal: (journal: SimulatedJournal, disk: SimulatedDisk): Journal =>
          changed<Journal>(journal, {
            async append(records, options) {
              const positions = await journal.append(records, options)
              if (isTurn()) disk.records.delete(positions[0]!)
              return positions
            },
          }),
      }
    },
  },
  'a journal that confirms what a crash then takes': {
    found: /is lost|never came|after it was settled|kept twice| is message \d+ and \d+/,
    make: () => ({
      journal: (journal: SimulatedJournal, disk: SimulatedDisk): Journal => {
        let unsafe: number[] = []
        const crash = journal.crash.bind(journal)
        journal.crash = random => {
          for (const position of unsafe) disk.records.delete(position)
          crash(random)
        }
        return changed<Journal>(journal, {
          async append(records, options) {
            const positions = await journal.append(records, options)
            unsafe = [...unsafe, ...positions].slice(-5)
            return positions
          },
        })
      },
    }),
  },
  'a log that settles before that is on disk': {
    found: /delivered after it was settled/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          async settle(name, leases) {
            log.settle(name, leases).catch(() => {})
            return []
          },
        }),
    }),
  },
  'a log that acknowledges what it has not kept': {
    found: /is lost/,
    make: () => {
      const isTurn = every(20)
      let next = 1_000_000
      return {
        log: (log: MessageLog) =>
          changed(log, {
            async publish(messages) {
              if (!isTurn()) return log.publish(messages)
              return messages.map(() => ({ seq: next++, duplicate: false }))
            },
          }),
      }
    },
  },
  'a log that does not know ids': {
    found: /is kept as/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          async publish(messages) {
            log.configure({ ...log.settings, dedupWindowMs: 0 })
            return log.publish(messages)
          },
        }),
    }),
  },
  'a log that mixes up the order of a batch': {
    found: /came first behind|while \d+ was under way|behind \d/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          async take(name, max, consumer, leaseMs) {
            return (await log.take(name, max, consumer, leaseMs)).reverse()
          },
        }),
    }),
  },
  'a log that delivers too early': {
    found: /was delivered after .* ms/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          publish: messages =>
            log.publish(messages.map(message => ({ ...message, delayMs: (message.delayMs ?? 0) / 3 }))),
        }),
    }),
  },
  'a log that never lets a message expire': {
    found: /ms old, of/,
    make: () => ({
      log: (log: MessageLog) => {
        log.configure({ ...log.settings, maxAgeMs: undefined })
        return changed(log, {
          publish: messages => log.publish(messages.map(message => ({ ...message, expiresInMs: undefined }))),
        })
      },
    }),
  },
  'a log that tries without end': {
    found: /for attempt 4/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          subscribe: (name, settings, start) =>
            log.subscribe(name, { ...settings, retry: { ...settings!.retry!, maxAttempts: 1_000 } }, start),
        }),
    }),
  },
  'a log that miscounts': {
    found: /messages of .* bytes|counted/,
    make: () => ({
      log: (log: MessageLog) =>
        changed(log, {
          counts() {
            const counts = log.counts()
            return { ...counts, messages: counts.messages + 1 }
          },
        }),
    }),
  },
  'a disk that keeps what was trimmed': {
    found: /bytes stay on the disk/,
    make: () => ({
      journal: (journal: SimulatedJournal): Journal =>
        changed<Journal>(journal, { trim: () => Promise.resolve() }),
    }),
  },
}

describe('the simulation', () => {
  for (const [what, { found, make }] of Object.entries(SABOTAGES)) {
    it(`finds ${what}`, async () => {
      const seen = new Set<string>()
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { violations } = await simulate(seed, make())
        for (const violation of violations) {
          if (found.test(violation)) return
          seen.add(violation.slice(0, 200))
        }
      }
      assert.fail(`it was not found with ${SEEDS} seeds; found was ${[...seen].slice(0, 10).join('\n')}`)
    })
  }

  it('gives the same history for the same seed', async () => {
    for (const seed of [3, 14, 159, 265]) {
      const first = await simulate(seed)
      const second = await simulate(seed)
      assert.ok(first.history.length > 50, 'something happens')
      assert.deepEqual(second.history, first.history, `seed ${seed}`)
    }
  })
})
