/** XML records out of a stream, SOAP envelopes, and validation by JSON Schema and XML Schema. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseBody } from '../core/message/formats.ts'
import { buildSoap } from '../core/message/soap-build.ts'
import { validator } from '../core/message/validate/validator.ts'
import { hashXsd } from '../core/message/validate/xsd.ts'
import validateXsd from '../core/message/validate/xsd-task.ts'
import { parseXml, xmlToObject } from '../core/message/xml.ts'
import { splitXml } from '../core/message/xml-split.ts'
import { Invoice } from '../examples/invoice-hub/canonical.ts'
import { readInvoice } from '../examples/invoice-hub/lib/read-invoice.ts'
import { QUICK, race } from './measure.ts'
import type { BenchRow } from './row.ts'

const EXAMPLE = new URL('../examples/invoice-hub/', import.meta.url)
const LIMITS = { maxDepth: 64 }
const MIB = 1_048_576

/** Runs in one thread; through the CPU pool, XSD validation is shared out over all cores. */
export async function run(): Promise<BenchRow[]> {
  const bytes = readFileSync(new URL('data/en16931/ubl-tc434-example4.xml', EXAMPLE))
  const soap = Buffer.from(buildSoap({ version: '1.2', headers: [], body: [{ data: parseXml(bytes) }] }))
  const canonical = readInvoice(bytes)
  const schema = validator({ schema: Invoice })
  const folder = fileURLToPath(new URL('schemas/ubl/', EXAMPLE))
  const xsd = 'maindoc/UBL-Invoice-2.1.xsd'
  const { key } = hashXsd(folder, xsd)
  const rates = await race(
    {
      parse: times(() => xmlToObject(parseXml(bytes))),
      soap: times(() => parseBody('soap', soap, LIMITS)),
      'JSON Schema': times(() => schema.validate(canonical)),
      XSD: times(() => validateXsd({ folder, xsd, key, document: bytes, maxBytes: MIB })),
    },
    16,
  )
  const { split, whole } = await splitting(bytes)
  return [
    {
      name: 'XML split into records of 8 KiB',
      value: split,
      unit: 'MB/s',
      limit: whole,
      goal: 'at least 0.5 of the limit',
    },
    {
      name: 'SOAP envelope with an invoice of 8 KiB',
      value: rates.soap!,
      unit: 'documents/s',
      limit: rates.parse!,
      goal: 'at least 0.5 of XML to data',
    },
    { name: 'JSON Schema, canonical invoice', value: rates['JSON Schema']!, unit: 'documents/s' },
    {
      name: 'XML Schema, invoice of 8 KiB, one thread',
      value: rates.XSD!,
      unit: 'documents/s',
      goal: 'at least 1,000/s',
    },
  ]
}

function times(work: () => unknown): (count: number) => void {
  return count => {
    for (let i = 0; i < count; i++) work()
  }
}

/** A stream of invoices beside the parsing of the same invoices one by one, in MB/s. */
async function splitting(bytes: Buffer): Promise<{ split: number; whole: number }> {
  const record = Buffer.from(bytes.toString().replace(/^<\?xml[^>]*\?>/, ''))
  const count = Math.ceil(((QUICK ? 2 : 64) * MIB) / record.length)
  function* document() {
    yield Buffer.from('<batch>')
    for (let i = 0; i < count; i++) yield record
    yield Buffer.from('</batch>')
  }
  const megabytes = (count * record.length) / 1e6
  let start = performance.now()
  for await (const _ of splitXml(document(), LIMITS));
  const split = megabytes / ((performance.now() - start) / 1000)
  start = performance.now()
  for (let i = 0; i < count; i++) xmlToObject(parseXml(record))
  return { split, whole: megabytes / ((performance.now() - start) / 1000) }
}
