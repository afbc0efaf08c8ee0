import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import { within } from '../../../test/conformance/wait.ts'
import { openLmdbStore } from './lmdb-store.ts'

const CHILD = fileURLToPath(new URL('lmdb-test-child.ts', import.meta.url))

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-lmdb-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** Starts a child; its first line of output is an answer in JSON. */
function start(
  command: string,
  args: string[],
): { child: ChildProcess; answer: Promise<Record<string, unknown>> } {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const answer = (async () => {
    let text = ''
    for await (const part of child.stdout) {
      text += String(part)
      if (text.includes('\n')) return JSON.parse(text) as Record<string, unknown>
    }
    throw new Error(`no answer, exit code ${child.exitCode}, signal ${child.signalCode}`)
  })()
  return { child, answer: within(answer, 'an answer of the child', 60_000) }
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

test('a file that is no store is refused and left as it is', async t => {
  const folder = await temporary(t)
  const path = join(folder, 'store.mdb')
  for (const content of ['hi', 'x'.repeat(10_000), Buffer.alloc(10_000)]) {
    await writeFile(path, content)
    await assert.rejects(openLmdbStore({ folder }), { code: 'SIGNALBOX_STORE_FOREIGN' })
    assert.deepEqual(await readFile(path), Buffer.from(content))
  }
  await rm(path)
  await mkdir(path)
  await assert.rejects(openLmdbStore({ folder }), { code: /SIGNALBOX_STORE_(FOREIGN|UNAVAILABLE)/ })
})

test('an LMDB file of something else is refused', async t => {
  const folder = await temporary(t)
  const env = open({ path: join(folder, 'store.mdb'), noSubdir: true })
  await env.put('x', 1)
  await env.close()
  await assert.rejects(openLmdbStore({ folder }), { code: 'SIGNALBOX_STORE_FOREIGN' })
  await assert.rejects(openLmdbStore({ folder }), { code: 'SIGNALBOX_STORE_FOREIGN' })
  assert.ok(!(await readdir(folder)).includes('owner.json'))
})

test('a folder that cannot be used is a typed error', async t => {
  const folder = await temporary(t)
  await writeFile(join(folder, 'file'), '')
  await assert.rejects(openLmdbStore({ folder: join(folder, 'file', 'store') }), {
    code: 'SIGNALBOX_STORE_UNAVAILABLE',
  })
})

test('a folder without the right to write is a typed error', async t => {
  if (process.getuid?.() === 0) return t.skip('root may write everywhere')
  const folder = await temporary(t)
  await chmod(folder, 0o500)
  await assert.rejects(openLmdbStore({ folder }), { code: 'SIGNALBOX_STORE_UNAVAILABLE' })
})

test('a file that was cut off is refused', async t => {
  const folder = await temporary(t)
  const store = await openLmdbStore({ folder })
  for (let i = 0; i < 100; i++) await store.put('a', `k${i}`, 'x'.repeat(1000))
  await store.close()
  const path = join(folder, 'store.mdb')
  const { size } = await stat(path)
  for (const length of [size - 4096, 4096, 100]) {
    await truncate(path, length)
    await assert.rejects(openLmdbStore({ folder }), { code: /SIGNALBOX_STORE_(DAMAGED|FOREIGN)/ })
  }
})

test('a flipped bit in a record is found when it is read, and the record can be written again', async t => {
  const folder = await temporary(t)
  const store = await openLmdbStore({ folder })
  await store.put('a', 'good', 1)
  const { revision } = await store.put('a', 'bad', 'this is the text')
  await store.close()
  const path = join(folder, 'store.mdb')
  const bytes = await readFile(path)
  for (let at = bytes.indexOf('this is'); at >= 0; at = bytes.indexOf('this is', at + 1)) bytes[at]! ^= 0x20
  await writeFile(path, bytes)
  const again = await openLmdbStore({ folder })
  t.after(() => again.close())
  const damaged = { code: 'SIGNALBOX_STORE_DAMAGED', message: /record a\/bad/ }
  await assert.rejects(again.get('a', 'bad'), damaged)
  await assert.rejects(again.list('a'), damaged)
  await assert.rejects(again.put('a', 'bad', 1, { ifRevision: revision }), damaged)
  assert.equal((await again.get('a', 'good'))?.value, 1)
  assert.deepEqual(
    (await again.verify()).map(({ place }) => place),
    ['record a/bad'],
  )
  await again.put('a', 'bad', 'mended')
  assert.deepEqual(await again.verify(), [])
})

test('wherever a bit flips, no wrong value is read', async t => {
  const folder = await temporary(t)
  const store = await openLmdbStore({ folder })
  for (let i = 0; i < 200; i++) await store.put('a', `k${i}`, `${i}`.repeat(20))
  await store.close()
  const path = join(folder, 'store.mdb')
  const good = await readFile(path)
  for (let round = 0; round < 12; round++) {
    const bytes = Buffer.from(good)
    const at = Math.floor(((round + 0.5) * bytes.length) / 12) + ((round * 37) % 300)
    bytes[at]! ^= 1 << (round % 8)
    await writeFile(path, bytes)
    const { child, answer } = start(process.execPath, [CHILD, folder, 'read'])
    const { codes = [] } = (await answer) as { codes?: string[] }
    assert.ok(!codes.includes('WRONG'), `byte ${at}`)
    await kill(child)
  }
})

test('one process at a time: a second is refused, a dead one is replaced', async t => {
  const folder = await temporary(t)
  const locked = { code: 'SIGNALBOX_STORE_LOCKED', retryable: true }
  const { child, answer } = start(process.execPath, [CHILD, folder])
  t.after(() => child.kill('SIGKILL'))
  assert.equal(await answer, 'open')
  await assert.rejects(openLmdbStore({ folder }), {
    ...locked,
    message: new RegExp(`process ${child.pid} on`),
  })
  await kill(child)
  const store = await openLmdbStore({ folder })
  await assert.rejects(openLmdbStore({ folder }), { ...locked, message: /this process itself/ })
  assert.deepEqual(await start(process.execPath, [CHILD, folder]).answer, { code: 'SIGNALBOX_STORE_LOCKED' })
  await store.close()
  await (await openLmdbStore({ folder })).close()
})

test('an owner with a pid that another process has now is dead, one on another host after 30 s', async t => {
  const folder = await temporary(t)
  const path = join(folder, 'owner.json')
  const owner = { id: 'x', pid: process.ppid, host: 'elsewhere', startedAt: '1' }
  await writeFile(path, JSON.stringify(owner))
  await assert.rejects(openLmdbStore({ folder }), { code: 'SIGNALBOX_STORE_LOCKED' })
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(path, longAgo, longAgo)
  await (await openLmdbStore({ folder })).close()
  await writeFile(path, '')
  await (await openLmdbStore({ folder })).close()
  if (process.platform !== 'linux') return
  const { hostname } = await import('node:os')
  await writeFile(path, JSON.stringify({ ...owner, host: hostname() }))
  await (await openLmdbStore({ folder })).close()
})

test('of several processes that start at once one gets the store, also from a dead owner', async t => {
  const folder = await temporary(t)
  const first = start(process.execPath, [CHILD, folder])
  await first.answer
  await kill(first.child)
  const children = Array.from({ length: 4 }, () => start(process.execPath, [CHILD, folder]))
  t.after(() => Promise.all(children.map(({ child }) => child.exitCode ?? kill(child))))
  const answers = await Promise.all(children.map(({ answer }) => answer))
  assert.equal(answers.filter(answer => (answer as unknown) === 'open').length, 1, JSON.stringify(answers))
})

test('a full store refuses what adds, and takes deletes', async t => {
  const folder = await temporary(t)
  const store = await openLmdbStore({ folder, maxBytes: 200_000 })
  t.after(() => store.close())
  const full = { code: 'SIGNALBOX_STORE_FULL', status: 507, retryable: true }
  await assert.rejects(async () => {
    for (let i = 0; i < 1000; i++) await store.put('a', `k${i}`, 'x'.repeat(3000))
  }, full)
  await assert.rejects(store.append('log', 1), full)
  assert.equal(await store.delete('a', 'k0'), true)
  assert.deepEqual(await store.verify(), [])
})

test('a full disk refuses what adds, keeps what was there, and goes on when there is room', async t => {
  if (process.platform === 'win32') return t.skip('no limit for the size of files')
  const folder = await temporary(t)
  // A limit of the size of files fails the write as a full disk does, and needs no rights.
  const shell = `ulimit -f 1024; exec "$0" "$1" "$2" fill`
  const { answer } = start('sh', ['-c', shell, process.execPath, CHILD, folder])
  const { count, code, kept, after, damage } = await answer
  assert.equal(code, 'SIGNALBOX_STORE_FULL')
  assert.ok((count as number) > 20)
  assert.equal(kept, count)
  assert.equal(after, undefined)
  assert.deepEqual(damage, [])
  const store = await openLmdbStore({ folder })
  assert.equal((await store.list('a')).length, (count as number) - 49)
  await store.close()
})
