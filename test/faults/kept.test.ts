/** What is kept survives whatever happens to disks, consumers and workers. Environment variables make the runs long. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BackupView } from '../../cli/keeper-boot.ts'
import { openFileJournal } from '../../core/store/files/file-journal.ts'
import { MessageLog } from '../../core/store/messages/message-log.ts'
import { fixture } from '../fixture.ts'
import { until } from '../load.ts'
import { Bus, bus } from './kept-kit.ts'

const WORKER_KILLS = Number(process.env.SIGNALBOX_WORKER_KILLS ?? 10)
const POISON_CROWD = Number(process.env.SIGNALBOX_POISON_CROWD ?? 2_000)

test(`${WORKER_KILLS} workers die between the effect of a message and its acknowledgement: each has an effect, soon again`, async t => {
  const every = 50
  const count = WORKER_KILLS * every
  const running = await bus(t, { SIGNALBOX_TEST_DEADLY: String(every) })
  await running.publishAll('mortal', count)
  const numbers = () => new Set(running.effects().map(({ number }) => number))
  await until(() => numbers().size === count, 'every message had its effect', 30_000 + 2_000 * WORKER_KILLS)
  await until(
    async () => (await running.log('mortal')).messages === 0,
    'every message is acknowledged',
    60_000,
  )
  const byNumber = Map.groupBy(running.effects(), ({ number }) => number)
  const again = [...byNumber].filter(([number]) => number % every === 0)
  assert.equal(again.length, WORKER_KILLS)
  let slowest = 0
  for (const [number, effects] of again) {
    assert.ok(effects.length >= 2, `${number} was delivered again`)
    slowest = Math.max(slowest, effects[1]!.at - effects[0]!.at)
  }
  for (const [number, effects] of byNumber) {
    assert.equal(new Set(effects.map(({ seq }) => seq)).size, 1, `${number} is in the queue once`)
  }
  assert.ok(slowest < 10_000, `delivered again after ${slowest} ms`)
  t.diagnostic(`delivered again after at most ${slowest} ms`)
})

test(`a poisonous message is a dead letter after 5 attempts; ${POISON_CROWD} behind it are not held up`, async t => {
  const running = await bus(t, { SIGNALBOX_TEST_POISON: '0' })
  const startedAt = Date.now()
  await running.publishAll('orders', POISON_CROWD)
  const publishedAt = Date.now()
  await until(() => running.effects().length >= POISON_CROWD - 1, 'the others are handled', 60_000)
  const late = Math.max(...running.effects().map(({ at }) => at)) - publishedAt
  await until(async () => (await running.log('orders')).dead === 1, 'it is dead')
  const page = await running.keeper<{ messages: { attempts: number; failure: Record<string, unknown> }[] }>(
    'browseLog',
    { kind: 'queue', name: 'orders', states: ['dead'] },
  )
  const [dead] = page.messages
  assert.equal(dead!.attempts, 5)
  assert.match(String(dead!.failure.message), /poison/)
  const details = dead!.failure.details as Record<string, string>
  assert.match(details.stack!, /book\.ts/)
  assert.match(details.worker!, /\/\d+$/)
  assert.ok(details.cid, 'it can be found by its correlation id')
  t.diagnostic(`published in ${publishedAt - startedAt} ms; the last other one ${late} ms later`)
  assert.ok(late < 1_000 + (publishedAt - startedAt) / 2, `${late} ms`)
})

test('a damaged queue is left alone with a clear message, the others serve; a backup repairs it', async t => {
  const running = await bus(t)
  await running.publishAll('parcels', 500)
  const backup = join(running.folder, 'backup')
  const view = await running.keeper<BackupView>('backup', { to: backup })
  assert.deepEqual(view, { folder: backup, missing: [] })
  await assert.rejects(running.keeper('backup', { to: backup }), { code: 'SIGNALBOX_USAGE' })
  await running.stop()
  const folder = join(running.messages, 'queues', 'parcels')
  flipBit(folder)
  await running.start()
  const { error, messages } = await running.log('parcels')
  assert.equal(messages, undefined)
  assert.equal(error!.code, 'SIGNALBOX_STORE_DAMAGED')
  assert.match(error!.message, /parcels.* is damaged: .*; put a backup in the place of the folder/)
  await running.publishAll('orders', 100)
  await until(() => running.effects().length >= 100, 'another queue serves')
  assert.notEqual((await running.publish('parcels', 0, 1))[0], 200)
  await running.stop()
  rmSync(folder, { recursive: true })
  cpSync(join(backup, 'queues', 'parcels'), folder, { recursive: true })
  await running.start()
  assert.equal((await running.log('parcels')).messages, 500)
})

/** Of the oldest file, in the middle of what was written. */
function flipBit(folder: string): void {
  const [name] = readdirSync(folder)
    .filter(file => statSync(join(folder, file)).size > 10_000)
    .sort()
  const path = join(folder, name!)
  const bytes = readFileSync(path)
  const at = bytes.indexOf('number') + 1
  assert.ok(at > 0, 'there is a message to damage')
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
}

test('a backup under load is what had been acknowledged, and can be opened elsewhere', async t => {
  const running = await bus(t)
  let next = 0
  let isOver = false
  const times: { ms: number; during: boolean }[] = []
  let during = false
  const load = async () => {
    while (!isOver) {
      const from = next
      next += 10
      const start = performance.now()
      const [status] = await running.publish('parcels', from, 10, 200)
      times.push({ ms: performance.now() - start, during })
      assert.equal(status, 200)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  const loading = load()
  await until(() => times.length > 50, 'load before')
  during = true
  const before = times.length * 10
  const backup = join(running.folder, 'backup')
  await running.keeper('backup', { to: backup })
  const after = next
  during = false
  await until(() => times.length > 120, 'load after')
  isOver = true
  await loading
  const p99 = (of: boolean) => {
    const sorted = times.filter(time => time.during === of).map(({ ms }) => ms)
    return sorted.sort((a, b) => a - b)[Math.floor(sorted.length * 0.99)] ?? 0
  }
  t.diagnostic(`p99 ${p99(false).toFixed(1)} ms, during the backup ${p99(true).toFixed(1)} ms`)
  const journal = await openFileJournal({ folder: join(backup, 'queues', 'parcels'), reserveBytes: 0 })
  const copy = await MessageLog.open({ journal })
  const { messages } = copy.counts()
  await copy.close()
  assert.ok(messages >= before && messages <= after, `${before} <= ${messages} <= ${after}`)
})

test('a full disk: publishers are told 507, consumers go on, it serves again when there is room', {
  skip: cannotMount(),
}, async t => {
  const folder = fixture({})
  const disk = join(folder.path, 'state')
  mkdirSync(disk)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', disk])
  t.after(() => {
    execFileSync('umount', ['-l', disk])
    folder[Symbol.dispose]()
  })
  await using running = await new Bus(folder.path).start()
  await running.publishAll('orders', 200)
  await until(() => running.effects().length === 200, 'it works')
  const { bavail, bsize } = await statOf(disk)
  const ballast = join(disk, 'ballast')
  // Less than what is kept back for those who free space.
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 24 * 1024 * 1024))
  let acknowledged = 0
  let problem = ''
  await until(
    async () => {
      const [status, body] = await running.publish('parcels', acknowledged, 1, 1_000)
      if (status === 200) acknowledged++
      problem = body
      return status === 507
    },
    'a publisher is told',
    30_000,
  )
  assert.match(problem, /SIGNALBOX_STORE_FULL/)
  assert.equal((await running.log('parcels')).messages, acknowledged)
  rmSync(ballast)
  const start = Date.now()
  await until(async () => (await running.publish('orders', 1_000, 10))[0] === 200, 'it serves again', 5_000)
  t.diagnostic(`${acknowledged} acknowledged when it was full; served again after ${Date.now() - start} ms`)
  await until(() => running.effects().length === 210, 'what was published is handled')
})

async function statOf(folder: string) {
  const { statfs } = await import('node:fs/promises')
  return statfs(folder)
}

function cannotMount(): string | false {
  const probe = fixture({})
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe.path], { stdio: 'ignore' })
    execFileSync('umount', [probe.path])
    return false
  } catch {
    return 'mounting a file system takes root on Linux'
  } finally {
    probe[Symbol.dispose]()
  }
}

test('a queue whose folder cannot be used says so, and serves without a restart when it can', async t => {
  const running = await bus(t)
  await running.publishAll('parcels', 10)
  await running.stop()
  const folder = join(running.messages, 'queues', 'parcels')
  const aside = `${folder}.aside`
  renameSync(folder, aside)
  // Root may write everywhere, so a right that is missing would not keep it out: a file in the place of a folder does.
  writeFileSync(folder, '')
  chmodSync(folder, 0o400)
  await running.start()
  const { error } = await running.log('parcels')
  assert.equal(error!.code, 'SIGNALBOX_STORE_UNAVAILABLE')
  assert.match(error!.message, /parcels/)
  await running.publishAll('orders', 10)
  rmSync(folder)
  renameSync(aside, folder)
  await until(async () => (await running.log('parcels')).messages === 10, 'it serves')
  assert.equal((await running.publish('parcels', 100, 1))[0], 200)
})
