import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { SignalboxError } from 'signalbox'
import type { Invoice } from '../../canonical.ts'
import { locate, readInvoice } from '../../lib/read-invoice.ts'

const DATA = new URL('../../data/', import.meta.url)

function read(file: string): Buffer {
  return readFileSync(new URL(file, DATA))
}

function refusal(bytes: Buffer): { message: string; status: number; details: Record<string, unknown> } {
  try {
    readInvoice(bytes)
  } catch (error) {
    assert.ok(error instanceof SignalboxError, String(error))
    assert.equal(error.code, 'SIGNALBOX_REQUEST_REFUSED')
    return { message: error.message, status: error.status, details: error.details! }
  }
  return assert.fail('accepted')
}

/** A document with one change, which must find its place. */
function changed(file: string, from: string | RegExp, to: string): Buffer {
  const text = read(file).toString()
  const after = text.replace(from, to)
  assert.notEqual(after, text, 'the change must find its place')
  return Buffer.from(after)
}

/** What the syntaxes agree on; units and contacts are written differently in the originals. */
function comparable(invoice: Invoice) {
  const { number, issueDate, dueDate, typeCode, currency, seller, buyer, vatBreakdown, totals } = invoice
  const lines = invoice.lines.map(({ id, quantity, netAmount, vat }) => ({ id, quantity, netAmount, vat }))
  return { number, issueDate, dueDate, typeCode, currency, seller, buyer, vatBreakdown, totals, lines }
}

describe('UBL, CII and EDIFACT', () => {
  for (const n of [1, 2, 4, 5]) {
    test(`document ${n} is the same invoice in both`, () => {
      const ubl = comparable(readInvoice(read(`en16931/ubl-tc434-example${n}.xml`)))
      const cii = comparable(readInvoice(read(`en16931/CII_example${n}.xml`)))
      if (n === 2) {
        // The originals differ in this one value; see data/README.md.
        assert.deepEqual([ubl.lines[0]!.quantity, cii.lines[0]!.quantity], ['2', '1'])
        ubl.lines[0]!.quantity = '1'
      }
      assert.deepEqual(ubl, cii)
    })
  }

  for (const n of [1, 2, 3]) {
    test(`document ${n} is the same invoice in EDIFACT as in CII`, () => {
      const edifact = comparable(readInvoice(read(`en16931/EDIFACT_EXAMPLE${n}.TXT`)))
      const cii = comparable(readInvoice(read(`en16931/CII_example${n}.xml`)))
      if (n === 2) {
        // The originals differ in these two values; see data/README.md.
        for (const party of [edifact.seller, edifact.buyer]) party.vatId = `NO${party.vatId}`
      }
      assert.deepEqual(edifact, cii)
    })
  }

  test('document 1 is the same invoice in all three syntaxes', () => {
    const [ubl, edifact] = ['ubl-tc434-example1.xml', 'EDIFACT_EXAMPLE1.TXT'].map(file =>
      comparable(readInvoice(read(`en16931/${file}`))),
    )
    assert.deepEqual(edifact, ubl)
  })

  test('EDIFACT that is wrong is refused with the segment', () => {
    const file = 'en16931/EDIFACT_EXAMPLE1.TXT'
    const cases: [Buffer, RegExp, string][] = [
      [
        changed(file, "QTY+47:1:H87'", "QTY+12:1:H87'"),
        /^QTY\['47'\] is missing or empty/,
        "lines[1]/QTY['47']",
      ],
      [
        changed(file, 'MOA+203:19.9', 'MOA+203:much'),
        /^MOA: 'much' is not a decimal/,
        "lines[0]/amounts['203']/MOA",
      ],
      [changed(file, '+INVOIC:', '+ORDERS:'), /^one INVOIC message is expected, found ORDERS/, 'UNH'],
      [read(file).subarray(0, 300), /^EDIFACT: /, 'UNB'],
    ]
    for (const [bytes, message, element] of cases) {
      const refused = refusal(bytes)
      assert.match(refused.message, message)
      assert.equal(refused.details.element, element)
      assert.equal(refused.status, 422)
    }
  })

  test('what an invoice says', () => {
    const invoice = readInvoice(read('en16931/CII_example5.xml'))
    assert.equal(invoice.number, 'TOSL110')
    assert.deepEqual(
      [invoice.issueDate, invoice.dueDate, invoice.currency],
      ['2013-04-10', '2013-05-10', 'DKK'],
    )
    assert.deepEqual(invoice.seller, {
      name: 'SellerCompany',
      identifier: '5790000436101',
      legalId: 'NL16356706',
      vatId: 'NL16356706',
      address: {
        street: 'Hoofdstraat 4',
        street2: 'Om de hoek',
        city: 'Grootstad',
        postcode: '54321',
        region: 'Overijssel',
        country: 'NL',
      },
    })
    assert.deepEqual(invoice.totals, {
      lineNet: '4000',
      allowances: '150',
      charges: '150',
      withoutVat: '4000',
      vat: '675',
      withVat: '4675',
      prepaid: '2337.5',
      payable: '2337.5',
    })
    assert.deepEqual(invoice.allowanceCharges[1], {
      charge: true,
      amount: '150',
      reason: 'Packaging',
      vat: { category: 'S', rate: '25' },
    })
    assert.deepEqual(invoice.lines[2], {
      id: '3',
      name: 'American Cookies',
      quantity: '500',
      unit: 'C62',
      netPrice: '5',
      netAmount: '2500',
      vat: { category: 'S', rate: '12' },
    })
  })

  test('every document of the folders is understood', () => {
    for (const folder of ['en16931/', 'peppol/']) {
      for (const file of readdirSync(new URL(folder, DATA))) {
        if (/^(EDIFACT.*|.*\.TXT)$/.test(file)) continue
        assert.ok(readInvoice(read(folder + file)).lines.length > 0, file)
      }
    }
    const credit = readInvoice(read('peppol/base-creditnote-correction.xml'))
    assert.deepEqual(
      [credit.typeCode, credit.lines[1]!.quantity, credit.totals.payable],
      ['381', '-3', '1656.25'],
    )
    assert.deepEqual(readInvoice(read('peppol/vat-category-O.xml')).lines[0]!.vat, { category: 'O' })
  })

  test('prefixes are the choice of the sender, namespaces are not', () => {
    const text = read('peppol/base-example.xml').toString()
    const renamed = text
      .replaceAll('cbc:', 'x:')
      .replaceAll('cac:', 'y:')
      .replace('xmlns:cbc', 'xmlns:x')
      .replace('xmlns:cac', 'xmlns:y')
    assert.deepEqual(readInvoice(Buffer.from(renamed)), readInvoice(Buffer.from(text)))
    const foreign = changed('peppol/base-example.xml', 'CommonBasicComponents-2"', 'Other-2"')
    assert.match(refusal(foreign).message, /cbc:ID is missing/)
  })
})

describe('broken documents are refused with element and line', () => {
  test('the samples', () => {
    const missing = refusal(read('broken/missing-element.xml'))
    assert.equal(missing.status, 422)
    assert.equal(missing.details.element, '/Invoice/cac:InvoiceLine[2]/cbc:InvoicedQuantity')
    const source = read('broken/missing-element.xml').toString().split('\n')
    assert.match(source[(missing.details.line as number) - 1]!, /<cac:InvoiceLine>/)
    const malformed = refusal(read('broken/malformed.xml'))
    assert.equal(malformed.status, 422)
    const at = read('broken/malformed.xml').toString().split('\n')[(malformed.details.line as number) - 1]!
    assert.match(at, /<\/cac:PostalAdress>/)
    assert.equal(
      malformed.details.element,
      '/Invoice/cac:AccountingSupplierParty/cac:Party/cac:PostalAddress',
    )
  })

  const UBL = 'peppol/base-example.xml'
  const CII = 'en16931/CII_example4.xml'
  const cases: [string, string | RegExp, string, string][] = [
    [UBL, /<cbc:IssueDate>.*<\/cbc:IssueDate>/, '', '/Invoice/cbc:IssueDate'],
    [UBL, '2017-11-13', '2017-02-30', '/Invoice/cbc:IssueDate'],
    [
      UBL,
      '>EUR</cbc:DocumentCurrencyCode>',
      '>Euro</cbc:DocumentCurrencyCode>',
      '/Invoice/cbc:DocumentCurrencyCode',
    ],
    [UBL, /(<cbc:PayableAmount[^>]*>)/, '$1x', '/Invoice/cac:LegalMonetaryTotal/cbc:PayableAmount'],
    [
      UBL,
      /<cbc:PayableAmount[^>]*>[\d.]*/,
      '<cbc:PayableAmount>1e3',
      '/Invoice/cac:LegalMonetaryTotal/cbc:PayableAmount',
    ],
    [
      UBL,
      /<cac:LegalMonetaryTotal>.*<\/cac:LegalMonetaryTotal>/s,
      '',
      '/Invoice/cac:LegalMonetaryTotal/cbc:LineExtensionAmount',
    ],
    [UBL, /<cac:InvoiceLine>.*<\/cac:InvoiceLine>/s, '', '/Invoice/cac:InvoiceLine'],
    [UBL, /<cac:TaxTotal>.*<\/cac:TaxTotal>/s, '', '/Invoice/cac:TaxTotal/cac:TaxSubtotal'],
    [
      UBL,
      /<cac:AccountingSupplierParty>.*<\/cac:AccountingSupplierParty>/s,
      '',
      '/Invoice/cac:AccountingSupplierParty/cac:Party',
    ],
    [
      UBL,
      '<cbc:ChargeIndicator>true',
      '<cbc:ChargeIndicator>yes',
      '/Invoice/cac:AllowanceCharge/cbc:ChargeIndicator',
    ],
    [CII, '>TOSL110<', '> <', '/rsm:CrossIndustryInvoice/rsm:ExchangedDocument/ram:ID'],
    [
      CII,
      '>20130410<',
      '>20131341<',
      '/rsm:CrossIndustryInvoice/rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString',
    ],
    [
      CII,
      '<ram:CountryID>DK</ram:CountryID>',
      '',
      '/rsm:CrossIndustryInvoice/rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeAgreement/ram:SellerTradeParty/ram:PostalTradeAddress/ram:CountryID',
    ],
    [CII, ':CrossIndustryInvoice:100"', ':CrossIndustryOrder:100"', '/rsm:CrossIndustryInvoice'],
  ]
  for (const [file, from, to, element] of cases) {
    test(`${file}: ${from} -> '${to}'`, () => {
      const { status, details } = refusal(changed(file, from, to))
      assert.equal(status, 422)
      assert.equal(details.element, element)
      assert.ok((details.line as number) > 0)
    })
  }

  test('empty, not XML, a bomb', () => {
    for (const text of ['', '{"a":1}', '<html/>', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>']) {
      const { status, details } = refusal(Buffer.from(text))
      assert.equal(status, 422, text)
      assert.equal(details.line, 1, text)
    }
  })
})

test('a value is located where it stands, a missing one at its group', () => {
  const bytes = read('en16931/CII_example4.xml')
  const lines = bytes.toString().split('\n')
  const [payable, prepaid] = locate(bytes, ['/totals/payable', '/totals/prepaid'])
  assert.match(lines[payable!.line - 1]!, /DuePayableAmount/)
  assert.match(prepaid!.element, /SpecifiedTradeSettlementHeaderMonetarySummation$/)
})
