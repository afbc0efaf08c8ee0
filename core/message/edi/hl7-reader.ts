/** Reads HL7 version 2 messages and batches from bytes that arrive in pieces. */
import { type BodyLimits, DEFAULT_MAX_ELEMENTS } from '../format.ts'
import { overLimit } from '../safety.ts'
import { type Charset, type CharsetName, charset, isAsciiText } from './charset.ts'
import { invalid, type Place } from './errors.ts'
import { delimitersOf, FieldReader, HL7_HEADERS, type Hl7Fields, type Hl7Segment } from './hl7-fields.ts'
import { hl7Get } from './hl7-get.ts'
import type { Hl7Options } from './hl7-options.ts'
import { hl7Structure } from './hl7-structures.ts'
import { SegmentScanner } from './scanner.ts'
import { type Content, Placer } from './structure.ts'
import { Budget } from './syntax.ts'

const NAME = 'HL7'
const LEVELS = 9
const TAG = /^[A-Z][A-Z0-9]{2}$/
const ENVELOPES: ReadonlySet<string> = new Set(['FHS', 'BHS', 'BTS', 'FTS'])

const TRAILERS = new Map([
  ['BHS', 'BTS'],
  ['FHS', 'FTS'],
])

/** One message. Its segments are in `segments`, or by name in `content` when they are grouped. */
export interface Hl7Message {
  /** MSH-9, such as `ADT^A01`. */
  type: string
  /** MSH-10, the message control ID. */
  reference: string
  MSH: Hl7Fields
  segments?: Hl7Segment[]
  content?: Content
}

export interface Hl7Batch {
  BHS?: Hl7Fields
  messages: Hl7Message[]
  BTS?: Hl7Fields
}

/** Bare messages, or a file of batches. */
export interface Hl7Body {
  messages?: Hl7Message[]
  FHS?: Hl7Fields
  batches?: Hl7Batch[]
  FTS?: Hl7Fields
  /** Counts that do not match; only with `strict: false`. Not written. */
  problems?: string[]
}

export type Hl7Item =
  | { kind: 'message'; message: Hl7Message }
  | { kind: 'envelope'; segment: Hl7Segment }
  | { kind: 'segment'; segment: Hl7Segment }

/** The character set that MSH-18 names; UTF-8, which holds ASCII, when it is empty. */
export function hl7Charset(name: string, chosen: CharsetName | 'auto', bad: (why: string) => Error): Charset {
  if (chosen !== 'auto') return charset(chosen)
  if (name === '' || name === 'UNICODE UTF-8') return charset('utf-8')
  if (name === 'ASCII') return charset('ascii')
  const part = /^8859\/(\d{1,2})$/.exec(name)?.[1]
  if (part !== undefined && (Number(part) <= 9 || part === '15')) {
    return charset(`iso-8859-${Number(part)}` as CharsetName)
  }
  throw bad('the character set of MSH-18 is not known; choose one in the option charset')
}

export class Hl7Reader {
  readonly #options: Hl7Options
  readonly #scanner: SegmentScanner
  readonly #budget: Budget
  readonly #maxDepth: number
  readonly #bySegment: boolean
  #fields: FieldReader | undefined
  /** A trailer has the delimiters of its own header, whatever the messages before it have. */
  readonly #readers = new Map<string, FieldReader>()
  #charset: Charset = charset('utf-8')
  #message: Hl7Message | undefined
  #placer: Placer | undefined
  #inFile = false
  #inBatch = false
  /** Whether a message has been read outside batches: then no batch may follow. */
  #bare = false
  #messages = 0
  #batches = 0
  readonly problems: string[] = []

  constructor(limits: BodyLimits, options: Hl7Options, bySegment: boolean) {
    if (limits.maxDepth < LEVELS) throw overLimit(NAME, 'maxDepth', limits.maxDepth, 'levels')
    this.#options = options
    this.#maxDepth = limits.maxDepth
    this.#bySegment = bySegment
    this.#scanner = new SegmentScanner(NAME, options.maxSegmentBytes)
    this.#scanner.endSegmentsBy({ terminators: '\r\n', openEnd: true, skipSpaces: false })
    this.#budget = new Budget(NAME, limits.maxElements ?? DEFAULT_MAX_ELEMENTS)
  }

  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk)
  }

  end(): void {
    this.#scanner.end()
  }

  renewBudget(): void {
    this.#budget.renew()
  }

  place(tag?: string): Place {
    return this.#scanner.place(tag)
  }

  /** What can be read from the bytes until now. A message is there when the next one begins, or at the end. */
  *items(): Generator<Hl7Item, void> {
    for (let raw = this.#scanner.next(); raw !== undefined; raw = this.#scanner.next()) {
      const tag = raw.slice(0, 3)
      const starts = HL7_HEADERS.has(tag)
      if (starts || ENVELOPES.has(tag)) {
        yield* this.#messageEnds()
        this.#charset = hl7Charset('', this.#options.charset, why => this.#invalid(why))
      }
      if (starts) this.#header(raw)
      else if (ENVELOPES.has(tag)) this.#fields = this.#readers.get(tag)
      const segment = this.#segment(raw)
      if (ENVELOPES.has(tag)) this.#envelope(segment)
      else if (tag === 'MSH') this.#messageStarts(segment)
      else this.#content(segment)
      if (this.#bySegment) yield { kind: 'segment', segment }
      else if (ENVELOPES.has(tag)) yield { kind: 'envelope', segment }
    }
  }

  /** The last message; throws when the body ends too early. */
  *finish(): Generator<Hl7Item, void> {
    yield* this.#messageEnds()
    if (this.#scanner.segment === 0) throw this.#invalid('there is no MSH')
    if (this.#inBatch) throw this.#invalid('the body ends without BTS')
    if (this.#inFile) throw this.#invalid('the body ends without FTS')
  }

  #header(raw: string): void {
    const field = raw[3] ?? ''
    const end = raw.indexOf(field, 4)
    const encoding = raw.slice(4, end === -1 ? undefined : end)
    const bad = (why: string) => this.#invalid(why, raw.slice(0, 3))
    const delimiters = delimitersOf(field, encoding, bad)
    if (raw.startsWith('MSH')) {
      const name = raw.split(field, 18)[17]?.split(delimiters.repetition)[0] ?? ''
      this.#charset = hl7Charset(name, this.#options.charset, bad)
    }
    this.#fields = new FieldReader(delimiters, this.#charset, this.#budget, bad)
    const trailer = TRAILERS.get(raw.slice(0, 3))
    if (trailer !== undefined) this.#readers.set(trailer, this.#fields)
  }

  #segment(raw: string): Hl7Segment {
    const tag = raw.slice(0, 3)
    if (!this.#fields)
      throw this.#invalid('a message begins with MSH, a file with FHS, a batch with BHS', tag)
    if (!TAG.test(tag) || (raw.length > 3 && raw[3] !== this.#fields.separator)) {
      throw this.#invalid('a segment begins with its name of three characters and the field separator')
    }
    if (this.#scanner.ascii || isAsciiText(raw)) return this.#fields.read(raw)
    const text = this.#charset.decode(raw)
    if (text === undefined) throw this.#invalid(`the segment is not text in ${this.#charset.name}`, tag)
    return this.#fields.read(text)
  }

  #envelope({ tag, fields }: Hl7Segment): void {
    const allowed = {
      FHS: !this.#inFile && !this.#inBatch && !this.#bare,
      BHS: !this.#inBatch && !this.#bare,
      BTS: this.#inBatch,
      FTS: this.#inFile && !this.#inBatch,
    }[tag as 'FHS']
    if (!allowed) throw this.#invalid('it may not stand here', tag)
    if (tag === 'BTS') this.#count(fields, this.#messages, tag)
    if (tag === 'FTS') this.#count(fields, this.#batches, tag)
    if (tag === 'FHS' || tag === 'FTS') {
      this.#inFile = tag === 'FHS'
      this.#batches = 0
    } else {
      this.#inBatch = tag === 'BHS'
      if (tag === 'BHS') this.#batches++
      this.#messages = 0
    }
  }

  /** BTS-1 and FTS-1 are optional. */
  #count(fields: Hl7Fields, count: number, tag: string): void {
    const given = hl7Get({ MSH: fields }, 'MSH-1') ?? ''
    if (given === '' || (/^\d{1,10}$/.test(given) && Number(given) === count)) return
    const what = `the count in its first field is not ${count}, the number there is`
    if (this.#options.strict) throw this.#invalid(what, tag)
    this.problems.push(`${tag}: ${what}`)
  }

  #messageStarts({ fields }: Hl7Segment): void {
    this.#messages++
    if (!this.#inBatch) {
      if (this.#inFile && this.#batches === 0) this.#batches = 1
      if (!this.#inFile) this.#bare = true
    }
    const types = [1, 2, 3].map(i => hl7Get({ MSH: fields }, `MSH-9.${i}`) ?? '')
    const type = types[1] === '' ? types[0]! : `${types[0]}^${types[1]}`
    this.#message = { type, reference: hl7Get({ MSH: fields }, 'MSH-10') ?? '', MSH: fields }
    const structure = this.#bySegment ? undefined : hl7Structure(types, this.#options.group)
    if (structure && structure.depth + LEVELS > this.#maxDepth) {
      throw overLimit(NAME, 'maxDepth', this.#maxDepth, 'levels of nesting')
    }
    this.#placer = structure && new Placer(structure)
    if (this.#placer) this.#message.content = this.#placer.content
    else this.#message.segments = []
  }

  #content(segment: Hl7Segment): void {
    const message = this.#message
    if (!message) throw this.#invalid('a message begins with MSH', segment.tag)
    if (this.#bySegment) return
    if (!this.#placer) message.segments!.push(segment)
    else if (!this.#placer.place(segment.tag, segment.fields)) {
      throw this.#invalid(
        'it has no place in the structure of the message, or is there too often',
        segment.tag,
      )
    }
  }

  *#messageEnds(): Generator<Hl7Item, void> {
    const message = this.#message
    this.#message = undefined
    this.#placer = undefined
    if (message && !this.#bySegment) yield { kind: 'message', message }
  }

  #invalid(why: string, tag?: string): Error {
    return invalid(NAME, why, this.#scanner.place(tag))
  }
}
