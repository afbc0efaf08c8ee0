/** Durable messages: published on disk before the answer, consumed and acknowledged, read again after a restart. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProject } from '../cli/start.ts'
import { openFileJournal } from '../core/store/files/file-journal.ts'
import { MessageLog } from '../core/store/messages/message-log.ts'
import { inFlight, median, medians, QUICK, ROUNDS } from './measure.ts'
import type { BenchRow } from './row.ts'

const PROJECT = fileURLToPath(new URL('projects/keeper', import.meta.url))
const CONTENT = Buffer.alloc(200, 'signalbox ')
const ROUND_MS = QUICK ? 300 : 1_000
const REPLAYED = QUICK ? 2_000 : 1_000_000
const PUBLISH_GOALS: Record<number, string> = { 64: 'at least 150 k/s', 1000: 'at least 400 k/s' }
const SUBSCRIPTION = 'queue'

async function logIn(folder: string): Promise<MessageLog> {
  const journal = await openFileJournal({ folder, reserveBytes: 0 })
  const log = await MessageLog.open({ journal })
  await log.subscribe(SUBSCRIPTION, {}, { at: 'beginning' })
  return log
}

async function rateOf(lanes: number, run: () => Promise<unknown>): Promise<number> {
  let done = 0
  const start = performance.now()
  while (performance.now() - start < ROUND_MS) {
    await inFlight(lanes, lanes * 20, run)
    done += lanes * 20
  }
  return (done / (performance.now() - start)) * 1_000
}

/** Beside it the journal alone, which is the limit: a log that writes each message as one record of it. */
async function publishes(folder: string, lanes: number): Promise<BenchRow> {
  const log = await logIn(join(folder, `log-${lanes}`))
  const journal = await openFileJournal({ folder: join(folder, `journal-${lanes}`), reserveBytes: 0 })
  await journal.replay(() => {})
  const record = Buffer.alloc(CONTENT.length + 44, 1)
  const ways = {
    log: () => rateOf(lanes, () => log.publish([{ content: CONTENT }])),
    limit: () => rateOf(lanes, () => journal.append([record])),
  }
  const { log: value, limit } = await medians(ways, measure => measure())
  await log.close()
  await journal.close()
  return {
    name: `messages: publish 200 bytes, on disk first, ${lanes.toLocaleString('en')} in flight`,
    value: Math.round(value!),
    unit: 'messages/s',
    limit: Math.round(limit!),
    goal: PUBLISH_GOALS[lanes]!,
  }
}

/** Publishers and consumers at the same time; counts what was acknowledged. */
async function throughLog(log: MessageLog): Promise<number> {
  let settled = 0
  const end = performance.now() + ROUND_MS
  const start = performance.now()
  const publish = async () => {
    while (performance.now() < end) await log.publish([{ content: CONTENT }])
  }
  const consume = async () => {
    for (;;) {
      const taken = await log.take(SUBSCRIPTION, 64)
      if (taken.length === 0) {
        if (performance.now() >= end) return
        await new Promise<void>(resolve => setImmediate(resolve))
        continue
      }
      await log.settle(
        SUBSCRIPTION,
        taken.map(({ message: { seq }, lease }) => ({ seq, lease })),
      )
      settled += taken.length
    }
  }
  await Promise.all([...Array.from({ length: 1_000 }, publish), ...Array.from({ length: 16 }, consume)])
  return (settled / (performance.now() - start)) * 1_000
}

async function endToEnd(folder: string): Promise<BenchRow> {
  const log = await logIn(join(folder, 'through'))
  const { through } = await medians({ through: () => throughLog(log) }, measure => measure())
  await log.close()
  return {
    name: 'messages: publish, consume and acknowledge 200 bytes, both on disk first',
    value: Math.round(through!),
    unit: 'messages/s',
    goal: 'at least 100 k/s',
  }
}

async function replays(folder: string): Promise<BenchRow> {
  const first = await logIn(folder)
  const batch = Array.from({ length: 1_000 }, () => ({ content: CONTENT }))
  for (let i = 0; i < REPLAYED; i += batch.length) await first.publish(batch)
  await first.close()
  const times: number[] = []
  const limit: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const bare = performance.now()
    const journal = await openFileJournal({ folder, reserveBytes: 0 })
    await journal.replay(() => {})
    limit.push(performance.now() - bare)
    await journal.close()
    const start = performance.now()
    const log = await logIn(folder)
    times.push(performance.now() - start)
    const { messages } = log.counts()
    await log.close()
    if (messages !== REPLAYED) throw new Error(`${messages} messages of ${REPLAYED}`)
  }
  return {
    name: `messages: open a queue of ${REPLAYED.toLocaleString('en')} messages`,
    value: median(times),
    unit: 'ms',
    limit: median(limit),
    goal: 'at most 3,000 ms',
  }
}

/** `this.enqueue` in two workers at the same time, each with half of the lanes. */
async function throughBus(state: string, lanes: number): Promise<BenchRow> {
  const { node, stop } = await startProject(PROJECT, { stateFolder: state, workers: 2 })
  try {
    const flood = async () => {
      const payload = { ms: ROUND_MS, lanes: lanes / 2 }
      const request = { to: 'service/flood', payload, timeoutMs: 60_000 }
      const start = performance.now()
      const counts = await Promise.all(node.host.workers.map(worker => worker.request('ask', request)))
      return ((counts as number[]).reduce((a, b) => a + b) / (performance.now() - start)) * 1_000
    }
    const { value } = await medians({ value: flood }, measure => measure())
    return {
      name: `messages: enqueue in services of two workers, on disk first, ${lanes.toLocaleString('en')} in flight`,
      value: Math.round(value!),
      unit: 'messages/s',
    }
  } finally {
    await stop()
  }
}

export async function run(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  try {
    const rows: BenchRow[] = []
    for (const lanes of [64, 1_000]) rows.push(await publishes(folder, lanes))
    rows.push(await endToEnd(folder))
    rows.push(await throughBus(join(folder, 'state'), 1_000))
    rows.push(await replays(join(folder, 'replay')))
    return rows
  } finally {
    rmSync(folder, { recursive: true })
  }
}
