import assert from 'node:assert/strict'
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/conformance/wait.ts'
import { seededRandom } from '../../clock.ts'
import type { Logger } from '../../telemetry/log.ts'
import { silentLogger } from '../../telemetry/log.ts'
import { openFileJournal } from './file-journal.ts'
import { decodeFrame, decodeHead, FRAME, HEAD_BYTES, type SegmentHead } from './format.ts'
import { appendText, replayed, segmentFiles, temporary, textsOf } from './journal-test-kit.ts'

const DAMAGED = { code: 'SIGNALBOX_STORE_DAMAGED' }
const FOREIGN = { code: 'SIGNALBOX_STORE_FOREIGN' }
const TEXTS = ['first', 'second', 'third', 'fourth', 'fifth']

interface Small {
  /** The only segment as a killed process leaves it, after a quiet moment. */
  quiet: Buffer
  /** As one leaves it that is killed at once after the last append was confirmed. */
  sudden: Buffer
  /** As it is after it was closed. */
  closed: Buffer
  name: string
  head: SegmentHead
  /** Offset of the last batch and of what is behind it. */
  last: [from: number, to: number]
}

/** A journal with the {@link TEXTS}, the last two in one call. */
async function makeSmall(t: TestContext): Promise<Small> {
  const folder = join(await temporary(t), 'small')
  const { journal } = await replayed({ folder })
  for (const text of TEXTS.slice(0, 3)) await appendText(journal, text)
  const from = journal.segments()[0]!.bytes
  await appendText(journal, ...TEXTS.slice(3))
  const [name] = await segmentFiles(folder)
  const path = join(folder, name!)
  const to = journal.segments()[0]!.bytes
  const head = decodeHead(readFileSync(path)) as SegmentHead
  const sudden = readFileSync(path)
  sudden.fill(0, to)
  await until(
    () => decodeFrame(readFileSync(path), to, head.salt, head.base + to)?.kind === FRAME.hint,
    'the hint',
  )
  const quiet = readFileSync(path)
  await journal.close()
  return { quiet, sudden, closed: readFileSync(path), name: name!, head, last: [from, to] }
}

/** A folder whose only segment has these bytes. */
async function place(folder: string, name: string, bytes: Buffer): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder)
  writeFileSync(join(folder, name), bytes)
}

/** What is read, or the code of the error. */
async function look(folder: string): Promise<string[] | string> {
  try {
    return await textsOf({ folder, reserveBytes: 0 })
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('wherever a bit flips in a journal at rest, nothing confirmed is missing or wrong without an error', async t => {
  const small = await makeSmall(t)
  const folder = join(await temporary(t), 'flipped')
  const used = small.last[1] + 32
  for (const state of ['quiet', 'closed'] as const) {
    let found = 0
    for (let at = 0; at < used; at++) {
      const bytes = Buffer.from(small[state])
      bytes[at]! ^= 1 << (at % 8)
      await place(folder, small.name, bytes)
      const seen = await look(folder)
      if (typeof seen !== 'string') assert.deepEqual(seen, TEXTS, `${state}, byte ${at}`)
      else if (at < 12) assert.match(seen, /FOREIGN|DAMAGED/)
      else assert.equal(seen, DAMAGED.code, `${state}, byte ${at}`)
      if (typeof seen === 'string') found++
    }
    // Only the frame that says that all is synced can be lost without harm.
    assert.ok(found >= small.last[1], `${state}: ${found} of ${used}`)
  }
})

test('the same at once after the last append: the last batch may be dropped, and nothing else', async t => {
  const small = await makeSmall(t)
  const folder = join(await temporary(t), 'flipped')
  const [from, to] = small.last
  for (let at = 0; at < to; at++) {
    const bytes = Buffer.from(small.sudden)
    bytes[at]! ^= 0x80 >> (at % 8)
    await place(folder, small.name, bytes)
    const seen = await look(folder)
    if (at < from) assert.match(String(seen), /^SIGNALBOX_STORE_(DAMAGED|FOREIGN)$/, `byte ${at}`)
    else assert.deepEqual(seen, TEXTS.slice(0, 3), `byte ${at}`)
  }
})

test('a file that was cut off anywhere is found', async t => {
  const small = await makeSmall(t)
  const folder = join(await temporary(t), 'cut')
  for (const state of ['quiet', 'sudden', 'closed'] as const) {
    const full = small[state].length
    const ends = Array.from({ length: small.last[1] + 1 }, (_, i) => i)
    if (full > small.last[1] + 40) ends.push(small.last[1] + 33, full - 1)
    for (const end of ends) {
      await place(folder, small.name, small[state].subarray(0, end))
      const seen = await look(folder)
      // What was cut off is the last frame, which says that all is there.
      if (state === 'closed' && end >= small.last[1])
        assert.match(String(seen), /^(first,.*fifth|SIGNALBOX_STORE_DAMAGED)$/)
      else if (end < 12) assert.match(String(seen), /FOREIGN|DAMAGED/)
      else assert.equal(seen, DAMAGED.code, `${state}, ${end}`)
    }
  }
})

test('a write that was cut off is dropped whole, moved aside and reported, and the journal goes on', async t => {
  const small = await makeSmall(t)
  const folder = join(await temporary(t), 'torn')
  const [from, to] = small.last
  for (let cut = from; cut < to; cut++) {
    const bytes = Buffer.from(small.sudden).fill(0, cut)
    await place(folder, small.name, bytes)
    const warnings: object[] = []
    const log: Logger = { ...silentLogger, warn: data => warnings.push(data) }
    const { journal, texts } = await replayed({ folder, log, reserveBytes: 0 })
    assert.deepEqual(texts, TEXTS.slice(0, 3), `byte ${cut}`)
    const torn = (await readdir(folder)).filter(name => name.endsWith('.torn'))
    const written = bytes.subarray(from, cut).some(byte => byte !== 0)
    assert.equal(torn.length, written ? 1 : 0, `byte ${cut}`)
    assert.equal(warnings.length, torn.length)
    if (written) {
      const aside = await readFile(join(folder, torn[0]!))
      assert.deepEqual(aside, bytes.subarray(from, from + aside.length))
      assert.ok(bytes.subarray(from + aside.length).every(byte => byte === 0))
    }
    await appendText(journal, 'and on')
    await journal.close()
    assert.deepEqual(await look(folder), [...TEXTS.slice(0, 3), 'and on'])
  }
})

test('whichever sectors of the last write a loss of power took, it is there whole or not at all', async t => {
  const root = await temporary(t)
  const { journal } = await replayed({ folder: join(root, 'whole') })
  await appendText(journal, 'kept')
  const { bytes: from } = journal.segments()[0]!
  const texts = ['a', 'b', 'c'].map(letter => letter.repeat(3_000))
  await appendText(journal, ...texts)
  const { bytes: to } = journal.segments()[0]!
  const [name] = await segmentFiles(join(root, 'whole'))
  const whole = readFileSync(join(root, 'whole', name!)).fill(0, to)
  await journal.close()
  const random = seededRandom(3)
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(whole)
    let lost = false
    for (let at = from; at < to; at = sectorBehind(at)) {
      if (random() > round / 60) continue
      bytes.fill(0, at, Math.min(sectorBehind(at), to))
      lost = true
    }
    const folder = join(root, 'torn')
    await place(folder, name!, bytes)
    assert.deepEqual(await look(folder), lost ? ['kept'] : ['kept', ...texts], `round ${round}`)
  }
})

function sectorBehind(at: number): number {
  return (Math.floor(at / 512) + 1) * 512
}

test('a recovery that was cut off is done again', async t => {
  const small = await makeSmall(t)
  const folder = join(await temporary(t), 'again')
  const [from] = small.last
  const bytes = Buffer.from(small.sudden).fill(0, from + 40)
  await place(folder, small.name, bytes)
  await look(folder)
  const [torn] = (await readdir(folder)).filter(name => name.endsWith('.torn'))
  const aside = await readFile(join(folder, torn!))
  // Moved aside, but half wiped out; then wiped out, but not marked.
  for (const wiped of [Buffer.from(bytes).fill(0, from, from + 10), Buffer.from(bytes).fill(0, from)]) {
    await writeFile(join(folder, small.name), wiped)
    assert.deepEqual(await look(folder), TEXTS.slice(0, 3))
    assert.deepEqual(await readFile(join(folder, torn!)), aside)
  }
})

test('text of a record that looks like a frame of the journal is only text', async t => {
  const folder = join(await temporary(t), 'hostile')
  const { journal } = await replayed({ folder })
  await appendText(journal, 'good')
  const [name] = await segmentFiles(folder)
  const path = join(folder, name!)
  const { bytes: end } = journal.segments()[0]!
  const quiet = readFileSync(path)
  await journal.append([quiet.subarray(0, end), quiet.subarray(0, end)])
  const { bytes: to } = journal.segments()[0]!
  const torn = readFileSync(path).fill(0, to - 5)
  await journal.close()
  await place(folder, name!, torn)
  assert.deepEqual(await look(folder), ['good'])
})

/** A journal of several segments, closed; one text in each. */
async function makeLong(t: TestContext): Promise<{ folder: string; names: string[]; texts: string[] }> {
  const folder = join(await temporary(t), 'long')
  const { journal } = await replayed({ folder, segmentBytes: 1000 })
  const texts = ['a', 'b', 'c', 'd'].map(letter => letter.repeat(900))
  for (const text of texts) await appendText(journal, text)
  await journal.close()
  const names = await segmentFiles(folder)
  assert.equal(names.length, 4)
  return { folder, names, texts }
}

test('a missing segment is found, wherever it was', async t => {
  const { folder, names } = await makeLong(t)
  for (const name of names) {
    await rename(join(folder, name), join(folder, 'aside'))
    await assert.rejects(textsOf({ folder }), { ...DAMAGED, message: /is missing/ }, name)
    await rename(join(folder, 'aside'), join(folder, name))
  }
  await rm(join(folder, names[2]!))
  await rm(join(folder, names[3]!))
  await assert.rejects(textsOf({ folder }), DAMAGED)
})

test('damage in an old segment is found, also at its end, and named', async t => {
  const { folder, names, texts } = await makeLong(t)
  const path = join(folder, names[1]!)
  const good = readFileSync(path)
  for (const bad of [good.subarray(0, -40), good.subarray(0, 500), Buffer.from(good).fill(0, 950)]) {
    await writeFile(path, bad)
    await assert.rejects(
      textsOf({ folder }),
      (error: { code: string; details: { path: string; offset: number } }) => {
        assert.equal(error.code, DAMAGED.code)
        assert.deepEqual([error.details.path, error.details.offset], [path, HEAD_BYTES])
        return true
      },
    )
  }
  const journal = await openFileJournal({ folder })
  await assert.rejects(
    journal.replay(() => {}),
    DAMAGED,
  )
  await assert.rejects(journal.append([Buffer.from('x')]), { code: 'SIGNALBOX_STORE_UNAVAILABLE' })
  await journal.close()
  await writeFile(path, good)
  assert.deepEqual(await textsOf({ folder }), texts)
})

test('a record that goes bad while the journal is open is not given out', async t => {
  const folder = join(await temporary(t), 'rot')
  const { journal } = await replayed({ folder })
  t.after(() => journal.close())
  const [good, bad, big] = await journal.append(
    ['good', 'this is it', 'x'.repeat(9000)].map(text => Buffer.from(text)),
  )
  const path = join(folder, (await segmentFiles(folder))[0]!)
  const bytes = readFileSync(path)
  const at = bytes.indexOf('this is it')
  bytes[at]! ^= 1
  bytes[at + 5000]! ^= 1
  writeFileSync(path, bytes)
  for (const position of [bad!, big!]) await assert.rejects(journal.read([good!, position]), DAMAGED)
  assert.deepEqual((await journal.read([good!])).map(String), ['good'])
})

test('files of something else, of another journal and of a newer version are refused and left as they are', async t => {
  const { folder, names } = await makeLong(t)
  const path = join(folder, names[3]!)
  const good = readFileSync(path)
  const newer = Buffer.from(good)
  newer.writeUInt32LE(2, 8)
  for (const bytes of [
    Buffer.from('hi'),
    Buffer.alloc(0),
    Buffer.alloc(5000),
    Buffer.from('x'.repeat(500)),
    newer,
  ]) {
    await writeFile(path, bytes)
    await assert.rejects(textsOf({ folder }), FOREIGN)
    assert.deepEqual(readFileSync(path), bytes)
  }
  const other = await makeLong(t)
  copyFileSync(join(other.folder, names[3]!), path)
  await assert.rejects(textsOf({ folder }), FOREIGN)
  copyFileSync(join(folder, names[2]!), path)
  await assert.rejects(textsOf({ folder }), { ...DAMAGED, message: /its name is not/ })
  await rm(path)
  await mkdir(path)
  await assert.rejects(textsOf({ folder }), { code: /FOREIGN|UNAVAILABLE/ })
})

test('segments that a crash left behind a trim are removed, and not read', async t => {
  const { folder, names, texts } = await makeLong(t)
  const before = `${folder}-before`
  await cp(folder, before, { recursive: true })
  const { journal } = await replayed({ folder })
  await journal.trim(journal.segments()[2]!.from)
  // As kill -9 leaves it: with what a trim removes last still there.
  const killed = `${folder}-killed`
  cpSync(folder, killed, { recursive: true })
  await journal.close()
  copyFileSync(join(before, names[0]!), join(killed, names[0]!))
  copyFileSync(join(before, names[1]!), join(killed, names[1]!))
  await writeFile(join(killed, '0000000000009999.journal.new'), 'half a segment')
  for (const name of await readdir(killed)) if (name.startsWith('owner')) await rm(join(killed, name))
  assert.deepEqual(await textsOf({ folder: killed }), texts.slice(2))
  assert.deepEqual(await segmentFiles(killed), names.slice(2))
  assert.ok(!(await readdir(killed)).some(name => name.endsWith('.new')))
  assert.deepEqual(await textsOf({ folder }), texts.slice(2))
})
