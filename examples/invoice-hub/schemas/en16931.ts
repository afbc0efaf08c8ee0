/** The totals and the VAT of a canonical invoice by the rules of EN 16931, for `validate` in routes. */
import type { Validator } from 'signalbox'
import type { Invoice } from '../canonical.ts'
import { checkTotals } from '../lib/check-totals.ts'

const en16931: Validator = {
  validate: invoice =>
    checkTotals(invoice as Invoice).map(({ rule, message, pointer, found }) => ({
      source: 'rule',
      severity: 'error',
      rule,
      message: `${rule}: ${message}`,
      pointer,
      value: found,
    })),
}

export default en16931
