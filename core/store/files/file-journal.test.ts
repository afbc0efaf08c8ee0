import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { mkdir, readdir, truncate, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../../../test/conformance/wait.ts'
import { TestClock } from '../../clock.ts'
import type { SignalboxError } from '../../errors.ts'
import { openFileJournal } from './file-journal.ts'
import { appendText, kill, replayed, segmentFiles, start, temporary, textsOf } from './journal-test-kit.ts'

const LOCKED = { code: 'SIGNALBOX_STORE_LOCKED', retryable: true }

test('one process at a time: a second is refused, a dead one is replaced', async t => {
  const folder = await temporary(t)
  const { child, answer } = start('hold', { folder })
  t.after(() => kill(child))
  assert.equal(await answer, 'open')
  await assert.rejects(openFileJournal({ folder }), {
    ...LOCKED,
    message: new RegExp(`process ${child.pid} on`),
  })
  await kill(child)
  const journal = await openFileJournal({ folder })
  await assert.rejects(openFileJournal({ folder }), { ...LOCKED, message: /this process itself/ })
  const refused = await start<{ code: string }>('hold', { folder }).answer
  assert.equal(refused.code, LOCKED.code)
  await journal.close()
  await (await openFileJournal({ folder })).close()
  // Owners that are gone leave no heap of files.
  assert.deepEqual(await readdir(folder), ['owner.3.json'])
})

test('an owner on another host is dead after 30 s, one with a pid that another process has now at once', async t => {
  const folder = await temporary(t)
  const path = join(folder, 'owner.7.json')
  const owner = { id: 'x', pid: process.ppid, host: 'elsewhere', startedAt: '1' }
  await writeFile(path, JSON.stringify(owner))
  await assert.rejects(openFileJournal({ folder }), LOCKED)
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(path, longAgo, longAgo)
  await (await openFileJournal({ folder })).close()
  await writeFile(join(folder, 'owner.9.json'), '')
  await (await openFileJournal({ folder })).close()
  if (process.platform !== 'linux') return
  await writeFile(join(folder, 'owner.11.json'), JSON.stringify({ ...owner, host: hostname() }))
  await (await openFileJournal({ folder })).close()
})

test('of several processes that start at once one gets the journal, also from a dead owner', async t => {
  const folder = await temporary(t)
  const first = start('hold', { folder })
  await first.answer
  await kill(first.child)
  const children = Array.from({ length: 4 }, () => start('hold', { folder }))
  t.after(() => Promise.all(children.map(({ child }) => kill(child))))
  const answers = await Promise.all(children.map(({ answer }) => answer))
  assert.equal(answers.filter(answer => answer === 'open').length, 1, JSON.stringify(answers))
})

test('journals that share the lock of a folder are locked against other processes together', async t => {
  const lockFolder = await temporary(t)
  const folders = ['a', 'b'].map(name => join(lockFolder, name))
  const journals = await Promise.all(folders.map(folder => openFileJournal({ folder, lockFolder })))
  await assert.rejects(openFileJournal({ folder: folders[0]!, lockFolder }), LOCKED)
  await journals[0]!.close()
  const refused = await start<{ code: string }>('hold', { folder: folders[0]!, lockFolder }).answer
  assert.equal(refused.code, LOCKED.code)
  await journals[1]!.close()
  const { child, answer } = start('hold', { folder: folders[0]!, lockFolder })
  t.after(() => kill(child))
  assert.equal(await answer, 'open')
})

test('the owner shows that it lives, with one timer for all journals', async t => {
  const root = await temporary(t)
  const clock = new TestClock()
  const folders = Array.from({ length: 20 }, (_, i) => join(root, `${i}`))
  const journals = await Promise.all(folders.map(folder => openFileJournal({ folder, clock })))
  assert.equal(clock.pending, 1)
  const path = join(folders[7]!, 'owner.1.json')
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(path, longAgo, longAgo)
  clock.advance(5_000)
  assert.ok(Date.now() - statSync(path).mtimeMs < 30_000)
  assert.equal(clock.pending, 1)
  for (const journal of journals) await journal.close()
  assert.equal(clock.pending, 0)
})

test('hundreds of idle journals keep few files open, and no timers', async t => {
  if (process.platform !== 'linux') return t.skip('there is no /proc')
  const root = await temporary(t)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  const journals = await Promise.all(
    Array.from({ length: 400 }, async (_, i) => {
      const { journal } = await replayed({ folder: join(root, `${i}`), lockFolder: root })
      const [position] = await journal.append([Buffer.from(`journal ${i}`)])
      return { journal, position: position! }
    }),
  )
  await until(() => open() < before + 150, 'few open files')
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout')
  assert.ok(timers.length <= 2, `${timers.length} timers`)
  for (const [i, { journal, position }] of journals.entries()) {
    assert.equal(String((await journal.read([position]))[0]), `journal ${i}`)
  }
  await Promise.all(journals.map(({ journal }) => journal.close()))
  await until(() => open() <= before + 2, 'no open files')
})

test('appends that wait are bounded', async t => {
  const folder = await temporary(t)
  const limits = { maxRecordBytes: 10_000, maxWaitingBytes: 50_000 }
  const { journal } = await replayed({ folder, ...limits })
  t.after(() => journal.close())
  const record = Buffer.alloc(10_000, 'x')
  const calls = Array.from({ length: 10 }, () => journal.append([record]))
  const results = await Promise.allSettled(calls)
  const refused = results.flatMap(result =>
    result.status === 'rejected' ? [result.reason as SignalboxError] : [],
  )
  assert.equal(refused.length, 6)
  for (const { code, retryable } of refused)
    assert.deepEqual([code, retryable], ['SIGNALBOX_OVERLOADED', true])
  await journal.append([record])
  const tooMany = Array.from({ length: 6 }, () => record)
  await assert.rejects(journal.append(tooMany), {
    code: 'SIGNALBOX_STORE_ENTRY_INVALID',
    message: /at most 50000/,
  })
})

test('below the reserve only what frees room is taken', async t => {
  const folder = await temporary(t)
  const { journal } = await replayed({ folder, reserveBytes: Number.MAX_SAFE_INTEGER })
  await assert.rejects(appendText(journal, 'adds'), { code: 'SIGNALBOX_STORE_FULL', message: /kept back/ })
  await journal.append([Buffer.from('frees')], { useReserve: true })
  await journal.close()
  assert.deepEqual(await textsOf({ folder }), ['frees'])
})

test('a call larger than a segment has one of its own', async t => {
  const folder = await temporary(t)
  const options = { folder, segmentBytes: 1_000, maxRecordBytes: 200_000 }
  const { journal } = await replayed(options)
  const texts = ['small', 'x'.repeat(200_000), 'y'.repeat(5_000), 'small again']
  for (const text of texts) await appendText(journal, text)
  const many = Array.from({ length: 3_000 }, (_, i) => `${i} `.repeat(20))
  await appendText(journal, ...many)
  await journal.close()
  assert.equal((await segmentFiles(folder)).length, 5)
  assert.deepEqual(await textsOf(options), [...texts, ...many])
})

test('a journal that cannot be read leaves no file open', async t => {
  if (process.platform !== 'linux') return t.skip('there is no /proc')
  const folder = await temporary(t)
  const { journal } = await replayed({ folder, segmentBytes: 100 })
  for (const text of ['a', 'b', 'c']) await appendText(journal, text.repeat(100))
  await journal.close()
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  const [, , name] = await segmentFiles(folder)
  await truncate(join(folder, name!), 100)
  await assert.rejects(textsOf({ folder }), { code: 'SIGNALBOX_STORE_DAMAGED' })
  await until(() => open() <= before, 'no open files')
})

test('options that cannot be are refused, and leave nothing locked', async t => {
  const folder = await temporary(t)
  for (const bad of [
    { segmentBytes: -1 },
    { segmentBytes: 2 ** 31 },
    { maxRecordBytes: 1.5 },
    { maxRecordBytes: 2 ** 27 },
    { maxWaitingBytes: 2 ** 40 },
    { reserveBytes: Number.NaN },
  ]) {
    await assert.rejects(
      openFileJournal({ folder, ...bad }),
      { code: 'SIGNALBOX_OPTIONS_INVALID' },
      JSON.stringify(bad),
    )
  }
  await mkdir(join(folder, 'x'))
  await writeFile(join(folder, 'file'), '')
  const unavailable = { code: 'SIGNALBOX_STORE_UNAVAILABLE' }
  await assert.rejects(openFileJournal({ folder: join(folder, 'file', 'journal') }), unavailable)
  await assert.rejects(openFileJournal({ folder: join(folder, 'file') }), unavailable)
  await (await openFileJournal({ folder })).close()
})
