import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { TestClock } from '../clock.ts'
import { type ActLog, AuditChain, type ChainEntry, type ChainHead } from './chain.ts'

/** A log in memory that takes its time, so that appends would overtake each other if they could. */
class MemoryLog implements ActLog {
  entries: ChainEntry[] = []

  async append(entry: ChainEntry): Promise<boolean> {
    await new Promise(setImmediate)
    if (this.entries.some(({ seq }) => seq === entry.seq)) return false
    this.entries.push(JSON.parse(JSON.stringify(entry)))
    return true
  }

  async last(): Promise<ChainEntry | undefined> {
    await new Promise(setImmediate)
    return this.entries.at(-1)
  }

  async *read(from: number): AsyncIterable<ChainEntry> {
    yield* this.entries.filter(entry => typeof entry !== 'object' || entry === null || !(entry.seq < from))
  }
}

const key = Buffer.alloc(32, 7)

async function chainOf(acts: number): Promise<{ log: MemoryLog; head: ChainHead }> {
  const log = new MemoryLog()
  const chain = new AuditChain(log, { key, clock: new TestClock(1_700_000_000_000) })
  for (let i = 0; i < acts; i++) {
    const before = i === 0 ? undefined : { n: i - 1 }
    await chain.append({
      who: 'a/ann',
      what: 'resource.write',
      target: `queue/q${i}`,
      before,
      after: { n: i },
      result: 'ok',
    })
  }
  return { log, head: await chain.head() }
}

/** Somebody's hand in the log. */
type Tampering =
  | { kind: 'change'; at: number; field: string }
  | { kind: 'remove'; at: number }
  | { kind: 'swap'; at: number; with: number }
  | { kind: 'duplicate'; at: number }
  | { kind: 'garbage'; at: number }

function tamper(entries: ChainEntry[], act: Tampering): void {
  const i = act.at % entries.length
  const entry = entries[i]! as unknown as Record<string, unknown>
  if (act.kind === 'remove') entries.splice(i, 1)
  else if (act.kind === 'duplicate') entries.splice(i, 0, structuredClone(entries[i]!))
  else if (act.kind === 'garbage') entries[i] = null as unknown as ChainEntry
  else if (act.kind === 'change')
    entry[act.field] = act.field === 'seq' ? 99 : { changed: entry[act.field] ?? null }
  else {
    const j = act.with % entries.length
    const other = entries[j]!
    entries[j] = entries[i]!
    entries[i] = other
  }
}

const FIELDS = [
  'seq',
  'at',
  'who',
  'what',
  'target',
  'before',
  'after',
  'result',
  'remoteAddress',
  'previousHash',
  'hash',
]
const place = fc.nat({ max: 7 })
const tampering: fc.Arbitrary<Tampering> = fc.oneof(
  fc.record({ kind: fc.constant('change' as const), at: place, field: fc.constantFrom(...FIELDS) }),
  fc.record({ kind: fc.constant('remove' as const), at: place }),
  fc.record({ kind: fc.constant('swap' as const), at: place, with: place }),
  fc.record({ kind: fc.constant('duplicate' as const), at: place }),
  fc.record({ kind: fc.constant('garbage' as const), at: place }),
)

describe('the audit chain', () => {
  test('finds any change, removal, repetition and other order, at its place', async () => {
    const { log, head } = await chainOf(8)
    assert.deepEqual(await new AuditChain(log, { key }).verify(head), { ok: true, entries: 8, head })
    await fc.assert(
      fc.asyncProperty(tampering, async act => {
        fc.pre(act.kind !== 'swap' || act.at !== act.with)
        const copy = new MemoryLog()
        copy.entries = structuredClone(log.entries)
        tamper(copy.entries, act)
        const report = await new AuditChain(copy, { key }).verify(head)
        assert.equal(report.ok, false)
        const first = act.kind === 'swap' ? Math.min(act.at, act.with) : act.at
        const expected = act.kind === 'duplicate' ? first + 2 : first + 1
        assert.ok(!report.ok && report.seq === expected, `${JSON.stringify(report)}, expected ${expected}`)
      }),
      { numRuns: 300 },
    )
  })

  test('who has not the key cannot make it anew; a cut end is found by a head kept elsewhere', async () => {
    const { log, head } = await chainOf(5)
    const forger = new MemoryLog()
    const forged = new AuditChain(forger)
    for (const { who, what, target } of log.entries) await forged.append({ who, what, target, result: 'ok' })
    assert.equal((await forged.verify()).ok, true)
    assert.deepEqual(await new AuditChain(forger, { key }).verify(), { ok: false, seq: 1, reason: 'changed' })
    log.entries.pop()
    const chain = new AuditChain(log, { key })
    assert.equal((await chain.verify()).ok, true)
    assert.deepEqual(await chain.verify(head), { ok: false, seq: 5, reason: 'missing' })
  })

  test('appends at the same time, from two nodes, make one chain in the order of the calls', async () => {
    const log = new MemoryLog()
    const nodes = [new AuditChain(log, { key }), new AuditChain(log, { key })]
    const acts = Array.from({ length: 20 }, (_, i) =>
      nodes[i % 2]!.append({ who: `n${i % 2}`, what: 'node.scale', target: String(i), result: 'ok' }),
    )
    await Promise.all(acts)
    const report = await nodes[0]!.verify()
    assert.ok(report.ok && report.entries === 20)
    for (const node of ['n0', 'n1']) {
      const order = log.entries.filter(({ who }) => who === node).map(({ target }) => Number(target))
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
      )
    }
  })

  test('a log that fails fails the append, and the next one goes on', async () => {
    const log = new MemoryLog()
    const chain = new AuditChain(log)
    const original = log.append.bind(log)
    log.append = () => Promise.reject(new Error('disk full'))
    await assert.rejects(chain.append({ who: 'a', what: 'b', target: 'c', result: 'ok' }), /disk full/)
    log.append = original
    assert.equal((await chain.append({ who: 'a', what: 'b', target: 'c', result: 'ok' })).seq, 1)
  })

  test('secrets are masked by schema pointers and by names; later changes do not reach the entry', async () => {
    const log = new MemoryLog()
    const after = {
      options: { url: 'amqp://u:hunter2@h/', pin: 1234, tls: { password: 'hunter2' } },
      big: 1n,
    }
    const append = new AuditChain(log).append({
      who: 'a',
      what: 'resource.write',
      target: 'connection/amqp/x',
      after,
      result: 'ok',
      secretPointers: ['/options/pin'],
    })
    after.options.url = 'later'
    const entry = await append
    assert.deepEqual(entry.after, {
      options: { url: 'amqp://u:***@h/', pin: '***', tls: { password: '***' } },
      big: '1',
    })
    assert.equal(entry.before, null)
    assert.ok(!JSON.stringify(log.entries).includes('hunter2'))
  })

  test('what is too long is replaced by its hash', async () => {
    const log = new MemoryLog()
    const chain = new AuditChain(log, { maxChars: 100 })
    const entry = await chain.append({
      who: 'a',
      what: 'b',
      target: 'c',
      after: { text: 'x'.repeat(200) },
      result: 'ok',
    })
    assert.deepEqual(Object.keys(entry.after as object), ['omitted', 'chars', 'sha256'])
    assert.equal((await chain.verify()).ok, true)
  })

  test('any plain data is hashed as it is read back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything({ withBigInt: true, withDate: true, withMap: true }), async value => {
        const log = new MemoryLog()
        const chain = new AuditChain(log)
        await chain.append({ who: 'a', what: 'b', target: 'c', after: value, result: 'ok' })
        assert.equal((await chain.verify()).ok, true)
      }),
    )
  })
})
