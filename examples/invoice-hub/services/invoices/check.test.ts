import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { SignalboxError } from 'signalbox'
import type { Invoice } from '../../canonical.ts'
import { checkTotals } from '../../lib/check-totals.ts'
import { readInvoice } from '../../lib/read-invoice.ts'
import { refuseTotals } from './receive.ts'

const DATA = new URL('../../data/', import.meta.url)

function invoiceOf(file: string): Invoice {
  return readInvoice(readFileSync(new URL(file, DATA)))
}

function rules(change: (invoice: Invoice) => void, file = 'en16931/ubl-tc434-example5.xml'): string[] {
  const invoice = invoiceOf(file)
  change(invoice)
  return checkTotals(invoice).map(finding => `${finding.rule} ${finding.pointer}`)
}

test('every real document adds up', () => {
  for (const folder of ['en16931/', 'peppol/']) {
    for (const file of readdirSync(new URL(folder, DATA))) {
      if (/^(EDIFACT.*|.*\.TXT)$/.test(file)) continue
      assert.deepEqual(checkTotals(invoiceOf(folder + file)), [], file)
    }
  }
})

describe('each rule finds its own mistake', () => {
  const cases: [string, (invoice: Invoice) => void][] = [
    [
      'BR-CO-11 /totals/allowances',
      ({ totals }) => {
        totals.allowances = '151'
        totals.charges = '151'
      },
    ],
    [
      'BR-CO-13 /totals/withoutVat',
      ({ totals }) => {
        totals.withoutVat = '4001'
        totals.withVat = '4676'
        totals.payable = '2338.5'
      },
    ],
    [
      'BR-CO-15 /totals/withVat',
      ({ totals }) => {
        totals.withVat = '4675.01'
        totals.payable = '2337.51'
      },
    ],
    [
      'BR-CO-16 /totals/payable',
      ({ totals }) => {
        totals.payable = '2337.51'
      },
    ],
    [
      'BR-CO-17 /vatBreakdown/0/taxAmount',
      ({ vatBreakdown }) => {
        vatBreakdown[0]!.taxAmount = '374'
        vatBreakdown[1]!.taxAmount = '301'
      },
    ],
    [
      'BR-S-08 /vatBreakdown/0/taxableAmount',
      ({ vatBreakdown }) => {
        vatBreakdown[0]!.taxableAmount = '1500.01'
      },
    ],
    [
      'BR-CO-10 /totals/lineNet',
      ({ totals }) => {
        totals.lineNet = '3999'
        totals.charges = '151'
      },
    ],
    [
      'BR-CO-14 /totals/vat',
      ({ totals }) => {
        totals.vat = '674'
        totals.withVat = '4674'
        totals.prepaid = '2336.5'
      },
    ],
  ]
  for (const [rule, change] of cases) {
    test(rule, () => assert.ok(rules(change).includes(rule), rules(change).join(', ')))
  }

  test('a category without breakdown, and tax where there is none', () => {
    assert.deepEqual(
      rules(({ vatBreakdown }) => {
        vatBreakdown.pop()
      }, 'peppol/Allowance-example.xml'),
      ['BR-E-01 /lines/1/vat/category'],
    )
    assert.deepEqual(
      rules(invoice => {
        invoice.vatBreakdown[0]!.taxAmount = '1'
        Object.assign(invoice.totals, { vat: '1', withVat: '3201', payable: '3201' })
      }, 'peppol/vat-category-O.xml'),
      ['BR-O-09 /vatBreakdown/0/taxAmount'],
    )
  })

  test('tax is rounded half away from zero, below zero too', () => {
    for (const [taxable, tax] of [
      ['0.5', '0.13'],
      ['-0.5', '-0.13'],
      ['0.1', '0.03'],
    ] as const) {
      const found = rules(invoice => {
        invoice.vatBreakdown[0]!.taxableAmount = taxable
        invoice.vatBreakdown[0]!.taxAmount = tax
      })
      assert.ok(!found.some(rule => rule.startsWith('BR-CO-17')), `${taxable} -> ${tax}: ${found}`)
    }
  })
})

test('a wrong total is refused with its element and line', () => {
  const bytes = readFileSync(new URL('broken/wrong-total.xml', DATA))
  const error = refuseTotals(bytes, checkTotals(readInvoice(bytes)))
  assert.ok(error instanceof SignalboxError)
  assert.deepEqual([error.code, error.status], ['SIGNALBOX_REQUEST_REFUSED', 422])
  assert.match(String(error.details?.element), /HeaderMonetarySummation\/ram:DuePayableAmount$/)
  assert.match(bytes.toString().split('\n')[Number(error.details?.line) - 1]!, /4765/)
  assert.match(error.message, /^BR-CO-16: the amount due.* must be 4675, found 4765/)
})
