/** The canonical invoice as a document for a partner. */
import { fileURLToPath } from 'node:url'
import { buildXml, loadMapping } from 'signalbox'
import type { Invoice } from '../canonical.ts'

const MAPPINGS = {
  ubl: await loadMapping(fileURLToPath(new URL('../mappings/invoice-to-ubl.yaml', import.meta.url))),
  cii: await loadMapping(fileURLToPath(new URL('../mappings/invoice-to-cii.yaml', import.meta.url))),
}

/** The syntaxes that the hub writes. */
export type WrittenSyntax = keyof typeof MAPPINGS

/** Writes the document, an XML text. */
export function writeInvoice(invoice: Invoice, syntax: WrittenSyntax): string {
  return buildXml(MAPPINGS[syntax].run(invoice) as object)
}
