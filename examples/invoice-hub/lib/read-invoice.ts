/** A partner's document to the canonical invoice. */
import { fileURLToPath } from 'node:url'
import {
  type LoadedMapping,
  loadMapping,
  type MappingProblem,
  SignalboxError,
  type XmlElement,
} from 'signalbox'
import type { Invoice } from '../canonical.ts'
import {
  dataOf,
  labelOf,
  type Place,
  type Prefixes,
  parseDocument,
  placeAt,
  placeOf,
  refused,
} from './document.ts'
import { isEdifact, parseInterchange, segmentAt } from './interchange.ts'

/** A syntax of documents: how it is recognised by its root, and the mapping that reads it. */
interface Syntax {
  /** Namespace and name of the root element. */
  root: string
  prefixes: Prefixes
  mapping: LoadedMapping
}

const UBL_PREFIXES: Prefixes = {
  'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2': 'cbc',
  'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2': 'cac',
}

const CII_ROOT = 'urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100'
const CII_PREFIXES: Prefixes = {
  [CII_ROOT]: 'rsm',
  'urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100': 'ram',
  'urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100': 'udt',
}

const ubl = await load('ubl-to-invoice')
const cii = await load('cii-to-invoice')
const edifact = await load('edifact-to-invoice')

/** All that the hub reads of XML. Another syntax is a mapping, and a line here. */
const SYNTAXES: readonly Syntax[] = [
  {
    root: 'urn:oasis:names:specification:ubl:schema:xsd:Invoice-2 Invoice',
    prefixes: UBL_PREFIXES,
    mapping: ubl,
  },
  {
    root: 'urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2 CreditNote',
    prefixes: UBL_PREFIXES,
    mapping: ubl,
  },
  { root: `${CII_ROOT} CrossIndustryInvoice`, prefixes: CII_PREFIXES, mapping: cii },
]

function load(name: string): Promise<LoadedMapping> {
  return loadMapping(fileURLToPath(new URL(`../mappings/${name}.yaml`, import.meta.url)))
}

/** A document that has been read as far as the mapping: what it says, and where. */
interface Reading {
  mapping: LoadedMapping
  data: unknown
  /** Where a path of the mapping leads in the document. */
  placeAt(path: string): Place
  /** What a path leads to, for people. */
  labelOf(path: string): string
}

/**
 * Reads a UBL, CII or EDIFACT document. Throws SIGNALBOX_REQUEST_REFUSED (422) with `element`, `line` and `column` in the
 * details: one that is not well-formed, an unknown kind of document, something mandatory that is missing, a number, date
 * or code that is none.
 */
export function readInvoice(bytes: Buffer): Invoice {
  const reading = read(bytes)
  try {
    // The mappings have the shape of the canonical invoice; its schema is checked when the service answers.
    return reading.mapping.run(reading.data) as Invoice
  } catch (error) {
    throw refusal(error, reading)
  }
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
  const { mapping, data, placeAt } = read(bytes)
  const sources = mapping.trace!(data)
  return pointers.map(pointer => {
    let at = pointer
    while (at !== '' && !sources.has(at)) at = at.slice(0, at.lastIndexOf('/'))
    return placeAt(at === '' ? '' : sources.get(at)!)
  })
}

function read(bytes: Buffer): Reading {
  if (isEdifact(bytes)) {
    const data = parseInterchange(bytes)
    const label = (path: string) => segmentAt(path).element.split('/').at(-1)!
    return { mapping: edifact, data, placeAt: segmentAt, labelOf: label }
  }
  const root = parseDocument(bytes)
  const { mapping, prefixes } = syntaxOf(root)
  return {
    mapping,
    data: dataOf(root, prefixes),
    placeAt: path => (path === '' ? placeOf(root) : placeAt(root, path, prefixes)),
    labelOf,
  }
}

function syntaxOf(root: XmlElement): Syntax {
  const syntax = SYNTAXES.find(syntax => syntax.root === `${root.namespace} ${root.name}`)
  if (syntax !== undefined) return syntax
  throw refused('neither a UBL Invoice or CreditNote nor a Cross Industry Invoice', placeOf(root))
}

/** The first thing that is wrong, at its place in the document. All of them are in the details. */
function refusal(error: unknown, { placeAt, labelOf }: Reading): unknown {
  if (!(error instanceof SignalboxError) || error.details?.problems === undefined) return error
  const problems = error.details.problems as MappingProblem[]
  const places = problems.map(({ source }) => placeAt(source))
  const { source, reason } = problems[0]!
  const label = labelOf(source)
  const why = reason === undefined ? `${label} is missing or empty` : `${label}: ${reason}`
  const refusal = refused(why, places[0]!)
  return new SignalboxError('SIGNALBOX_REQUEST_REFUSED', refusal.message, {
    status: 422,
    details: { ...places[0]!, problems: problems.map((problem, i) => ({ ...problem, ...places[i]! })) },
    cause: error,
  })
}
