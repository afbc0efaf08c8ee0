/** Queues that hold much: memory stays small, others do not notice, and a start takes little time. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFileJournal } from '../../core/store/files/file-journal.ts'
import { MessageLog } from '../../core/store/messages/message-log.ts'
import { until } from '../load.ts'
import { BATCH, bus } from './kept-kit.ts'

const SLOW_MS = Number(process.env.SIGNALBOX_SLOW_MS ?? 8_000)
/** Messages published each millisecond. */
const PER_MS = 5
const QUEUED = Number(process.env.SIGNALBOX_QUEUED ?? 100_000)

test(`a consumer of one message a second for ${SLOW_MS} ms: memory stays, other queues do not notice`, async t => {
  const running = await bus(t)
  const start = Date.now()
  const end = start + SLOW_MS
  let published = 0
  let half = 0
  const load = async () => {
    while (Date.now() < end) {
      // No faster than the others: what is asked is what a backlog costs, not what a flood does.
      if (published > (Date.now() - start) * PER_MS) {
        await new Promise(resolve => setTimeout(resolve, 5))
        continue
      }
      const from = published
      published += BATCH
      assert.equal((await running.publish('slow', from, BATCH, 1_024))[0], 200)
    }
  }
  let others = 0
  const slowest = { ms: 0 }
  const other = async () => {
    while (Date.now() < end) {
      const began = performance.now()
      assert.equal((await running.publish('orders', others++, 1))[0], 200)
      slowest.ms = Math.max(slowest.ms, performance.now() - began)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const halfway = setTimeout(() => {
    half = process.memoryUsage.rss() / 1024 ** 2
  }, SLOW_MS / 2)
  t.after(() => clearTimeout(halfway))
  await Promise.all([load(), load(), load(), load(), other()])
  const { messages } = await running.log('slow')
  assert.ok(messages! > 0.9 * published - 2 * (SLOW_MS / 1_000), 'they wait on disk')
  await until(() => running.effects().length >= others, 'the other queue is handled')
  const megabytes = process.memoryUsage.rss() / 1024 ** 2
  const rate = Math.round((published * 1_000) / SLOW_MS)
  t.diagnostic(
    `${rate} messages/s, RSS ${half.toFixed(0)} then ${megabytes.toFixed(0)} MiB, slowest other publish ${slowest.ms.toFixed(0)} ms`,
  )
  // The test and its clients are in the same process. What waits, waits on disk: memory does not grow with it.
  assert.ok(megabytes < 1_024, `RSS ${megabytes} MiB`)
  assert.ok(megabytes - half < 256, `RSS ${half} MiB halfway, ${megabytes} MiB at the end`)
})

test(`a node with ${QUEUED} messages in a queue is ready within 3 s`, async t => {
  const running = await bus(t)
  await running.stop()
  const journal = await openFileJournal({
    folder: join(running.messages, 'queues', 'parcels'),
    lockFolder: running.messages,
  })
  const log = await MessageLog.open({ journal })
  const messages = Array.from({ length: 1_000 }, () => ({ content: Buffer.alloc(200, 'x') }))
  for (let i = 0; i < QUEUED; i += messages.length) await log.publish(messages)
  await log.close()
  const start = performance.now()
  await running.start()
  const ms = performance.now() - start
  assert.equal((await running.log('parcels')).messages, QUEUED)
  t.diagnostic(`ready after ${ms.toFixed(0)} ms`)
  assert.ok(ms < 3_000 * slowness(), `ready after ${ms} ms`)
})

/** On a machine that is shared a time is told by how long the same work takes there. */
function slowness(): number {
  const start = performance.now()
  let sum = 0
  for (let i = 0; i < 20_000_000; i++) sum += i % 7
  assert.ok(sum > 0)
  return Math.max(1, (performance.now() - start) / 20)
}
