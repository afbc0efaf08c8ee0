import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/conformance/wait.ts'
import type { SignalboxError } from '../../errors.ts'
import { appendText, replayed, segmentFiles, start, temporary, textsOf } from './journal-test-kit.ts'

const HAS_STRACE = !spawnSync('strace', ['-V']).error
/** Calls that strace counts are counted in each thread, so there must be one that makes them. */
const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' }
const SYNCS = { dsync: 'pwrite64,pwritev,pwritev2', fdatasync: 'fdatasync' } as const

interface Tries {
  taken: string[]
  codes: string[]
}

function strace(calls: string, action: string, path?: string): string[] {
  const only = path === undefined ? [] : ['-P', path]
  return [
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    ...only,
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${calls}:${action}`,
  ]
}

for (const sync of ['dsync', 'fdatasync'] as const) {
  test(`${sync}: an append is confirmed only when the disk has it`, async t => {
    if (!HAS_STRACE) return t.skip('strace is not installed')
    const folder = await temporary(t)
    // Each takes 150 ms longer to return: a confirmation that did not wait for one would be faster.
    const prefix = strace(SYNCS[sync], 'delay_exit=150000')
    const times = await start<number[]>('time', { folder, sync }, prefix).answer
    assert.equal(times.length, 3)
    assert.ok(
      times.every(time => time >= 150),
      `${times}`,
    )
  })

  test(`${sync}: what a failing disk did not take is refused and gone, and the next append is taken`, async t => {
    if (!HAS_STRACE) return t.skip('strace is not installed')
    const root = await temporary(t)
    for (const when of [1, 2, 5, 8]) {
      const folder = join(root, `${when}`)
      await mkdir(folder)
      const prefix = strace(SYNCS[sync], `error=EIO:when=${when}`)
      const { taken, codes } = await start<Tries>('tries', { folder, sync }, prefix, ONE_THREAD).answer
      assert.ok(codes.length <= 1, `${codes}`)
      assert.ok(codes.length === 1 || when === 1 || sync === 'dsync', `${when}`)
      for (const code of codes) {
        assert.match(
          code,
          /^SIGNALBOX_STORE_UNAVAILABLE: .*\.journal cannot be written: EIO.*the disk reports/,
        )
      }
      assert.equal(taken.length, 12 - codes.length)
      assert.deepEqual(await textsOf({ folder }), taken)
    }
  })
}

test('after a failed sync the file is not written again', async t => {
  if (!HAS_STRACE) return t.skip('strace is not installed')
  const folder = await temporary(t)
  // Only the third, so that all later ones claim that everything is well.
  const prefix = strace('fdatasync', 'error=EIO:when=3')
  const { taken, codes } = await start<Tries>('tries', { folder, sync: 'fdatasync' }, prefix, ONE_THREAD)
    .answer
  assert.deepEqual([taken.length, codes.length], [11, 1])
  assert.equal((await segmentFiles(folder)).length, 2)
  assert.deepEqual(await textsOf({ folder }), taken)
})

test('while the disk fails everything is refused, and afterwards there is what was confirmed and nothing else', async t => {
  if (!HAS_STRACE) return t.skip('strace is not installed')
  const folder = await temporary(t)
  const prefix = strace('fdatasync,fsync', 'error=EIO:when=4+')
  const { taken, codes } = await start<Tries>('tries', { folder, sync: 'fdatasync' }, prefix, ONE_THREAD)
    .answer
  assert.ok(taken.length > 0 && taken.length < 5, `${taken}`)
  assert.equal(codes.length, 12 - taken.length)
  assert.deepEqual(await textsOf({ folder }), taken)
})

test('too many open files: refused with what to do, and taken when there are fewer', async t => {
  if (!HAS_STRACE) return t.skip('strace is not installed')
  const folder = await temporary(t)
  await (await replayed({ folder })).journal.close()
  const prefix = strace('openat', 'error=EMFILE:when=1..3', join(folder, '0000000000000016.journal.new'))
  const { taken, codes } = await start<Tries>('tries', { folder }, prefix, ONE_THREAD).answer
  assert.ok(codes.length >= 1 && codes.length <= 3, `${codes}`)
  assert.equal(taken.length, 12 - codes.length)
  assert.match(codes[0]!, /^SIGNALBOX_STORE_UNAVAILABLE: .*EMFILE.*raise the limit of open files/)
  assert.deepEqual(await textsOf({ folder }), taken)
})

/** Mounts something in a folder for the time of a test; undefined when this process may not. */
async function mounted(t: TestContext, ...args: string[]): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined
  const path = await mkdtemp(join(tmpdir(), 'signalbox-disk-'))
  const { status } = spawnSync('mount', [...args, path])
  t.after(async () => {
    if (status === 0) assert.equal(spawnSync('umount', [path]).status, 0)
    await rm(path, { recursive: true })
  })
  return status === 0 ? path : undefined
}

const SMALL_DISK = ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs']

interface Filled {
  taken: number[]
  codes: string[]
  trimmed?: string
  after?: string
  oldest: number
}

test('a full disk refuses what adds, keeps what was confirmed, and trimming makes room again', async t => {
  const disk = await mounted(t, ...SMALL_DISK)
  if (disk === undefined) return t.skip('no right to mount a small disk')
  for (const reserveBytes of [0, 1_000_000]) {
    const folder = join(disk, `${reserveBytes}`)
    const options = { folder, reserveBytes, segmentBytes: 300_000 }
    const filled = await start<Filled>('fill', options).answer
    assert.ok(filled.taken.length > 500, `${filled.taken.length}`)
    assert.deepEqual(
      [...new Set(filled.codes.map(code => code.split(':')[0]))],
      ['SIGNALBOX_STORE_FULL'],
      `${filled.codes}`,
    )
    assert.equal(filled.trimmed, undefined)
    if (reserveBytes === 0) assert.equal(filled.after, undefined)
    const numbers = (await textsOf({ folder, segmentBytes: 300_000 })).map(text => Number.parseInt(text, 10))
    assert.deepEqual(numbers, filled.taken.slice(-numbers.length))
    assert.ok(numbers.length > 0 && numbers.length < 200)
  }
})

test('a full disk that is not made emptier keeps every record that was confirmed', async t => {
  const disk = await mounted(t, ...SMALL_DISK)
  if (disk === undefined) return t.skip('no right to mount a small disk')
  for (const [name, sync] of [
    ['a', 'dsync'],
    ['b', 'fdatasync'],
  ] as const) {
    const folder = join(disk, name)
    // One segment only: trimming frees nothing.
    const filled = await start<Filled>('fill', { folder, reserveBytes: 0, sync }).answer
    assert.match(filled.after ?? filled.codes[0]!, /^SIGNALBOX_STORE_FULL: .*free space on the disk/)
    const numbers = (await textsOf({ folder, reserveBytes: 0 })).map(text => Number.parseInt(text, 10))
    assert.deepEqual(numbers, filled.taken)
    // Leaves room for the next round.
    spawnSync('rm', ['-r', folder])
  }
})

test('a limit of the size of files is named, and what was confirmed is kept', async t => {
  if (process.platform === 'win32') return t.skip('no limit for the size of files')
  const folder = await temporary(t)
  const prefix = ['sh', '-c', 'ulimit -f 1024; exec "$0" "$@"']
  const { taken, codes } = await start<Filled>('fill', { folder }, prefix).answer
  assert.match(codes[0]!, /^SIGNALBOX_STORE_FULL: .*EFBIG.*ulimit -f/)
  const numbers = (await textsOf({ folder })).map(text => Number.parseInt(text, 10))
  assert.deepEqual(numbers, taken.slice(-numbers.length))
  assert.ok(taken.length > 100 && numbers.length > 0)
})

test('a read-only folder is a typed error that says what to do', async t => {
  const disk = await mounted(t, ...SMALL_DISK)
  if (disk === undefined) return t.skip('no right to mount a small disk')
  const folder = join(disk, 'journal')
  const { journal } = await replayed({ folder, reserveBytes: 0 })
  await appendText(journal, 'x')
  await journal.close()
  // Files that were used a moment ago can still be closing.
  await until(() => spawnSync('mount', ['-o', 'remount,ro', disk]).status === 0, 'the disk is read-only')
  await assert.rejects(textsOf({ folder }), {
    code: 'SIGNALBOX_STORE_UNAVAILABLE',
    message: /EROFS.*read-only/,
  })
})

test('a folder that cannot be changed for a while refuses, and takes records again afterwards', async t => {
  const folder = await mounted(t, ...SMALL_DISK)
  if (folder === undefined) return t.skip('no right to mount a small disk')
  const { journal } = await replayed({ folder, segmentBytes: 20_000, reserveBytes: 0 })
  t.after(() => journal.close())
  const texts = Array.from({ length: 30 }, (_, i) => `${i} `.padEnd(3000, '.'))
  const append = async (text: string) => {
    try {
      await appendText(journal, text)
      return true
    } catch (error) {
      const { code, message } = error as SignalboxError
      assert.equal(code, 'SIGNALBOX_STORE_UNAVAILABLE')
      assert.match(message, /EPERM.*give the user of this process the right/)
      return false
    }
  }
  assert.ok(await append(texts[0]!))
  const taken = [texts[0]!]
  if (spawnSync('chattr', ['+i', folder]).status !== 0) return t.skip('there are no immutable folders here')
  for (const text of texts.slice(1, 15)) if (await append(text)) taken.push(text)
  assert.ok(taken.length < 15)
  spawnSync('chattr', ['-i', folder])
  for (const text of texts.slice(15)) {
    assert.ok(await append(text))
    taken.push(text)
  }
  await journal.close()
  assert.deepEqual(await textsOf({ folder, reserveBytes: 0 }), taken)
})
