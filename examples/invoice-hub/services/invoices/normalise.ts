import { service } from 'signalbox'
import { Invoice } from '../../canonical.ts'
import { documentBytes, readInvoice } from '../../lib/read-invoice.ts'

export default service({
  description: 'Reads a UBL or CII document and answers the canonical invoice.',
  output: Invoice,
  handle: payload => readInvoice(documentBytes(payload)),
})
