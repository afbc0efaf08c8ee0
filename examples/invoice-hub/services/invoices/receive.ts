import { Service, SignalboxError } from 'signalbox'
import type { CheckResult, Finding, Invoice } from '../../canonical.ts'
import { documentBytes, locate } from '../../lib/read-invoice.ts'

/** Takes a partner's document, and answers the canonical invoice if it adds up. */
export default class ReceiveInvoice extends Service {
  static override description = 'Takes an invoice or credit note in UBL or CII.'

  async handle(payload: unknown) {
    const bytes = documentBytes(payload)
    const invoice = await this.invoke<Invoice>('invoices.normalise', bytes)
    const check = await this.invoke<CheckResult>('invoices.check', invoice)
    if (!check.valid) throw refuseTotals(bytes, check.findings)
    return invoice
  }
}

/** Says for each finding where the wrong amount stands in the document; the first is the place of the refusal. */
export function refuseTotals(bytes: Buffer, findings: readonly Finding[]): SignalboxError {
  const places = locate(
    bytes,
    findings.map(finding => finding.pointer),
  )
  const located = findings.map((finding, i) => ({ ...finding, ...places[i]! }))
  const { rule, message, element, line, column } = located[0]!
  const more = findings.length > 1 ? `, and ${findings.length - 1} more` : ''
  return new SignalboxError(
    'SIGNALBOX_REQUEST_REFUSED',
    `${rule}: ${message}, at ${element}, line ${line}${more}`,
    {
      status: 422,
      details: { element, line, column, findings: located },
    },
  )
}
