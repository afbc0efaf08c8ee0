/** Appends to a journal, each call one record, on disk before the answer; and replay. */
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { open } from 'lmdb'
import { openFileJournal } from '../core/store/files/file-journal.ts'
import { inFlight, median, medians, QUICK, ROUNDS } from './measure.ts'
import type { BenchRow } from './row.ts'

const RECORD = Buffer.alloc(200, 'signalbox ')
/** What a record of 200 bytes takes in the file. */
const STORED_BYTES = 208
const ROUND_MS = QUICK ? 20 : 1_000
const REPLAYED = QUICK ? 2_000 : 1_000_000
const CHUNK_BYTES = 1024 * 1024

const GOALS: Record<number, string> = {
  64: 'at least 150 k/s; at least 1.2x lmdb',
  1000: 'at least 400 k/s; at least 1.2x lmdb',
}

interface Subject {
  append(): Promise<unknown>
  close(): Promise<unknown>
}

async function journalIn(folder: string): Promise<Subject> {
  const journal = await openFileJournal({ folder, reserveBytes: 0 })
  await journal.replay(() => {})
  return { append: () => journal.append([RECORD]), close: () => journal.close() }
}

/** The key-value store of the bus, which confirms a put when it is synced. */
async function lmdbIn(folder: string): Promise<Subject> {
  const env = open<Buffer, number>({ path: folder, encoding: 'binary', overlappingSync: false })
  let key = 0
  return { append: () => env.put(key++, RECORD), close: () => env.close() }
}

/** A file that is there already, to which so many records at once are written and synced: no disk takes more. */
function bareIn(path: string, records: number): () => number {
  const bytes = Buffer.alloc(records * STORED_BYTES, 1)
  const size = 16 * CHUNK_BYTES
  fs.writeFileSync(path, Buffer.alloc(size), { flush: true })
  let at = 0
  return () => {
    const fd = fs.openSync(path, 'r+')
    let done = 0
    const start = performance.now()
    while (performance.now() - start < ROUND_MS) {
      fs.writeSync(fd, bytes, 0, bytes.length, at)
      fs.fdatasyncSync(fd)
      at = at + 2 * bytes.length > size ? 0 : at + bytes.length
      done += records
    }
    const rate = (done / (performance.now() - start)) * 1_000
    fs.closeSync(fd)
    return rate
  }
}

async function rate({ append }: Subject, lanes: number): Promise<number> {
  let done = 0
  const start = performance.now()
  while (performance.now() - start < ROUND_MS) {
    await inFlight(lanes, lanes * 20, append)
    done += lanes * 20
  }
  return (done / (performance.now() - start)) * 1_000
}

async function appends(folder: string, lanes: number): Promise<BenchRow> {
  const journal = await journalIn(join(folder, `journal-${lanes}`))
  const lmdb = await lmdbIn(join(folder, `lmdb-${lanes}`))
  const bare = bareIn(join(folder, `bare-${lanes}`), lanes)
  const ways = {
    journal: () => rate(journal, lanes),
    lmdb: () => rate(lmdb, lanes),
    limit: async () => bare(),
  }
  const result = await medians(ways, measure => measure())
  await journal.close()
  await lmdb.close()
  const [value, peer, limit] = Object.values(result).map(Math.round) as [number, number, number]
  const goal = GOALS[lanes]
  const way = lanes === 1 ? 'one after the other' : `${lanes.toLocaleString('en')} in flight`
  return {
    name: `journal: append 200 bytes, on disk first, ${way}`,
    value,
    unit: 'records/s',
    limit,
    peers: { lmdb: peer },
    ...(goal !== undefined && { goal }),
  }
}

async function replays(folder: string): Promise<BenchRow> {
  const journal = await openFileJournal({ folder, reserveBytes: 0 })
  await journal.replay(() => {})
  const records = Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(200 + (i % 100), 'x'))
  for (let i = 0; i < REPLAYED; i += records.length) await journal.append(records)
  await journal.close()
  const times: number[] = []
  const bare: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(readAll(folder))
    const start = performance.now()
    const again = await openFileJournal({ folder, reserveBytes: 0 })
    let count = 0
    await again.replay(() => count++)
    times.push(performance.now() - start)
    await again.close()
    if (count !== REPLAYED) throw new Error(`${count} records of ${REPLAYED}`)
  }
  return {
    name: `journal: open and replay ${REPLAYED.toLocaleString('en')} records of 200 to 300 bytes`,
    value: median(times),
    unit: 'ms',
    limit: median(bare),
    goal: 'at most 1,500 ms',
  }
}

/** How long it takes to read all files in large pieces and check them. */
function readAll(folder: string): number {
  const start = performance.now()
  const chunk = Buffer.alloc(CHUNK_BYTES)
  let sum = 0
  for (const name of fs.readdirSync(folder)) {
    const fd = fs.openSync(join(folder, name), 'r')
    for (let length = 1; length > 0; ) {
      length = fs.readSync(fd, chunk)
      sum = crc32(chunk.subarray(0, length), sum)
    }
    fs.closeSync(fd)
  }
  return performance.now() - start
}

export async function run(): Promise<BenchRow[]> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  try {
    const rows: BenchRow[] = []
    for (const lanes of [1, 64, 1_000]) rows.push(await appends(folder, lanes))
    rows.push(await replays(join(folder, 'replay')))
    return rows
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}
