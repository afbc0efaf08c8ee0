import { SignalboxError, service, Type } from 'signalbox'
import { Rate } from '../../canonical.ts'
import { rateTable } from '../../lib/rate-table.ts'

const table = rateTable(new URL('../../data/rates.json', import.meta.url))

export default service({
  description: 'Answers what a euro costs in a currency. The table is read once a minute.',
  input: Type.Object({ currency: Type.String({ pattern: '^[A-Z]{3}$' }) }),
  output: Rate,
  async handle({ currency }) {
    const { date, perEuro, cached } = await table()
    const rate = perEuro.get(currency)
    if (rate !== undefined) return { currency, perEuro: rate, date, cached }
    throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', `there is no rate for the currency ${currency}`, {
      status: 422,
    })
  },
})
