/** Splits a large CSV that is made on the way, for `csv-big.test.ts`: prints records and memory as JSON. */
import { csv } from './csv.ts'

const totalBytes = Number(process.argv[2])
const ROWS = 10_000
/** Given again and again, so that what is measured is not the garbage of making it. */
const BLOCK = Buffer.from(
  Array.from({ length: ROWS }, (_, i) => `${i},"Name ""${i}"", of\nsomebody",Grüße ${i},${i * 1.5}\n`).join(
    '',
  ),
)
/** No divisor of anything: characters and quotes are cut in all places. */
const PIECE_BYTES = 65_521
const blocks = Math.ceil(totalBytes / BLOCK.length)

function* source(): Generator<Buffer> {
  yield Buffer.from('id,name,note,amount\n')
  for (let block = 0; block < blocks; block++) {
    for (let at = 0; at < BLOCK.length; at += PIECE_BYTES) yield BLOCK.subarray(at, at + PIECE_BYTES)
  }
}

const expected = blocks * ROWS
let records = 0
let sum = 0
let atQuarter = 0
let peak = 0
for await (const record of csv.split!(source(), { maxDepth: 8 }, { columns: { id: { type: 'integer' } } })) {
  sum += (record as { id: number }).id
  if (++records % 10_000 === 0) peak = Math.max(peak, process.memoryUsage.rss())
  if (records === Math.floor(expected / 4)) atQuarter = process.memoryUsage.rss()
}
console.log(JSON.stringify({ records, expected, sum, atQuarter, atEnd: process.memoryUsage.rss(), peak }))
