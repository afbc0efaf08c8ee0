/** The audit log: what threads record is found again, by what one knows of it, for as long as it is kept. */
import assert from 'node:assert/strict'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemClock, TestClock } from '../clock.ts'
import type { SignalboxError } from '../errors.ts'
import { openFileJournal } from '../store/files/file-journal.ts'
import { silentLogger } from '../telemetry/log.ts'
import { AuditLog, type AuditLogOptions } from './audit-log.ts'
import { Chunk, ChunkWriter } from './chunk.ts'
import { type AuditEntry, MAX_CID, MAX_TEXT } from './entry.ts'
import { AuditPolicy, auditSettings } from './policy.ts'
import { Recorder } from './recorder.ts'

const DAY_MS = 86_400_000

async function temporary() {
  const path = await mkdtemp(join(tmpdir(), 'signalbox-audit-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

function openLog(folder: string, more: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  return AuditLog.open({
    folder,
    open: path => openFileJournal({ folder: path, lockFolder: folder, reserveBytes: 0 }),
    clock: systemClock,
    log: silentLogger,
    maxAgeMs: DAY_MS,
    maxBytes: 64 * 1024 * 1024,
    writeMs: 5,
    ...more,
  })
}

let sources = 0
function threadOf(log: AuditLog, options: Parameters<typeof auditSettings>[0] = {}) {
  return new Recorder({
    policy: new AuditPolicy(auditSettings(options)),
    source: `source-${sources++}`,
    worker: 'node/0',
    send: async chunk => log.take(chunk),
    flushMs: 5,
  })
}

const step = (cid: string, more: Partial<Parameters<Recorder['record']>[0]> = {}) => ({
  kind: 'channel' as const,
  cid,
  address: 'channel/http/public',
  to: 'service/orders.create',
  startedAt: performance.now() - 5,
  ...more,
})

test('records are found by cid, name, kind, outcome, time and text, newest first', async () => {
  await using folder = await temporary()
  const log = await openLog(folder.path)
  const thread = threadOf(log, { bodies: 'errors', headers: ['X-Partner', 'Authorization'] })
  const headers = { 'x-partner': 'ACME', authorization: 'Basic abc' }
  thread.record(step('c-1', { operation: 'POST', detail: '/orders', status: 201, bytesIn: 0, headers }))
  const failed = { error: 'SIGNALBOX_INPUT_INVALID', status: 400, payload: { order: 'Rainbow' } }
  thread.record(step('c-2', failed))
  thread.record(step('c-3', { kind: 'publish', address: 'queue/orders', to: undefined, seq: 7 }))
  await thread.flush()
  const ids = async (query: object) => (await log.search(query)).records.map(({ cid }) => cid)
  assert.deepEqual(await ids({}), ['c-3', 'c-2', 'c-1'])
  assert.deepEqual(await ids({ cid: 'c-1' }), ['c-1'])
  assert.deepEqual(await ids({ name: 'queue/orders' }), ['c-3'])
  assert.deepEqual(await ids({ name: 'orders' }), ['c-3'])
  assert.deepEqual(await ids({ name: 'service/orders.*' }), ['c-2', 'c-1'])
  assert.deepEqual(await ids({ kind: 'publish' }), ['c-3'])
  assert.deepEqual(await ids({ outcome: 'ok' }), ['c-3', 'c-1'])
  assert.deepEqual(await ids({ outcome: 'error' }), ['c-2'])
  assert.deepEqual(await ids({ outcome: 'SIGNALBOX_INPUT_INVALID' }), ['c-2'])
  assert.deepEqual(await ids({ text: 'acme' }), ['c-1'])
  assert.deepEqual(await ids({ text: 'rainBOW' }), ['c-2'])
  assert.deepEqual(await ids({ to: Date.now() - 60_000 }), [])
  assert.deepEqual(await ids({ from: Date.now() - 60_000, cid: 'c-2' }), ['c-2'])
  assert.deepEqual(await ids({ cid: 'nobody' }), [])
  const [first] = (await log.search({ cid: 'c-1' })).records
  assert.deepEqual(first!.headers, { 'x-partner': 'ACME' })
  assert.equal(first!.bytesIn, 0)
  assert.equal(first!.bytesOut, undefined)
  assert.equal(first!.status, 201)
  assert.ok(first!.durationMs >= 5 && first!.durationMs < 5_000)
  const [second] = (await log.search({ cid: 'c-2' })).records
  assert.deepEqual((await log.get(second!.id)).kept, { payload: { order: 'Rainbow' } })
  assert.equal((await log.get(first!.id)).kept, undefined)
  await assert.rejects(log.get('zz'), { code: 'SIGNALBOX_USAGE' })
  await assert.rejects(log.get('1-zz-1'), { code: 'SIGNALBOX_NOT_FOUND' })
  await assert.rejects(log.search({ nam: 'x' }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  await log.close()
})

test('pages show everything once, while more is written', async () => {
  await using folder = await temporary()
  const log = await openLog(folder.path, { maxBytes: 1024 * 1024 * 1024 })
  const thread = threadOf(log)
  for (let i = 0; i < 5_000; i++) {
    thread.record(step(`c-${i}`))
    if (i % 500 === 0) await thread.flush()
  }
  await thread.flush()
  const seen: string[] = []
  let after: string | undefined
  do {
    const page = await log.search({ limit: 700, name: 'channel/http/public', ...(after && { after }) })
    seen.push(...page.records.map(({ cid }) => cid))
    after = page.next
    thread.record(step('later'))
    await thread.flush()
  } while (after !== undefined)
  assert.deepEqual(
    seen,
    Array.from({ length: 5_000 }, (_, i) => `c-${4_999 - i}`),
  )
  await log.close()
})

test('a search that runs out of time says so and can be gone on with', async () => {
  await using folder = await temporary()
  const log = await openLog(folder.path, { searchMs: 0 })
  const thread = threadOf(log)
  for (let i = 0; i < 5; i++) {
    thread.record(step(`c-${i}`))
    await thread.flush()
  }
  let after: string | undefined
  let pages = 0
  const found: string[] = []
  do {
    const page = await log.search({ text: 'c-0', ...(after && { after }) })
    assert.equal(page.partial, page.next !== undefined)
    found.push(...page.records.map(({ cid }) => cid))
    after = page.next
    pages++
  } while (after !== undefined)
  assert.deepEqual(found, ['c-0'])
  assert.ok(pages >= 5)
  await log.close()
})

test('what was written is there after a restart, and a chunk that is sent again counts once', async () => {
  await using folder = await temporary()
  let log = await openLog(folder.path)
  const sent: Buffer[] = []
  const writer = new ChunkWriter('thread', 'node/1', 65_536)
  const entry: AuditEntry = {
    kind: 'channel',
    at: Date.now(),
    durationMs: 1,
    cid: 'c-1',
    address: 'channel/http/a',
  }
  writer.add(entry)
  sent.push(writer.take(3))
  log.take(sent[0]!)
  log.take(sent[0]!)
  await log.flush()
  const [before] = (await log.search({})).records
  await log.close()
  log = await openLog(folder.path)
  log.take(sent[0]!)
  const after = await log.search({})
  assert.deepEqual(after.records, [before])
  assert.match(after.notes.join(), /3 records were dropped/)
  assert.equal(log.status().dropped, 3)
  await log.close()
})

test('retention takes away the oldest by size and by age', async () => {
  await using folder = await temporary()
  const maxBytes = 1024 * 1024
  const log = await openLog(folder.path, { maxBytes })
  const thread = threadOf(log)
  for (let round = 0; round < 60; round++) {
    for (let i = 0; i < 500; i++) thread.record(step(`c-${round}-${i}`))
    await thread.flush()
    await log.flush()
  }
  const { bytes, volumes, records } = log.status()
  assert.ok(bytes <= maxBytes + 128 * 1024, `${bytes} bytes`)
  assert.equal((await readdir(folder.path)).filter(name => name.startsWith('volume-')).length, volumes)
  assert.ok(records < 30_000)
  assert.deepEqual((await log.search({ cid: 'c-0-0' })).records, [])
  assert.equal((await log.search({ cid: 'c-59-499' })).records.length, 1)
  await log.configure({ maxBytes, maxAgeMs: 0 })
  assert.equal(log.status().volumes, 1)
  await log.close()
})

test('age is looked at while nothing is written', async () => {
  await using folder = await temporary()
  const clock = new TestClock(Date.now())
  const log = await openLog(folder.path, { clock, writeMs: 0, maxAgeMs: 600_000 })
  const thread = threadOf(log)
  for (const cid of ['old', 'new']) {
    thread.record(step(cid))
    await thread.flush()
    await log.flush()
    // A sixteenth of the age makes a new volume.
    clock.advance(50_000)
  }
  assert.equal(log.status().volumes, 2)
  clock.advance(600_000)
  await log.configure({ maxAgeMs: 600_000, maxBytes: 64 * 1024 * 1024 })
  assert.deepEqual(
    (await log.search({})).records.map(({ cid }) => cid),
    ['new'],
  )
  await log.close()
})

test('a damaged volume is reported and skipped; the others answer, and new records are taken', async () => {
  await using folder = await temporary()
  let log = await openLog(folder.path, { maxBytes: 1024 * 1024 })
  const thread = threadOf(log)
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 1_000; i++) thread.record(step(`c-${round}-${i}`))
    await thread.flush()
    await log.flush()
  }
  const { volumes } = log.status()
  assert.ok(volumes >= 3)
  await log.close()
  const names = (await readdir(folder.path)).filter(name => name.startsWith('volume-')).sort()
  for (const name of [names[0]!, names.at(-1)!]) await damage(join(folder.path, name))
  log = await openLog(folder.path, { maxBytes: 1024 * 1024 })
  const again = threadOf(log)
  again.record(step('afterwards'))
  await again.flush()
  await log.trail('afterwards')
  const { records, notes } = await log.search({ limit: 1_000 })
  assert.equal(records[0]!.cid, 'afterwards')
  assert.equal(records.length, 1_000)
  assert.equal(log.status().damaged.length, 2)
  assert.equal(notes.filter(note => note.includes('SIGNALBOX_STORE_DAMAGED')).length, 2)
  await log.close()
})

async function damage(folder: string): Promise<void> {
  const [name] = (await readdir(folder)).filter(file => file.endsWith('.journal'))
  const file = await open(join(folder, name!), 'r+')
  await file.write(Buffer.from('damage'), 0, 6, 2_000)
  await file.close()
}

test('a thread whose log does not answer drops and counts, with bounded memory, and tells when it can', async () => {
  await using folder = await temporary()
  const log = await openLog(folder.path)
  const gate = Promise.withResolvers<void>()
  const maxWaitingBytes = 256 * 1024
  const thread = new Recorder({
    policy: new AuditPolicy(auditSettings({})),
    source: 'slow',
    worker: 'node/0',
    send: async chunk => {
      await gate.promise
      log.take(chunk)
    },
    maxWaitingBytes,
  })
  for (let i = 0; i < 50_000; i++) thread.record(step(`c-${i}`))
  const { dropped, recorded, waitingBytes } = thread.counts()
  assert.equal(recorded + dropped, 50_000)
  assert.ok(dropped > 10_000)
  assert.ok(waitingBytes < maxWaitingBytes + 2 * 65_536 + 100_000, `${waitingBytes} bytes`)
  gate.resolve()
  await thread.flush()
  thread.record(step('afterwards'))
  await thread.flush()
  await log.flush()
  assert.equal(log.status().records, recorded + 1)
  assert.equal(log.status().dropped, dropped)
  await log.close()
})

test('a log that is behind refuses; the thread sends again and nothing is lost', async () => {
  await using folder = await temporary()
  const log = await openLog(folder.path, { maxWaitingBytes: 1 })
  let refused = 0
  const thread = new Recorder({
    policy: new AuditPolicy(auditSettings({})),
    source: 'again',
    worker: 'node/0',
    chunkBytes: 16_384,
    send: async chunk => {
      try {
        log.take(chunk)
      } catch (error) {
        assert.equal((error as SignalboxError).code, 'SIGNALBOX_OVERLOADED')
        refused++
        throw error
      }
    },
  })
  for (let i = 0; i < 2_000; i++) thread.record(step(`c-${i}`))
  while (thread.counts().waitingBytes > 0) await thread.flush()
  await log.flush()
  assert.ok(refused > 0)
  assert.equal(log.status().records, 2_000)
  await log.close()
})

test('a thread that cannot reach the log is not held up when it ends', async () => {
  const thread = new Recorder({
    policy: new AuditPolicy(auditSettings({})),
    source: 'alone',
    worker: 'node/0',
    send: () => Promise.reject(new Error('there is no log')),
  })
  thread.record(step('c-1'))
  await thread.flush()
  await thread.close()
  thread.record(step('c-2'))
  assert.equal(thread.counts().dropped, 1)
})

test('names are excluded by name, address and glob', () => {
  const policy = new AuditPolicy(auditSettings({ exclude: ['health', 'channel/http/in*', 'queue/x'] }))
  const recorded = [
    'channel/http/health',
    'channel/http/internal',
    'queue/x',
    'queue/xy',
    'channel/http/public',
  ]
  assert.deepEqual(
    recorded.filter(address => policy.includes(address)),
    ['queue/xy', 'channel/http/public'],
  )
})

test('whatever is recorded comes back as it was, cut where it is too long', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 600 }),
    fc.constantFrom('__proto__', '', '\u0000'),
  )
  const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
  const entries = fc.record({
    kind: fc.constantFrom('channel' as const, 'publish' as const, 'dead' as const),
    at: fc.double({ noNaN: true, noDefaultInfinity: true }),
    durationMs: fc.integer({ min: 0, max: 1_000_000 }),
    cid: text,
    address: text,
    to: maybe(text),
    detail: maybe(text),
    error: maybe(text),
    status: maybe(fc.integer({ min: 1, max: 999 })),
    bytesIn: maybe(fc.nat()),
    seq: maybe(fc.nat()),
    attempt: maybe(fc.integer({ min: 1, max: 1_000 })),
    headers: maybe(
      fc.uniqueArray(fc.tuple(text, text), { selector: ([name]) => name.slice(0, 512), maxLength: 9 }),
    ),
    body: maybe(
      fc.uint8Array({ maxLength: 5_000 }).map(bytes => ({ reason: 'kept' as const, altered: true, bytes })),
    ),
  })
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1, maxLength: 20 }), list => {
      const writer = new ChunkWriter('s', 'w', 1_024)
      for (const entry of list) {
        if (writer.add(entry)) continue
        check(writer.take(0))
        assert.ok(writer.add(entry))
      }
      const records = check(writer.take(0))
      const entry = list.at(-1)!
      const record = records.at(-1)!
      const cut = (value: string | undefined) => value?.slice(0, MAX_TEXT)
      assert.equal(record.cid, Buffer.from(entry.cid.slice(0, MAX_CID)).toString())
      assert.equal(record.at, entry.at)
      assert.equal(record.to, cut(entry.to))
      assert.equal(record.detail, cut(entry.detail))
      assert.equal(record.outcome, cut(entry.error) ?? 'ok')
      assert.equal(record.bytesIn, entry.bytesIn)
      assert.equal(record.seq, entry.seq)
      assert.deepEqual(
        Object.entries(record.headers).sort(),
        Object.entries(Object.fromEntries((entry.headers ?? []).map(pair => pair.map(cut)))).sort(),
      )
      if (entry.body?.bytes.length) assert.deepEqual(record.bodyBytes, Buffer.from(entry.body.bytes))
    }),
  )
})

function check(bytes: Buffer) {
  const chunk = new Chunk(bytes)
  const records = chunk.records(String)
  assert.equal(records.length, chunk.head.count)
  return records
}

test('bytes that are no chunk are refused with a code, wherever they are wrong', () => {
  const writer = new ChunkWriter('s', 'w', 4_096)
  writer.add({ kind: 'channel', at: 1, durationMs: 1, cid: 'c', address: 'a', headers: [['x', 'y']] })
  const good = writer.take(0)
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, byte, cut) => {
      const bytes = Buffer.from(cut ? good.subarray(0, at) : good)
      if (!cut) bytes[at] = byte
      try {
        new Chunk(bytes).records(String)
      } catch (error) {
        assert.equal((error as SignalboxError).code, 'SIGNALBOX_STORE_DAMAGED', String(error))
      }
    }),
    { numRuns: 2_000 },
  )
})
