/** Whatever the order, the repetition and the restarts: groups are whole, sequences are in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TestClock } from '../../core/clock.ts'
import { MemoryState } from '../../core/route/memory-state.ts'
import { route } from '../../core/route/route.ts'
import { type RouteUnderTest, testRoute } from '../../core/route/test-kit.ts'
import { until } from './kit.ts'

const LONG = { timeoutMs: 10_000_000 }

interface Sent {
  key: string
  n: number
}

/** Messages in any order, each once or more, over several workers. */
const sendings = fc
  .array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), n: fc.integer({ min: 1, max: 6 }) }), {
    maxLength: 40,
  })
  .chain(extra =>
    fc
      .shuffledSubarray(
        ['a', 'b', 'c'].flatMap(key => [1, 2, 3, 4, 5, 6].map(n => ({ key, n }))),
        { minLength: 18, maxLength: 18 },
      )
      .map(all => {
        // What comes twice comes before what makes its group complete, or the group would begin anew.
        const known = new Set<string>()
        const doubled = all.flatMap(one => [
          one,
          ...extra.filter(({ key, n }) => key === one.key && n === one.n),
        ])
        return doubled.filter(({ key, n }, i) => {
          const isLast = doubled.slice(i + 1).every(other => other.key !== key)
          const isDouble = known.has(`${key}${n}`)
          known.add(`${key}${n}`)
          return !isDouble || !isLast
        })
      }),
  )

/** Sends with several workers at once, over one state. */
async function spread(
  routes: readonly RouteUnderTest[],
  messages: readonly Sent[],
  at: number,
): Promise<void> {
  for (let i = 0; i < messages.length; i += at) {
    const batch = messages.slice(i, i + at)
    await Promise.all(batch.map((message, j) => routes[j % routes.length]!.send(message, LONG)))
  }
}

test('each message of a group is in its aggregate once, in any order and with any repetition', async () => {
  await fc.assert(
    fc.asyncProperty(sendings, fc.integer({ min: 1, max: 4 }), async (messages, workers) => {
      const source = route<Sent>('g')
        .aggregate({ key: p => p.key, messageId: p => p.n, size: 6 })
        .publish('out')
      const state = new MemoryState()
      const routes = await Promise.all(
        Array.from({ length: workers }, () => testRoute(source, { state, clock: new TestClock(1) })),
      )
      // One after the other, so that what comes twice is known to come before its group is complete.
      await spread(routes, messages, 1)
      const groups = () => routes.flatMap(({ kept }) => kept.map(({ payload }) => payload as Sent[]))
      await until(() => groups().length >= 3, 'the groups are complete')
      const seen = groups().map(group => group.map(({ key, n }) => `${key}${n}`).sort())
      assert.deepEqual(
        seen.map(String).sort(),
        ['a', 'b', 'c'].map(key => String([1, 2, 3, 4, 5, 6].map(n => key + n))),
      )
      await Promise.all(routes.map(one => one.close()))
    }),
    { numRuns: 25 },
  )
})

test('a sequence leaves in order and each message once, in any order, with any repetition, from several workers', async () => {
  await fc.assert(
    fc.asyncProperty(
      sendings,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 8 }),
      async (messages, workers, at) => {
        const out: Sent[] = []
        const source = route<Sent>('s')
          .resequence({ key: p => p.key, number: p => p.n })
          .transform(async p => {
            // Others have their turn before it has gone.
            await new Promise(resolve => setImmediate(resolve))
            out.push(p)
          })
        const state = new MemoryState()
        const routes = await Promise.all(
          Array.from({ length: workers }, () => testRoute(source, { state, clock: new TestClock(1) })),
        )
        await spread(routes, messages, at)
        await until(() => out.length >= 18, 'all have gone')
        for (const key of ['a', 'b', 'c']) {
          assert.deepEqual(
            out.filter(one => one.key === key).map(({ n }) => n),
            [1, 2, 3, 4, 5, 6],
          )
        }
        await Promise.all(routes.map(one => one.close()))
      },
    ),
    { numRuns: 25 },
  )
})
