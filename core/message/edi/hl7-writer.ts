/** Writes HL7 version 2 messages and batches. Counts are computed, never taken from the value. */
import { type Charset, charset } from './charset.ts'
import { isRecord, own, unencodable } from './errors.ts'
import {
  DEFAULT_ENCODING,
  DEFAULT_FIELD,
  delimitersOf,
  FieldWriter,
  HL7_HEADERS,
  type Hl7Delimiters,
} from './hl7-fields.ts'
import { hl7Get } from './hl7-get.ts'
import type { Hl7Options } from './hl7-options.ts'
import { hl7Charset } from './hl7-reader.ts'
import { hl7Structure } from './hl7-structures.ts'
import { Flattener } from './structure.ts'
import type { Path } from './syntax.ts'

const NAME = 'HL7'
const ENDS = { cr: '\r', lf: '\n', crlf: '\r\n' }
const TAG = /^[A-Z][A-Z0-9]{2}$/
const RESERVED: ReadonlySet<string> = new Set(['MSH', 'FHS', 'BHS', 'BTS', 'FTS'])

/** A file or a batch that is open. */
interface Open {
  tag: 'FHS' | 'BHS'
  text: string
  delimiters: Hl7Delimiters
  count: number
}

export class Hl7Writer {
  readonly #options: Hl7Options
  readonly #end: string
  #charset: Charset = charset('utf-8')
  #delimiters: Hl7Delimiters | undefined
  #fields: FieldWriter | undefined
  #open: Open[] = []
  #inMessage = false
  #bare = false
  #pieces: (string | Buffer)[] = []
  /** What the trailers of the open batch and file have beside their counts. */
  readonly #trailer: { BTS?: unknown; FTS?: unknown } = {}

  constructor(options: Hl7Options) {
    this.#options = options
    this.#end = ENDS[options.segmentEnd]
  }

  /** A body, which goes on with the file and batch before when their headers are the same. */
  record(value: unknown, path: string): void {
    if (!isRecord(value)) throw unencodable(NAME, path, 'must be an object with messages or batches')
    const batches = this.#list(value, 'batches', path)
    const messages = this.#list(value, 'messages', path)
    if (batches.length > 0 && messages.length > 0) {
      throw unencodable(NAME, join(path, 'messages'), 'must be in batches, or there must be none')
    }
    const file = own(value, 'FHS')
    if (file !== undefined && messages.length > 0) {
      throw unencodable(NAME, join(path, 'messages'), 'must be in batches within FHS')
    }
    let goesOn = true
    if (file !== undefined) goesOn = this.#enter('FHS', file, 0, true, () => join(path, 'FHS'))
    else if (this.#open[0]?.tag === 'FHS' || messages.length > 0) this.#closeTo(0)
    batches.forEach((batch, i) => {
      this.#batch(batch, join(path, `batches[${i}]`), file === undefined ? 0 : 1, goesOn && i === 0)
    })
    messages.forEach((message, i) => {
      this.#message(message, join(path, `messages[${i}]`))
    })
    this.#trailer.FTS = own(value, 'FTS')
  }

  #batch(batch: unknown, path: string, level: number, goesOn: boolean): void {
    if (!isRecord(batch)) throw unencodable(NAME, path, 'must be a batch')
    const header = own(batch, 'BHS')
    if (header !== undefined) this.#enter('BHS', header, level, goesOn, () => `${path}.BHS`)
    else if (level === 1) this.#closeTo(1)
    else throw unencodable(NAME, path, 'must have BHS, or be in a file with FHS')
    this.#list(batch, 'messages', path).forEach((message, j) => {
      this.#message(message, `${path}.messages[${j}]`)
    })
    this.#trailer.BTS = own(batch, 'BTS')
  }

  /** A segment; FHS, BHS, BTS and FTS open and close files and batches. */
  segment(value: unknown, path: string): void {
    if (!isRecord(value)) throw unencodable(NAME, path, 'must be a segment')
    const tag = own(value, 'tag')
    const fields = own(value, 'fields')
    const where = () => join(path, 'fields')
    if (tag === 'FHS' || tag === 'BHS') this.#begin(tag, fields, where)
    else if (tag === 'FTS' || tag === 'BTS') {
      if (this.#open.at(-1)?.tag !== (tag === 'FTS' ? 'FHS' : 'BHS')) {
        throw unencodable(NAME, path, `must not be ${tag} here`)
      }
      this.#trailer[tag] = fields
      this.#close()
    } else if (tag === 'MSH') this.#messageBegins(fields, where)
    else this.#content(tag, fields, where)
  }

  end(): void {
    this.#closeTo(0)
  }

  take(): (string | Buffer)[] {
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  /** Opens a file or a batch unless it is open and goes on; then true. */
  #enter(tag: 'FHS' | 'BHS', fields: unknown, level: number, mayGoOn: boolean, path: Path): boolean {
    const open = this.#open[level]
    if (mayGoOn && open?.tag === tag && this.#text(tag, fields, path) === open.text) return true
    this.#closeTo(level)
    this.#begin(tag, fields, path)
    return false
  }

  #closeTo(level: number): void {
    while (this.#open.length > level) this.#close()
  }

  #begin(tag: 'FHS' | 'BHS', fields: unknown, path: Path): void {
    if (this.#bare || this.#open.some(open => open.tag === tag || open.tag === 'BHS')) {
      throw unencodable(NAME, path(), `cannot stand here`)
    }
    this.#inMessage = false
    const text = this.#text(tag, fields, path)
    if (this.#open[0]) this.#open[0].count++
    this.#open.push({ tag, text, delimiters: this.#delimiters!, count: 0 })
    this.#put(text)
  }

  /** A header as text; sets the delimiters for what follows. */
  #text(tag: string, fields: unknown, path: Path): string {
    if (!isRecord(fields)) throw unencodable(NAME, path(), 'must be an object with numbers as names')
    const bad = (why: string) => unencodable(NAME, path(), `is no header: ${why}`)
    const [field = DEFAULT_FIELD, encoding = DEFAULT_ENCODING] = [own(fields, '1'), own(fields, '2')]
    if (typeof field !== 'string' || typeof encoding !== 'string') throw bad('fields 1 and 2 are delimiters')
    this.#delimiters = delimitersOf(field, encoding, bad)
    const named = tag === 'MSH' ? (hl7Get({ MSH: fields }, 'MSH-18') ?? '') : ''
    this.#charset = hl7Charset(named, this.#options.charset, bad)
    this.#fields = new FieldWriter(this.#delimiters, this.#charset)
    return this.#fields.segment(tag, fields, path)
  }

  #message(value: unknown, path: string): void {
    if (!isRecord(value)) throw unencodable(NAME, path, 'must be a message')
    const msh = own(value, 'MSH')
    const types = this.#messageBegins(msh, () => join(path, 'MSH'))
    const type = types[1] === '' ? types[0] : `${types[0]}^${types[1]}`
    const reference = hl7Get({ MSH: msh }, 'MSH-10') ?? ''
    for (const [key, real] of Object.entries({ type, reference })) {
      const given = own(value, key)
      if (given !== undefined && given !== real)
        throw unencodable(NAME, join(path, key), 'is not that of MSH')
    }
    const content = own(value, 'content')
    if (content !== undefined) {
      const structure = hl7Structure(types, this.#options.group || true)
      if (!structure) throw unencodable(NAME, join(path, 'content'), 'needs a structure, in the option group')
      const emit = (tag: string, fields: unknown, where: Path) => this.#content(tag, fields, where)
      new Flattener(NAME, structure, emit).run(structure, content, () => join(path, 'content'))
    }
    this.#list(value, 'segments', path).forEach((each, i) => {
      const here = join(path, `segments[${i}]`)
      if (!isRecord(each)) throw unencodable(NAME, here, 'must be a segment')
      this.#content(own(each, 'tag'), own(each, 'fields'), () => `${here}.fields`)
    })
  }

  #messageBegins(fields: unknown, path: Path): string[] {
    const text = this.#text('MSH', fields, path)
    const open = this.#open.at(-1)
    if (open?.tag === 'BHS') open.count++
    else if (open) open.count ||= 1
    else this.#bare = true
    this.#inMessage = true
    this.#put(text)
    return [1, 2, 3].map(i => hl7Get({ MSH: fields }, `MSH-9.${i}`) ?? '')
  }

  #content(tag: unknown, fields: unknown, path: Path): void {
    if (!this.#inMessage) throw unencodable(NAME, path(), 'is outside a message')
    if (typeof tag !== 'string' || !TAG.test(tag) || RESERVED.has(tag) || HL7_HEADERS.has(tag)) {
      throw unencodable(NAME, path(), 'has a tag that is none, or not for data')
    }
    this.#put(this.#fields!.segment(tag, fields, path))
  }

  #close(): void {
    const { tag, delimiters, count } = this.#open.pop()!
    const trailer = tag === 'FHS' ? 'FTS' : 'BTS'
    const given = this.#trailer[trailer]
    this.#trailer[trailer] = undefined
    const fields = { ...(isRecord(given) ? given : {}), 1: String(count) }
    this.#inMessage = false
    this.#charset = hl7Charset('', this.#options.charset, why => unencodable(NAME, trailer, why))
    this.#put(new FieldWriter(delimiters, this.#charset).segment(trailer, fields, () => trailer))
  }

  #put(text: string): void {
    this.#pieces.push(this.#charset.encode(text + this.#end))
  }

  #list(value: Record<string, unknown>, name: string, path: string): unknown[] {
    const found = own(value, name)
    if (found === undefined || found === null) return []
    if (!Array.isArray(found)) throw unencodable(NAME, join(path, name), 'must be a list')
    return found
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}
