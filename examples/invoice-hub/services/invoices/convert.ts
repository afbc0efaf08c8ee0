import { Service } from 'signalbox'
import type { Invoice } from '../../canonical.ts'
import { documentBytes } from '../../lib/read-invoice.ts'

/** Takes a document in one syntax and answers it in the one that the path names: `ubl` or `cii`. */
export default class ConvertInvoice extends Service {
  static override description = 'Converts an invoice or credit note between UBL and CII.'

  async handle(payload: unknown) {
    const { params } = (this.request.channel?.attributes ?? {}) as { params?: { syntax?: string } }
    const invoice = await this.invoke<Invoice>('invoices.normalise', documentBytes(payload))
    const document = await this.invoke<string>('invoices.write', { invoice, syntax: params?.syntax })
    this.response.headers['content-type'] = 'application/xml'
    return document
  }
}
