import { service } from 'signalbox'
import { CheckResult, Invoice } from '../../canonical.ts'
import { checkTotals } from '../../lib/check-totals.ts'

export default service({
  description: 'Checks the totals and the VAT of a canonical invoice by the rules of EN 16931.',
  input: Invoice,
  output: CheckResult,
  handle(invoice) {
    const findings = checkTotals(invoice)
    return { valid: findings.length === 0, findings }
  },
})
