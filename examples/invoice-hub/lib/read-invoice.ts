/** A partner's document to the canonical invoice. */
import { parseXml, SignalboxError, type XmlElement } from 'signalbox'
import type { Invoice } from '../canonical.ts'
import { CII } from './cii.ts'
import { type Place, placeOf, readTable, refused, type Sources, type Table } from './mapping.ts'
import { UBL } from './ubl.ts'

const SYNTAXES: Readonly<Record<string, Table>> = { ...UBL, ...CII }

/**
 * Reads a UBL or CII document. Throws SIGNALBOX_REQUEST_REFUSED (422) with `element`, `line` and `column` in the
 * details: XML that is not well-formed, an unknown kind of document, something mandatory that is missing, a number,
 * date or code that is none.
 */
export function readInvoice(bytes: Buffer): Invoice {
  return read(bytes, undefined)
}

/** The payload as bytes. Between workers a Buffer may have become a Uint8Array. */
export function documentBytes(payload: unknown): Buffer {
  if (payload instanceof Uint8Array) {
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  }
  throw new SignalboxError(
    'SIGNALBOX_REQUEST_REFUSED',
    'send the document as bytes: a route needs format raw',
  )
}

/** Where the values with these JSON Pointers stand in the document; the nearest group for a value it does not have. */
export function locate(bytes: Buffer, pointers: readonly string[]): Place[] {
  const sources: Sources = new Map()
  read(bytes, sources)
  return pointers.map(pointer => {
    let at = pointer
    while (!sources.has(at)) at = at.slice(0, at.lastIndexOf('/'))
    return placeOf(sources.get(at)!)
  })
}

function read(bytes: Buffer, sources: Sources | undefined): Invoice {
  const root = parse(bytes)
  const table = SYNTAXES[`${root.namespace} ${root.name}`]
  if (table === undefined) {
    throw refused('neither a UBL Invoice or CreditNote nor a Cross Industry Invoice', placeOf(root))
  }
  // The tables have the shape of the canonical invoice; its schema is checked when the service answers.
  return readTable(table, root, '', sources) as Invoice
}

function parse(bytes: Buffer): XmlElement {
  try {
    return parseXml(bytes)
  } catch (error) {
    if (!(error instanceof SignalboxError) || error.code !== 'SIGNALBOX_FORMAT_INVALID') throw error
    throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', error.message, {
      status: 422,
      details: { element: '/', ...error.details },
      cause: error,
    })
  }
}
