/** Records as streams, from pieces of 64 KiB to the last one: CSV beside udsv, Papa Parse and csv-parse, and JSON. */
import { Readable } from 'node:stream'
import { parse as csvParse } from 'csv-parse'
import Papa from 'papaparse'
import { inferSchema, initParser } from 'udsv'
import { csv } from '../core/message/csv.ts'
import type { FormatCodec } from '../core/message/format.ts'
import { json } from '../core/message/json.ts'
import { jsonl } from '../core/message/jsonl.ts'
import { medians, QUICK, ROUND_MS } from './measure.ts'
import type { BenchRow } from './row.ts'

const RECORDS = QUICK ? 2_000 : 40_000
const PIECE_BYTES = 64 * 1024
const LIMITS = { maxDepth: 64, maxElements: 1e9 }
const TYPES = { id: 'integer', amount: 'number', paid: 'boolean' } as const
const typed = Object.fromEntries(Object.entries(TYPES).map(([name, type]) => [name, { type }]))

/** Runs through a table and returns how many records there were. */
type Run = (pieces: readonly Buffer[], text: string) => number | Promise<number>

/** 12 columns as texts, a table without quotes and one where every record has two quoted fields. */
export async function run(): Promise<BenchRow[]> {
  const plain = table(index => `Street ${index % 97}`)
  const quoted = table(index => `"Street ${index % 97}, ""Old Town"""`)
  const texts = {
    signalbox: own,
    udsv: udsvObjects('stringObjs'),
    papaparse: papa,
    'csv-parse': csvParseObjects,
  }
  const types = { signalbox: ownTyped, udsv: udsvObjects('typedObjs') }
  const goal = 'at least 0.8 of udsv'
  return [
    await row('CSV to objects, streaming', plain, texts, goal),
    await row('CSV to objects, streaming, with quotes', quoted, texts, goal),
    // No goal: udsv takes what is not of the type for null or NaN, without a check.
    await row('CSV to objects with types, streaming', plain, types),
    await jsonRow('JSON array to elements, streaming', Buffer.from(JSON.stringify(recordsOf(plain))), json),
    await jsonRow('JSON Lines to objects, streaming', Buffer.from(jsonl.build(recordsOf(plain))), jsonl),
    await row('objects to CSV', plain, { signalbox: build, papaparse: unparse }, 'at least 1x papaparse'),
  ]
}

const own: Run = async pieces => {
  let count = 0
  for await (const _ of csv.split!(pieces, LIMITS)) count++
  return count
}

const ownTyped: Run = async pieces => {
  let count = 0
  for await (const _ of csv.split!(pieces, LIMITS, { columns: typed })) count++
  return count
}

function udsvObjects(output: 'stringObjs' | 'typedObjs'): Run {
  return (pieces, text) => {
    const parser = initParser(inferSchema(text.slice(0, 10_000)))
    const decoder = new TextDecoder()
    let count = 0
    const each = () => {
      count++
      return true
    }
    const objects = parser[output] as typeof parser.stringObjs
    for (const piece of pieces) parser.chunk(decoder.decode(piece, { stream: true }), objects as never, each)
    parser.end()
    return count
  }
}

const papa: Run = pieces =>
  new Promise((resolve, reject) => {
    const stream = Papa.parse(Papa.NODE_STREAM_INPUT, { header: true })
    let count = 0
    stream
      .on('data', () => count++)
      .on('end', () => resolve(count))
      .on('error', reject)
    Readable.from(pieces).pipe(stream)
  })

const csvParseObjects: Run = async pieces => {
  let count = 0
  for await (const _ of Readable.from(pieces).pipe(csvParse({ columns: true }))) count++
  return count
}

let built: { text: string; records: unknown[] } | undefined
function recordsOf(text: string): unknown[] {
  if (built?.text !== text) built = { text, records: csv.parse(Buffer.from(text), LIMITS) as unknown[] }
  return built.records
}

const build: Run = (_, text) => csv.build(recordsOf(text)).toString().length && RECORDS
const unparse: Run = (_, text) => Papa.unparse(recordsOf(text)).length && RECORDS

/** The limit: the engine's own parser, for each line or for all at once, which needs all in memory. */
async function jsonRow(name: string, bytes: Buffer, codec: FormatCodec): Promise<BenchRow> {
  const own: Run = async pieces => {
    let count = 0
    for await (const _ of codec.split!(pieces, LIMITS)) count++
    return count
  }
  const whole: Run = (_, text) => {
    if (codec === json) return (JSON.parse(text) as unknown[]).length
    let count = 0
    for (const line of text.split('\n')) if (line !== '' && JSON.parse(line)) count++
    return count
  }
  const { value, peers } = await row(name, bytes.toString(), { signalbox: own, whole })
  return { name, value, unit: 'records/s', limit: peers!.whole! }
}

async function row(name: string, text: string, runs: Record<string, Run>, goal?: string): Promise<BenchRow> {
  const bytes = Buffer.from(text)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) pieces.push(bytes.subarray(at, at + PIECE_BYTES))
  const { signalbox, ...peers } = await medians(runs, async (subject, subjectName) => {
    globalThis.gc?.({ type: 'minor' })
    const start = performance.now()
    let count = 0
    let elapsed = 0
    for (; elapsed < ROUND_MS; elapsed = performance.now() - start) {
      const records = await subject(pieces, text)
      if (records !== RECORDS) throw new Error(`${subjectName} gave ${records} of ${RECORDS} records`)
      count += records
    }
    return (count / elapsed) * 1000
  })
  return { name, value: signalbox!, unit: 'records/s', peers, ...(goal && { goal }) }
}

function table(street: (index: number) => string): string {
  const lines = ['id,first,last,company,street,city,country,phone,email,amount,paid,note']
  for (let index = 0; index < RECORDS; index++) {
    lines.push(
      [
        index,
        `First${index % 331}`,
        `Last${index % 577}`,
        `Company ${index % 61} Ltd`,
        street(index),
        `City${index % 211}`,
        'United Kingdom',
        `+44 20 7946 0${100 + (index % 900)}`,
        `person.${index}@example.com`,
        (index * 1.25).toFixed(2),
        index % 2 === 0,
        street(index + 1),
      ].join(','),
    )
  }
  return `${lines.join('\n')}\n`
}
