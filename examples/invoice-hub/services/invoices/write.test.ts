import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { testService } from 'signalbox/test'
import { readInvoice } from '../../lib/read-invoice.ts'
import { writeInvoice } from '../../lib/write-invoice.ts'
import ConvertInvoice from './convert.ts'

const DATA = fileURLToPath(new URL('../../data/', import.meta.url))
const DOCUMENTS = globSync('{en16931/{ubl,CII}*.xml,peppol/*.xml}', { cwd: DATA }).sort()

describe('an invoice that is written and read again is the same', () => {
  for (const file of DOCUMENTS) {
    const invoice = readInvoice(readFileSync(`${DATA}${file}`))
    for (const syntax of ['ubl', 'cii'] as const) {
      test(`${file} -> ${syntax}`, () => {
        const written = writeInvoice(invoice, syntax)
        assert.deepEqual(readInvoice(Buffer.from(written)), invoice)
        // Also what is written from what was read again.
        assert.equal(writeInvoice(readInvoice(Buffer.from(written)), syntax), written)
      })
    }
  }

  test('there are documents', () => assert.ok(DOCUMENTS.length >= 17, String(DOCUMENTS.length)))
})

test('the syntax is that of the path', async () => {
  const invoice = readInvoice(readFileSync(`${DATA}en16931/CII_example5.xml`))
  const asked: unknown[] = []
  const convert = testService(ConvertInvoice, {
    services: {
      'invoices.normalise': () => invoice,
      'invoices.write': input => {
        asked.push(input)
        return writeInvoice(invoice, 'ubl')
      },
    },
    channel: { transport: 'http', name: 'public', attributes: { params: { syntax: 'ubl' } } },
  })
  const { payload } = await convert.invoke(Buffer.from('<a/>'))
  assert.deepEqual(asked, [{ invoice, syntax: 'ubl' }])
  assert.match(String(payload), /^<\?xml[^>]*>\n<Invoice xmlns="urn:oasis/)
})
