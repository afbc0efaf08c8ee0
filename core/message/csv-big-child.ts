/** Splits a large CSV that is made on the way, for `csv-big.test.ts`: prints records and memory as JSON. */
import { csv } from './csv.ts'

const totalBytes = Number(process.argv[2])
const PIECE = Buffer.from(
  Array.from({ length: 1000 }, (_, i) => `${i},"Name ""${i}"", of\nsomebody",Grüße ${i},${i * 1.5}\n`).join(
    '',
  ),
)
/** No divisor of anything: characters and quotes are cut in all places. */
const PIECE_BYTES = 65_521

function* source(): Generator<Buffer> {
  yield Buffer.from('id,name,note,amount\n')
  let rest = Buffer.alloc(0)
  for (let made = 0; made < totalBytes; made += PIECE.length) {
    rest = Buffer.concat([rest, PIECE])
    for (; rest.length >= PIECE_BYTES; rest = rest.subarray(PIECE_BYTES)) yield rest.subarray(0, PIECE_BYTES)
  }
  yield rest
}

const expected = Math.ceil(totalBytes / PIECE.length) * 1000
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
