/** XML documents larger than memory: records out of a stream of bytes, and a document made of records. */
import { SignalboxError } from '../errors.ts'
import { type Static, Type } from '../schema.ts'
import type { BodyLimits, ByteSource } from './format.ts'
import { overLimit } from './safety.ts'
import type { Position } from './text.ts'
import { openTag, writeRecord } from './xml-build.ts'
import { XmlDecoder } from './xml-decode-stream.ts'
import { DOCUMENT_START, type XmlElement } from './xml-element.ts'
import { DEFAULT_XML_LIMITS } from './xml-limits.ts'
import { splitName } from './xml-names.ts'
import { type XmlValue, xmlToObject } from './xml-object.ts'
import { XmlPieces } from './xml-parse.ts'
import { XmlScan } from './xml-scan.ts'

export const XmlOptions = Type.Object(
  {
    record: Type.String({
      default: '*/*',
      minLength: 1,
      maxLength: 1024,
      pattern: '^/?[^/]+(/[^/]+)*$',
      description:
        'Which elements are records: a path from the root (Invoices/Invoice, * for any name) or, without a slash, ' +
        'a name at any depth; /Invoice is the root alone. Local names, without prefixes.',
    }),
    namespace: Type.Optional(
      Type.String({ maxLength: 1024, description: 'Namespace that the elements named by record must have.' }),
    ),
    as: Type.Union([Type.Literal('object'), Type.Literal('element')], {
      default: 'object',
      description: 'Plain data, or the tree: with order, mixed content, namespaces and places.',
    }),
    namespaces: Type.Union([Type.Literal('inherit'), Type.Literal('written')], {
      default: 'inherit',
      description:
        'inherit: a record gets the namespace declarations that hold for it, so that it can stand alone; ' +
        'written: only those on the record itself.',
    }),
    maxRecordLength: Type.Integer({
      default: DEFAULT_XML_LIMITS.maxBytes,
      minimum: 16,
      description: 'Characters of one record, and of one piece of text or markup between records.',
    }),
    root: Type.String({
      default: 'records',
      description: 'Name of the root element of a document made of records.',
    }),
    rootAttributes: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Attributes of that root, such as namespace declarations.',
    }),
  },
  { additionalProperties: false },
)
export type XmlOptions = Static<typeof XmlOptions>

const PIECE_BYTES = 65_536

/**
 * The records of a document, see {@link XmlOptions}; memory is bounded by the largest one. The document is checked as
 * `parseXml` does, what is outside of records too, with places of the whole document in errors; `limits` hold for each
 * record, `maxDepth` also for the elements around them. A record given as an element has its parents, but these have
 * no content.
 *
 * Throws as `parseXml` does, after the records before the place have been given.
 */
export async function* splitXml(
  source: ByteSource,
  limits: BodyLimits,
  options: Partial<XmlOptions> = {},
): AsyncGenerator<XmlElement | { [name: string]: XmlValue }> {
  const splitter = new Splitter(limits, options)
  const asElement = options.as === 'element'
  for await (const bytes of source) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      for (const record of splitter.write(chunk.subarray(at, at + PIECE_BYTES))) {
        yield asElement ? record : xmlToObject(record)
      }
    }
  }
  for (const record of splitter.end()) yield asElement ? record : xmlToObject(record)
}

class Splitter {
  readonly #decoder = new XmlDecoder()
  readonly #scan = new XmlScan(DEFAULT_XML_LIMITS.maxAttributes)
  readonly #pieces: XmlPieces
  readonly #maxLength: number
  /** Text that ends in the middle of markup, or before any; it begins at `#start` of the document. */
  #pending: string[] = []
  #pendingLength = 0
  #start: Position = DOCUMENT_START
  /** Where `#start` is, in characters from the start of the document. */
  #startOffset = 0

  constructor({ maxDepth, maxElements }: BodyLimits, options: Partial<XmlOptions>) {
    const { record = '*/*', namespace, namespaces = 'inherit', maxRecordLength } = options
    this.#maxLength = maxRecordLength ?? DEFAULT_XML_LIMITS.maxBytes
    this.#pieces = new XmlPieces(
      { maxDepth, ...(maxElements !== undefined && { maxElements }) },
      { isRecord: matcher(record, namespace), inheritNamespaces: namespaces === 'inherit' },
    )
  }

  *write(bytes: Buffer): Generator<XmlElement> {
    yield* this.#read(this.#decoder.write(bytes))
    this.#checkText()
  }

  *end(): Generator<XmlElement> {
    yield* this.#read(this.#decoder.end())
    this.#checkText()
    yield* this.#pieces.read(this.#pending.join(''), this.#start, true)
  }

  *#read(text: string): Generator<XmlElement> {
    if (text === '') return
    const end = this.#scan.lastEnd(text)
    if (end === 0) {
      this.#pending.push(text)
      this.#pendingLength += text.length
    } else {
      const pending = this.#pending.join('')
      const piece = pending + text.slice(0, end)
      this.#pending = end === text.length ? [] : [text.slice(end)]
      this.#pendingLength = text.length - end
      const start = this.#start
      this.#start = endOf(piece, start)
      this.#startOffset += piece.length
      for (const record of this.#pieces.read(piece, start, false)) {
        this.#checkLength(this.#pieces.offset - this.#pieces.recordStart, record)
        yield record
      }
    }
    const open = this.#pieces.openRecord
    const from = open === undefined ? this.#startOffset : this.#pieces.recordStart
    this.#checkLength(this.#startOffset + this.#pendingLength - from, open)
  }

  #checkLength(length: number, record: XmlElement | undefined): void {
    if (length <= this.#maxLength) return
    const { line, column } = record?.position ?? this.#start
    const error = overLimit('XML', 'maxRecordLength', this.#maxLength, 'characters in a record')
    throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `${error.message}, at line ${line}`, {
      details: { ...error.details, line, column },
    })
  }

  /** Bytes that are not text: an error at the place up to which they were. */
  #checkText(): void {
    const why = this.#decoder.problem
    if (why === undefined) return
    const { line, column } = endOf(this.#pending.join(''), this.#start)
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `XML: ${why}, at line ${line}, column ${column}`, {
      details: { line, column },
    })
  }
}

/** The place after a text that begins at `start`. */
function endOf(text: string, start: Position): Position {
  let { line, column } = start
  let from = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', from)) {
    line++
    column = 1
    from = at + 1
  }
  return { line, column: column + text.length - from }
}

/** Whether an element, at a depth from the root, is what a path names. */
function matcher(
  path: string,
  namespace: string | undefined,
): (element: XmlElement, depth: number) => boolean {
  const steps = path.split('/')
  const anywhere = steps.length === 1
  if (steps[0] === '') steps.shift()
  for (const step of steps) {
    if (step === '*' || splitName(step)?.prefix === '') continue
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `XML: record: '${step}' is not a local name or *; prefixes are not compared, set namespace instead`,
    )
  }
  const last = steps.length - 1
  return (element, depth) => {
    if (!anywhere && depth !== last) return false
    if (namespace !== undefined && element.namespace !== namespace) return false
    let at: XmlElement | undefined = element
    for (let i = last; i >= 0; i--) {
      if (at === undefined || (steps[i] !== '*' && steps[i] !== at.name)) return false
      at = at.parent
    }
    return true
  }
}

/**
 * A document of records: an object with one property each (its element), as `xmlToObject` gives it, or an element.
 * Throws as `buildXml` does.
 */
export async function* joinXml(
  records: AsyncIterable<unknown> | Iterable<unknown>,
  options: Partial<XmlOptions> = {},
): AsyncGenerator<string> {
  const { root = 'records', rootAttributes = {} } = options
  yield openTag(root, rootAttributes)
  for await (const record of records) {
    if (typeof record !== 'object' || record === null) {
      throw new SignalboxError(
        'SIGNALBOX_CODEC_UNENCODABLE',
        'XML: a record is an object with one property, or an element',
      )
    }
    yield writeRecord(record, rootAttributes)
  }
  yield `</${root}>\n`
}
