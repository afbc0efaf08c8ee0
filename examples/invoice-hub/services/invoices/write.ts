import { service, Type } from 'signalbox'
import { Invoice } from '../../canonical.ts'
import { writeInvoice } from '../../lib/write-invoice.ts'

export default service({
  description: 'Writes a canonical invoice as UBL 2.1 or CII D16B.',
  input: Type.Object({ invoice: Invoice, syntax: Type.Union([Type.Literal('ubl'), Type.Literal('cii')]) }),
  output: Type.String(),
  handle: ({ invoice, syntax }) => writeInvoice(invoice, syntax),
})
