/** What every store engine promises: register it with an implementation and a way to open the same store again. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../core/clock.ts'
import type { Change, Store, WatchEvent } from '../../core/store/store.ts'
import { DEADLINE_MS, until, within } from './wait.ts'

/** A place where one store lives, with nothing in it at first. */
export interface StorePlace {
  /** Opens the store there; what an earlier one wrote is found again. */
  open(): Promise<Store>
  /** Where a backup can go, and how a backup is opened. */
  backup: { to: string; open(): Promise<Store> }
  /**
   * Arguments for node: a program that opens the store, and for every line it reads on standard input, a number,
   * puts the record `crash/<number>` with the value `{ number }`, appends the number to the log `crash`, and
   * writes the line to standard output when both are acknowledged. Undefined skips the crash scenario.
   */
  crashWriter?: string[]
  dispose(): Promise<void>
}

/** Registers the scenarios for an engine. */
export function storeConformance(engine: string, makePlace: () => Promise<StorePlace>): void {
  for (const [name, run] of Object.entries(scenarios)) {
    test(`store ${engine}: ${name}`, async () => {
      const place = await makePlace()
      const opened: Store[] = []
      const open = async () => {
        const store = await place.open()
        opened.push(store)
        return store
      }
      try {
        await run(open, place)
      } finally {
        for (const store of opened) await store.close()
        await place.dispose()
      }
    })
  }
}

type Open = () => Promise<Store>

const scenarios: Record<string, (open: Open, place: StorePlace) => Promise<void>> = {
  async 'what was put is read again, also after it was opened again'(open) {
    const store = await open()
    assert.equal(await store.get('things', 'a'), undefined)
    const value = {
      text: 'é\u{1f600}',
      list: [1, -2.5, null, true, {}],
      bytes: Buffer.from([0, 255]),
      'a/b': '',
    }
    const put = await store.put('things', 'a', value)
    assert.deepEqual(await store.get('things', 'a'), put)
    assert.deepEqual(put.value, value)
    assert.ok(Math.abs(Date.now() - put.changedAt) < DEADLINE_MS)
    await store.close()
    const again = await open()
    assert.deepEqual(await again.get('things', 'a'), put)
    assert.equal(again.revision(), put.revision)
  },

  async 'values are copies'(open) {
    const store = await open()
    const value = { list: [1] }
    const writing = store.put('things', 'a', value)
    value.list.push(2)
    const put = await writing
    put.value.list.push(3)
    const got = await store.get<typeof value>('things', 'a')
    assert.deepEqual(got?.value, { list: [1] })
    got?.value.list.push(4)
    assert.deepEqual((await store.get('things', 'a'))?.value, { list: [1] })
  },

  async 'revisions count up over all collections and are never used again'(open) {
    const store = await open()
    const first = await store.put('a', 'x', 1)
    const second = await store.put('b', 'x', 1)
    assert.ok(second.revision > first.revision)
    await store.delete('b', 'x')
    const deleted = store.revision()
    assert.ok(deleted > second.revision)
    await store.close()
    const again = await open()
    assert.equal(again.revision(), deleted)
    assert.ok((await again.put('b', 'x', 1)).revision > deleted)
  },

  async 'a put under a condition is refused when the revision differs'(open) {
    const store = await open()
    const conflict = { code: 'SIGNALBOX_STORE_CONFLICT', status: 409 }
    const first = await store.put('a', 'x', 1, { ifRevision: 0 })
    await assert.rejects(store.put('a', 'x', 2, { ifRevision: 0 }), conflict)
    await assert.rejects(store.delete('a', 'x', { ifRevision: first.revision + 1 }), conflict)
    await assert.rejects(store.put('a', 'y', 2, { ifRevision: first.revision }), conflict)
    assert.deepEqual(await store.get('a', 'x'), first)
    const second = await store.put('a', 'x', 2, { ifRevision: first.revision })
    assert.equal(await store.delete('a', 'x', { ifRevision: second.revision }), true)
    assert.equal(await store.delete('a', 'x'), false)
  },

  async 'of many conditional writers at once exactly one wins'(open) {
    const store = await open()
    const attempts = Array.from({ length: 50 }, (_, i) => store.put('a', 'x', i, { ifRevision: 0 }))
    const results = await Promise.allSettled(attempts)
    const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
    assert.equal(winners.length, 1)
    assert.equal((await store.get('a', 'x'))?.value, winners[0])
  },

  async 'a transaction is all or nothing, and names every conflict'(open) {
    const store = await open()
    const kept = await store.put('a', 'kept', 1)
    const before = store.revision()
    const changes: Change[] = [
      { type: 'put', collection: 'a', key: 'new', value: 1 },
      { type: 'append', log: 'audit', entry: 'never' },
      { type: 'put', collection: 'a', key: 'kept', value: 2, ifRevision: 0 },
      { type: 'delete', collection: 'b', key: 'gone', ifRevision: 77 },
    ]
    await assert.rejects(store.transact(changes), {
      code: 'SIGNALBOX_STORE_CONFLICT',
      details: {
        conflicts: [
          { collection: 'a', key: 'kept', expected: 0, actual: kept.revision },
          { collection: 'b', key: 'gone', expected: 77, actual: 0 },
        ],
      },
    })
    assert.deepEqual(await store.list('a'), [kept])
    assert.deepEqual(await store.read('audit'), [])
    assert.equal(store.revision(), before)
    const outcomes = await store.transact([
      { type: 'put', collection: 'a', key: 'new', value: 1, ifRevision: 0 },
      { type: 'delete', collection: 'a', key: 'kept', ifRevision: kept.revision },
      { type: 'append', log: 'audit', entry: 'done' },
      { type: 'append', log: 'audit', entry: 'and done' },
    ])
    assert.deepEqual(
      outcomes.map(outcome => (outcome.type === 'append' ? outcome.position : outcome.type)),
      ['put', 'delete', 1, 2],
    )
    assert.deepEqual(
      (await store.list('a')).map(record => record.key),
      ['new'],
    )
    assert.deepEqual(await store.transact([]), [])
  },

  async 'list is in order of keys, by prefix and in pages, and knows its collection'(open) {
    const store = await open()
    const keys = ['a', 'a/1', 'a/10', 'a/2', 'b', 'ä', '\u{ffee}', '\u{1f600}']
    await Promise.all([...keys].reverse().map(key => store.put('things', key, key)))
    await store.put('thing', 'a/0', 1)
    await store.put('things-2', 'a/0', 1)
    const listed = async (options?: object) => (await store.list('things', options)).map(record => record.key)
    assert.deepEqual(await listed(), keys)
    assert.deepEqual(await listed({ prefix: 'a/' }), ['a/1', 'a/10', 'a/2'])
    assert.deepEqual(await listed({ prefix: 'a/', after: 'a/1', limit: 1 }), ['a/10'])
    assert.deepEqual(await listed({ prefix: 'a/', after: 'b' }), [])
    assert.deepEqual(await listed({ prefix: 'b', after: 'a' }), ['b'])
    assert.deepEqual(await listed({ after: 'b', limit: 2 }), ['ä', '\u{ffee}'])
  },

  async 'a log has positions without gaps, is read from any and trimmed'(open) {
    const store = await open()
    const entries = Array.from({ length: 20 }, (_, i) => ({ i }))
    const positions = await Promise.all(entries.map(entry => store.append('audit', entry)))
    assert.deepEqual(
      positions,
      entries.map((_, i) => i + 1),
    )
    await store.append('audit-2', 'other')
    assert.deepEqual(
      (await store.read('audit')).map(each => each.entry),
      entries,
    )
    const two = await store.read('audit', { after: 5, limit: 2 })
    assert.deepEqual(
      two.map(each => each.position),
      [6, 7],
    )
    assert.equal(await store.trim('audit', 18), 18)
    assert.equal(await store.trim('audit', 18), 0)
    await store.trim('audit', 1000)
    await store.close()
    const again = await open()
    assert.deepEqual(await again.read('audit'), [])
    assert.equal(await again.append('audit', 'next'), 21)
    assert.equal((await again.read('audit-2')).length, 1)
  },

  async 'a watcher is told every change of its collection in order, before the writer'(open) {
    const store = await open()
    const events: WatchEvent<number>[] = []
    const stop = store.watch<number>('a', event => events.push(event))
    const writes = Array.from({ length: 100 }, (_, i) => store.put('a', `k${i % 7}`, i))
    writes.push(store.put('b', 'other', 1))
    const removed = store.delete('a', 'k0')
    const first = await writes[0]
    assert.equal(events[0]?.revision, first?.revision)
    await Promise.all([...writes, removed, store.delete('a', 'never')])
    await assert.rejects(store.put('a', 'k1', 1, { ifRevision: 0 }))
    assert.equal(events.length, 101)
    assert.deepEqual(
      events.slice(0, 100).map(event => event.type === 'put' && event.record.value),
      [...Array(100).keys()],
    )
    assert.equal(events[100]?.type, 'delete')
    assert.ok(events.every((event, i) => i === 0 || event.revision > events[i - 1]!.revision))
    stop()
    stop()
    await store.put('a', 'k0', 1)
    assert.equal(events.length, 101)
  },

  async 'what cannot be stored is refused with the place, and nothing is written'(open) {
    const store = await open()
    const refused = { code: 'SIGNALBOX_STORE_ENTRY_INVALID', status: 400 }
    const cycle: unknown[] = []
    cycle.push(cycle)
    const values = [
      undefined,
      () => 1,
      Symbol('x'),
      1n,
      new Date(),
      new Map(),
      '\ud800',
      cycle,
      { a: [() => 1] },
      JSON.parse('{"__proto__": {"x": 1}}') as unknown,
      Buffer.alloc(17 * 1024 * 1024),
    ]
    for (const value of values) await assert.rejects(store.put('a', 'x', value), refused)
    await assert.rejects(store.put('a', 'x', { 'a/b': [() => 1] }), /at \/a~1b\/0/)
    for (const key of ['', 'a\0b', 'a\nb', '\udc00', 'x'.repeat(513), 'é'.repeat(257)]) {
      await assert.rejects(store.put('a', key, 1), refused)
      await assert.rejects(store.get('a', key), refused)
    }
    for (const name of ['', 'A', 'a b', '../a', 'a\0', '1a', 'x'.repeat(65)]) {
      await assert.rejects(store.list(name), refused)
      await assert.rejects(store.append(name, 1), refused)
    }
    await assert.rejects(store.list('a', { limit: 0 }), refused)
    await assert.rejects(store.list('a', { limit: Number.NaN }), refused)
    await assert.rejects(store.read('a', { after: -1 }), refused)
    await assert.rejects(store.put('a', 'x', 1, { ifRevision: 1.5 }), refused)
    const twice: Change = { type: 'put', collection: 'a', key: 'x', value: 1 }
    await assert.rejects(store.transact([twice, twice]), refused)
    assert.deepEqual(await store.list('a'), [])
    assert.equal(store.revision(), 0)
    const edges = { big: 'x'.repeat(1_000_000), [`k${'x'.repeat(511)}`]: Number.NEGATIVE_INFINITY }
    await store.put('a', 'k'.repeat(512), edges)
    assert.deepEqual((await store.get('a', 'k'.repeat(512)))?.value, edges)
  },

  async 'a backup is a store of its own, of one moment'(open, place) {
    const store = await open()
    const pair = (i: number): Change[] => [
      { type: 'put', collection: 'a', key: 'left', value: i },
      { type: 'put', collection: 'a', key: 'right', value: i },
    ]
    await store.transact(pair(-1))
    let going = true
    const writing = (async () => {
      for (let i = 0; going; i++) await store.transact(pair(i))
    })()
    try {
      await store.backup(place.backup.to)
      await assert.rejects(store.backup(place.backup.to), { code: 'SIGNALBOX_USAGE' })
    } finally {
      going = false
      await writing
    }
    const copy = await place.backup.open()
    try {
      const [left, right] = await copy.list('a')
      assert.equal(left?.value, right?.value)
      assert.deepEqual(await copy.verify(), [])
      await copy.put('a', 'more', 1)
      assert.equal(await store.get('a', 'more'), undefined)
    } finally {
      await copy.close()
    }
  },

  async 'close keeps what was accepted, and refuses what comes after'(open) {
    const store = await open()
    const writes = Array.from({ length: 30 }, (_, i) => store.put('a', `k${i}`, i))
    await Promise.all([store.close(), store.close()])
    await Promise.all(writes)
    const closed = { code: 'SIGNALBOX_STORE_UNAVAILABLE' }
    await assert.rejects(store.put('a', 'x', 1), closed)
    await assert.rejects(store.get('a', 'x'), closed)
    await assert.rejects(store.list('a'), closed)
    await assert.rejects(store.verify(), closed)
    assert.throws(() => store.watch('a', () => {}), closed)
    assert.equal((await (await open()).list('a')).length, 30)
  },

  async 'it behaves as a map does, also when it is opened again in between'(open) {
    let store = await open()
    let round = 0
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async operations => {
        const collection = `c${round++}`
        const model = new Map<string, unknown>()
        const revisions = new Map<string, number>()
        for (const each of operations) {
          if (each.type === 'reopen') {
            await store.close()
            store = await open()
          } else if (each.type === 'put') {
            const value = plainCopy(each.value)
            const ifRevision = each.guarded ? { ifRevision: revisions.get(each.key) ?? 0 } : {}
            const record = await store.put(collection, each.key, value, ifRevision)
            model.set(each.key, value)
            revisions.set(each.key, record.revision)
          } else {
            assert.equal(await store.delete(collection, each.key), model.delete(each.key))
            revisions.delete(each.key)
          }
        }
        const expected = [...model].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        const records = await store.list(collection)
        assert.deepStrictEqual(
          records.map(({ key, value }) => [key, value]),
          expected,
        )
        assert.ok(records.every(({ key, revision }) => revisions.get(key) === revision))
      }),
      { numRuns: 60 },
    )
    assert.deepEqual(await store.verify(), [])
  },

  async 'every acknowledged write survives kill -9'(open, place) {
    if (!place.crashWriter) return
    const random = seededRandom(Number(process.env.SIGNALBOX_TEST_SEED ?? Date.now() % 1e9))
    const acknowledged = new Set<number>()
    for (let round = 0, next = 0; round < 10; round++) {
      next = await crash(place.crashWriter, next, 20 + Math.floor(random() * 300), acknowledged)
    }
    const store = await open()
    const entries = (await store.read<number>('crash', { limit: 100_000 })).map(each => each.entry)
    const logged = new Set(entries)
    const records = await store.list<{ number: number }>('crash', { limit: 100_000 })
    const stored = new Set(records.map(record => record.value.number))
    const lost = [...acknowledged].filter(number => !logged.has(number) || !stored.has(number))
    assert.deepEqual(lost, [], `of ${acknowledged.size} acknowledged writes`)
    assert.ok(acknowledged.size >= 200)
    assert.equal(entries.length, logged.size)
    assert.deepEqual(await store.verify(), [])
  },
}

const operation = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ type: 'reopen' as const }) },
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key: fc.constantFrom('a', 'b', 'a/b', 'é', '\u{1f600}', 'zz'),
      value: fc.jsonValue(),
      guarded: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('delete' as const),
      key: fc.constantFrom('a', 'b', 'a/b', 'zz'),
    }),
  },
)

/** As the store takes it: no `__proto__`, no lone surrogates, no -0. */
function plainCopy(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value).toWellFormed().replaceAll('__proto__', 'proto'),
    (_, inner: unknown) => (typeof inner === 'string' ? inner.toWellFormed() : inner),
  )
}

/** Lets a writer write until it has acknowledged `count`, kills it, and returns the first number it was not given. */
async function crash(
  args: string[],
  from: number,
  count: number,
  acknowledged: Set<number>,
): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  // What the kernel does with input that nobody reads any more is of no interest.
  child.stdin.on('error', () => {})
  let next = from
  let inRound = 0
  const lines = createInterface(child.stdout)
  const end = Promise.all([once(child, 'close'), once(lines, 'close')])
  lines.on('line', line => {
    acknowledged.add(Number(line))
    inRound++
    child.stdin.write(`${next++}\n`)
  })
  for (let i = 0; i < 16; i++) child.stdin.write(`${next++}\n`)
  try {
    await until(() => inRound >= count, `${count} acknowledged writes`, 4 * DEADLINE_MS)
  } finally {
    child.kill('SIGKILL')
    await within(end, 'the end of the writer and its output')
  }
  return next
}
