/** Reads interchanges, item by item, from bytes that arrive in pieces. Checks envelopes, counts and references. */
import { isAscii } from 'node:buffer'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS } from '../format.ts'
import { overLimit } from '../safety.ts'
import { isAsciiText } from './charset.ts'
import type { Advice, Dialect, EdiMessage, EdiPackage, Envelope, Item, Opening } from './dialect.ts'
import { textOf } from './dialect.ts'
import { invalid, type Place, tooLarge } from './errors.ts'
import type { EdiReadOptions } from './options.ts'
import { SegmentScanner } from './scanner.ts'
import { compileStructure, Placer } from './structure.ts'
import { Budget, type EdiElement, type EdiSegment, readSegment } from './syntax.ts'

/** Levels of the value above the groups of a message, and within a segment. */
const LEVELS = 8

/** An envelope that is open. */
interface Open {
  envelope: Envelope
  reference: string
  /** Segments of a message, messages of a group, groups or messages and packages of an interchange. */
  count: number
}

export class EdiReader {
  readonly #dialect: Dialect
  readonly #options: EdiReadOptions
  readonly #scanner: SegmentScanner
  readonly #budget: Budget
  readonly #maxDepth: number
  readonly #bySegment: boolean
  #opening: Opening | undefined
  #advice: Advice = {}
  /** Interchange, group and message, as far as they are open. */
  #open: Open[] = []
  #hasGroups = false
  #hasItems = false
  #message: EdiMessage | undefined
  #placer: Placer | undefined
  #object: { segment: EdiSegment; length: number } | undefined
  #package: EdiPackage | undefined
  #problems: string[] = []

  constructor(dialect: Dialect, limits: BodyLimits, options: EdiReadOptions, bySegment: boolean) {
    this.#dialect = dialect
    this.#options = options
    this.#scanner = new SegmentScanner(dialect.name, options.maxSegmentBytes)
    this.#budget = new Budget(dialect.name, limits.maxElements ?? DEFAULT_MAX_ELEMENTS)
    this.#maxDepth = limits.maxDepth
    this.#bySegment = bySegment
    if (limits.maxDepth < LEVELS) throw overLimit(dialect.name, 'maxDepth', limits.maxDepth, 'levels')
  }

  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk)
  }

  end(): void {
    this.#scanner.end()
  }

  /** Lets the next record have as many values as the limits say. */
  renewBudget(): void {
    this.#budget.renew()
  }

  place(tag?: string): Place {
    return this.#scanner.place(tag)
  }

  /** What can be read from the bytes until now. */
  *items(): Generator<Item, void> {
    for (;;) {
      if (this.#object) {
        const data = this.#scanner.take(this.#object.length)
        if (data === undefined) return
        yield* this.#objectEnds(data)
      }
      if (!this.#opening) {
        if (!this.#start()) return
        yield* this.#opened()
        continue
      }
      const raw = this.#scanner.next()
      if (raw === undefined) return
      yield* this.#step(this.#segment(raw, this.#opening))
    }
  }

  /** Throws when the body ends within something. */
  finish(): void {
    const { name } = this.#dialect
    const open = this.#open.at(-1)
    if (open) throw invalid(name, `the body ends without ${open.envelope.trailer}`, this.#scanner.place())
    if (this.#scanner.segment === 0) {
      throw invalid(name, `there is no ${this.#dialect.interchange.header}`, this.#scanner.place())
    }
  }

  #start(): boolean {
    if (this.#scanner.finished && this.#advice.una === undefined) return false
    this.#opening = this.#dialect.open(this.#scanner, this.#options.charset, this.#advice)
    return this.#opening !== undefined
  }

  *#opened(): Generator<Item, void> {
    const { interchange, segments } = this.#opening!
    this.#advice = {}
    const envelope = this.#dialect.interchange
    const header = segments.at(-1)!
    const reference = textOf(header.elements[envelope.reference])
    this.#open = [{ envelope, reference, count: 0 }]
    this.#hasGroups = this.#dialect.groupsOnly
    this.#hasItems = false
    this.#problems = []
    if (!this.#bySegment) yield { kind: 'interchange', interchange }
    else for (const segment of segments) yield { kind: 'segment', segment }
  }

  #segment(raw: string, { charset, syntax }: Opening): EdiSegment {
    let text = raw
    if (!this.#scanner.ascii && !isAsciiText(raw)) {
      const decoded = charset.decode(raw)
      if (decoded === undefined) throw this.#invalid(`the segment is not text in ${charset.name}`)
      text = decoded
    }
    const segment = readSegment(text, syntax, this.#budget)
    if (!this.#dialect.tag.test(segment.tag)) {
      throw this.#invalid(`a segment begins with its name, such as ${this.#dialect.message.header}`)
    }
    return segment
  }

  *#step(segment: EdiSegment): Generator<Item, void> {
    const { interchange, group, message } = this.#dialect
    const { tag } = segment
    const inside = this.#open.at(-1)!.envelope
    let item: Item | undefined
    if (inside === message) {
      this.#open.at(-1)!.count++
      if (tag === message.trailer) item = this.#messageEnds(segment)
      else this.#content(segment)
    } else if (this.#package) item = this.#packageEnds(segment)
    else if (tag === message.header) this.#messageStarts(segment)
    else if (tag === group.header && inside === interchange) item = this.#groupStarts(segment)
    else if (tag === group.trailer && inside === group) this.#close(segment)
    else if (tag === interchange.trailer && inside === interchange) item = this.#interchangeEnds(segment)
    else if (tag === 'UNO' && this.#dialect.reserved.has(tag)) this.#objectStarts(segment)
    else this.#between(segment, inside)
    if (!this.#bySegment) {
      if (item) yield item
    } else if (!this.#object) yield { kind: 'segment', segment }
  }

  /** Segments that may follow the header of an interchange. */
  #between(segment: EdiSegment, inside: Envelope): void {
    const { tag } = segment
    if (inside !== this.#dialect.interchange || this.#hasItems || !this.#dialect.extras.includes(tag)) {
      throw this.#invalid(`it may not stand here, within ${inside.header}`, tag)
    }
    const { interchange } = this.#opening!
    interchange[tag] ??= []
    const list = interchange[tag] as EdiElement[][]
    list.push(segment.elements)
  }

  #groupStarts(segment: EdiSegment): Item {
    const { group, interchange } = this.#dialect
    if (this.#hasItems && !this.#hasGroups) {
      throw this.#invalid(`messages must all be in groups or none of them`, segment.tag)
    }
    this.#hasGroups = true
    this.#hasItems = true
    this.#open.find(open => open.envelope === interchange)!.count++
    this.#open.push({ envelope: group, reference: textOf(segment.elements[group.reference]), count: 0 })
    return { kind: 'group', header: segment.elements }
  }

  #messageStarts(segment: EdiSegment): void {
    const { message, group } = this.#dialect
    const parent = this.#open.at(-1)!
    if (this.#hasGroups && parent.envelope !== group) {
      throw this.#invalid(`a message must be within ${group.header} and ${group.trailer} here`, segment.tag)
    }
    this.#hasItems = true
    parent.count++
    const reference = textOf(segment.elements[message.reference])
    this.#open.push({ envelope: message, reference, count: 1 })
    if (this.#bySegment) return
    const type = this.#dialect.typeOf(segment.elements)
    this.#placer = this.#placerFor(type)
    this.#message = { type, reference, [message.header]: segment.elements }
    if (this.#placer) this.#message.content = this.#placer.content
    else this.#message.segments = []
  }

  #placerFor(type: string): Placer | undefined {
    const { group } = this.#options
    if (group === false) return undefined
    const own = typeof group === 'object' && Object.hasOwn(group, type) ? group[type] : undefined
    const built = Object.hasOwn(this.#dialect.structures, type) ? this.#dialect.structures[type] : undefined
    const text = own ?? built
    if (text === undefined) return undefined
    const structure = compileStructure(text)
    if (structure.depth + LEVELS > this.#maxDepth) {
      throw overLimit(this.#dialect.name, 'maxDepth', this.#maxDepth, 'levels of nesting')
    }
    return new Placer(structure)
  }

  #content(segment: EdiSegment): void {
    const { tag } = segment
    if (this.#dialect.reserved.has(tag)) {
      const { header, trailer } = this.#dialect.message
      throw this.#invalid(`it may not stand between ${header} and ${trailer}`, tag)
    }
    if (this.#bySegment) return
    if (!this.#placer) this.#message!.segments!.push(segment)
    else if (!this.#placer.place(tag, segment.elements)) {
      throw this.#invalid(
        `it has no place in the structure of ${this.#message!.type}, or is there too often`,
        tag,
      )
    }
  }

  #messageEnds(segment: EdiSegment): Item | undefined {
    this.#close(segment)
    const message = this.#message
    this.#message = undefined
    this.#placer = undefined
    return message && { kind: 'message', message }
  }

  #interchangeEnds(segment: EdiSegment): Item {
    this.#close(segment)
    this.#opening = undefined
    return { kind: 'end', problems: this.#problems, place: this.#scanner.place() }
  }

  /** Checks count and reference of a trailer against what was read. */
  #close({ tag, elements }: EdiSegment): void {
    const { reference, count, envelope } = this.#open.pop()!
    const given = textOf(elements[0])
    if (!/^\d{1,15}$/.test(given) || Number(given) !== count) {
      this.#problem(`the count is ${quoted(given)}, but there are ${count}`, tag)
    }
    const other = textOf(elements[1])
    if (!this.#dialect.sameReference(other, reference)) {
      this.#problem(`the reference is ${quoted(other)}, but ${quoted(reference)} in ${envelope.header}`, tag)
    }
  }

  #objectStarts(segment: EdiSegment): void {
    const length = textOf(segment.elements[3])
    if (!/^\d{1,12}$/.test(length)) throw this.#invalid('the length of the object must be a number', 'UNO')
    const max = this.#options.maxPackageBytes
    if (Number(length) > max) {
      throw tooLarge(this.#dialect.name, 'maxPackageBytes', max, 'bytes in an object', this.place('UNO'))
    }
    this.#hasItems = true
    this.#open.at(-1)!.count++
    this.#object = { segment, length: Number(length) }
  }

  *#objectEnds(binary: string): Generator<Item, void> {
    const { segment } = this.#object!
    const data = Buffer.from(binary, 'latin1')
    this.#package = { UNO: segment.elements, data }
    this.#object = undefined
    if (this.#bySegment) yield { kind: 'segment', segment: { ...segment, data } }
  }

  #packageEnds({ tag, elements }: EdiSegment): Item {
    if (tag !== 'UNP') throw this.#invalid('UNP must follow the object of UNO', tag)
    const read = this.#package!
    this.#package = undefined
    if (Number(textOf(elements[0])) !== read.data.length) {
      this.#problem(`the length is ${quoted(textOf(elements[0]))}, but ${read.data.length} in UNO`, tag)
    }
    if (textOf(elements[1]) !== textOf(read.UNO[0])) {
      this.#problem(`the reference is ${quoted(textOf(elements[1]))}, but another one in UNO`, tag)
    }
    return { kind: 'package', package: read }
  }

  #problem(what: string, tag: string): void {
    if (this.#options.strict) throw this.#invalid(what, tag)
    this.#problems.push(`${tag}: ${what}`)
  }

  #invalid(why: string, tag?: string): Error {
    return invalid(this.#dialect.name, why, this.#scanner.place(tag))
  }
}

/** A control value in an error: short, and without what a terminal or a log would act on. */
function quoted(text: string): string {
  const short = text.length > 35 ? `${text.slice(0, 35)}...` : text
  return isAscii(Buffer.from(short)) ? JSON.stringify(short) : 'not ASCII'
}
