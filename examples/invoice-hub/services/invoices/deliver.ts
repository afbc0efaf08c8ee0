import { Service } from 'signalbox'
import { RatedInvoice } from '../../canonical.ts'

/** Writes an invoice of a topic as CII, and leaves it in the queue outbound for who fetches it there. */
export default class DeliverInvoice extends Service<RatedInvoice> {
  static override description = 'Writes an invoice as CII and puts it into the queue outbound.'
  static override input = RatedInvoice

  async handle({ euro, ...invoice }: RatedInvoice) {
    const { topic } = this.request.channel!.attributes as { topic: string }
    const cii = await this.invoke<string>('invoices.write', { invoice, syntax: 'cii' })
    const { document } = this.request.headers
    const { number, buyer } = invoice
    const delivery = { topic, document, number, country: buyer.address.country, euro, cii }
    // A message is delivered at least once; what it leads to has an id, so that it is there once.
    await this.enqueue('outbound', delivery, { id: `${topic}/${document}` })
  }
}
