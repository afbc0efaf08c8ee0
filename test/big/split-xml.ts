/** Run by split-xml.test.ts in a process of its own: splits a document of so many bytes, made while it is read. */
import { readFileSync } from 'node:fs'
import { splitXml } from '../../core/message/xml-split.ts'

const INVOICE = new URL('../../examples/invoice-hub/data/en16931/ubl-tc434-example4.xml', import.meta.url)
const RSS_EVERY = 2_000

function* document(bytes: number): Generator<Buffer> {
  const record = Buffer.from(readFileSync(INVOICE, 'utf8').replace(/^<\?xml[^>]*\?>/, ''))
  yield Buffer.from('<?xml version="1.0" encoding="UTF-8"?>\n<batch xmlns:x="urn:x">')
  for (let made = 0; made < bytes; made += record.length) yield record
  yield Buffer.from('</batch>')
}

let records = 0
const rss: number[] = []
const start = performance.now()
for await (const _ of splitXml(document(Number(process.argv[2])), { maxDepth: 64 })) {
  if (++records % RSS_EVERY === 0) rss.push(process.memoryUsage.rss())
}
const seconds = (performance.now() - start) / 1000
console.log(JSON.stringify({ records, seconds, rss, peakKiB: process.resourceUsage().maxRSS }))
