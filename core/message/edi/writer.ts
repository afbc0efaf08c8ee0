/** Writes interchanges. Counts, references of trailers and lengths are computed, never taken from the value. */
import type { Charset } from './charset.ts'
import { type Dialect, type Envelope, textOf } from './dialect.ts'
import { isRecord, own, unencodable } from './errors.ts'
import type { EdiReadOptions } from './options.ts'
import { compileStructure, Flattener } from './structure.ts'
import { type Path, SegmentWriter } from './syntax.ts'

interface Open {
  envelope: Envelope
  /** The header as it was written, to see whether the next record belongs to the same. */
  text: string
  reference: string
  count: number
}

/** What is written goes to `take()`, in pieces. */
export class EdiWriter {
  readonly #dialect: Dialect
  readonly #options: EdiReadOptions
  #segments: SegmentWriter | undefined
  #charset: Charset | undefined
  #open: Open[] = []
  #text = ''
  #pieces: (string | Buffer)[] = []
  #hasGroups = false
  #hasMessages = false
  /** UNA, when it was written as a segment and its UNB has not come. */
  #una: string | undefined
  /** A package, segment by segment, whose UNP has not come. */
  #package: { reference: string; length: number } | undefined

  constructor(dialect: Dialect, options: EdiReadOptions) {
    this.#dialect = dialect
    this.#options = options
  }

  /** An interchange, which goes on with the one before when their headers are the same. */
  record(value: unknown, path: string): void {
    const { name, interchange } = this.#dialect
    if (!isRecord(value)) throw unencodable(name, path, 'must be an interchange')
    const header = own(value, 'interchange')
    if (!isRecord(header)) throw unencodable(name, join(path, 'interchange'), 'must be an object')
    const goesOn = this.#interchange(header, () => join(path, 'interchange'))
    const groups = list(name, value, 'groups', path)
    const messages = list(name, value, 'messages', path)
    if (messages.length > 0 && (groups.length > 0 || this.#dialect.groupsOnly)) {
      throw unencodable(name, join(path, 'messages'), `must be in groups within ${interchange.header}`)
    }
    groups.forEach((each, i) => {
      this.#group(each, join(path, `groups[${i}]`), goesOn && i === 0)
    })
    messages.forEach((each, i) => {
      this.#message(each, join(path, `messages[${i}]`))
    })
    list(name, value, 'packages', path).forEach((each, i) => {
      this.#wholePackage(each, join(path, `packages[${i}]`))
    })
  }

  /** A segment; those of the envelopes open and close them. */
  segment(value: unknown, path: string): void {
    const { name, interchange, group, message } = this.#dialect
    if (!isRecord(value)) throw unencodable(name, path, 'must be a segment')
    const tag = own(value, 'tag')
    const elements = own(value, 'elements')
    const where = () => join(path, 'elements')
    if (this.#package && tag !== 'UNP') throw unencodable(name, path, 'must be UNP: an object came before')
    if (tag === interchange.header || (tag === 'UNA' && this.#dialect.reserved.has(tag))) {
      this.#openBySegment(tag, value, where)
    } else if (tag === interchange.trailer) this.#closeBySegment(interchange, path)
    else if (tag === group.header) this.#openGroup(elements, where)
    else if (tag === group.trailer) this.#closeBySegment(group, path)
    else if (tag === message.header) this.#openMessage(elements, where)
    else if (tag === message.trailer) this.#closeBySegment(message, path)
    else if (tag === 'UNO' && this.#dialect.reserved.has(tag))
      this.#object(elements, own(value, 'data'), where)
    else if (tag === 'UNP' && this.#package) this.#objectEnds()
    else if (this.#inside !== message && this.#dialect.extras.includes(tag as string)) {
      this.#extra(tag as string, elements, where)
    } else this.#content(tag, elements, where)
  }

  /** Ends what is open. */
  end(): void {
    if (this.#una !== undefined) throw unencodable(this.#dialect.name, '', 'ends after UNA')
    if (this.#package) throw unencodable(this.#dialect.name, '', 'ends within a package: UNP is missing')
    while (this.#open.length > 0) this.#close()
  }

  /** What was written since the last call. */
  take(): (string | Buffer)[] {
    this.#flush()
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  get #inside(): Envelope | undefined {
    return this.#open.at(-1)?.envelope
  }

  #openBySegment(tag: string, segment: Record<string, unknown>, path: Path): void {
    if (this.#open.length > 0)
      throw unencodable(this.#dialect.name, path(), `cannot stand within an interchange`)
    const elements = own(segment, 'elements')
    if (tag === 'UNA') {
      this.#una = textOf(elements)
      return
    }
    const header: Record<string, unknown> = { [tag]: elements }
    const separators = own(segment, 'separators')
    if (separators !== undefined) header.separators = separators
    if (this.#una !== undefined) header.UNA = this.#una
    this.#una = undefined
    this.#begin(header, path)
  }

  /** True when the open interchange has the same header and goes on. */
  #interchange(header: Record<string, unknown>, path: Path): boolean {
    const open = this.#open[0]
    if (open) {
      const { text } = this.#dialect.write(header, this.#options.charset, path)
      if (text === open.text) return true
      while (this.#open.length > 0) this.#close()
    }
    this.#begin(header, path)
    for (const tag of this.#dialect.extras) {
      const extras = own(header, tag)
      if (extras === undefined) continue
      if (!Array.isArray(extras)) throw unencodable(this.#dialect.name, join(path(), tag), 'must be a list')
      extras.forEach((each, i) => {
        this.#extra(tag, each, () => `${path()}.${tag}[${i}]`)
      })
    }
    return false
  }

  #begin(header: Record<string, unknown>, path: Path): void {
    const { syntax, charset, text, reference } = this.#dialect.write(header, this.#options.charset, path)
    this.#flush()
    this.#charset = charset
    this.#segments = new SegmentWriter(this.#dialect.name, syntax, charset)
    this.#hasGroups = this.#dialect.groupsOnly
    this.#hasMessages = false
    const una = text.startsWith('UNA') ? 9 : 0
    if (una > 0) this.#put(text.slice(0, una))
    this.#put(text.slice(una))
    this.#open = [{ envelope: this.#dialect.interchange, text, reference, count: 0 }]
  }

  #extra(tag: string, elements: unknown, path: Path): void {
    if (this.#inside !== this.#dialect.interchange || this.#hasMessages) {
      throw unencodable(this.#dialect.name, path(), `cannot stand after groups or messages`)
    }
    this.#put(this.#segments!.segment(tag, elements, path))
  }

  #group(value: unknown, path: string, goesOn: boolean): void {
    const { name, group } = this.#dialect
    if (!isRecord(value)) throw unencodable(name, path, 'must be a group')
    this.#openGroup(own(value, group.header), () => join(path, group.header), goesOn)
    list(name, value, 'messages', path).forEach((each, i) => {
      this.#message(each, join(path, `messages[${i}]`))
    })
  }

  /** With `goesOn`, messages go on in the open group when its header is the same. */
  #openGroup(elements: unknown, path: Path, goesOn = false): void {
    const { name, group, message, interchange } = this.#dialect
    const open = this.#open.at(-1)
    if (!open || open.envelope === message) throw unencodable(name, path(), 'cannot stand here')
    const text = this.#segments!.segment(group.header, elements, path)
    if (open.envelope === group) {
      if (goesOn && open.text === text) return
      if (this.#options.by === 'segment') throw unencodable(name, path(), `cannot stand within a group`)
      this.#close()
    }
    if (this.#hasMessages && !this.#hasGroups) {
      throw unencodable(name, path(), `comes after messages that are in no group`)
    }
    this.#hasGroups = true
    this.#hasMessages = true
    this.#open.find(each => each.envelope === interchange)!.count++
    this.#put(text)
    const reference = textOf((elements as unknown[])[group.reference])
    this.#open.push({ envelope: group, text, reference, count: 0 })
  }

  #message(value: unknown, path: string): void {
    const { name, message } = this.#dialect
    if (!isRecord(value)) throw unencodable(name, path, 'must be a message')
    const header = own(value, message.header)
    this.#openMessage(header, () => join(path, message.header))
    const elements = header as unknown[]
    const type = this.#dialect.typeOf(elements as never)
    const reference = textOf(elements[message.reference])
    for (const [key, real] of Object.entries({ type, reference })) {
      const given = own(value, key)
      if (given !== undefined && given !== real) {
        throw unencodable(name, join(path, key), `is not the ${key} in ${message.header}`)
      }
    }
    const content = own(value, 'content')
    if (content !== undefined) this.#grouped(type, content, () => join(path, 'content'))
    list(name, value, 'segments', path).forEach((each, i) => {
      const where = () => join(path, `segments[${i}]`)
      if (!isRecord(each)) throw unencodable(name, where(), 'must be a segment')
      this.#content(own(each, 'tag'), own(each, 'elements'), () => `${where()}.elements`)
    })
    this.#close()
  }

  #openMessage(elements: unknown, path: Path): void {
    const { name, message, group, interchange } = this.#dialect
    const parent = this.#open.at(-1)
    if (!parent || parent.envelope === message) throw unencodable(name, path(), 'cannot stand here')
    if (parent.envelope === interchange && this.#hasGroups) {
      throw unencodable(name, path(), `must be within ${group.header}`)
    }
    const text = this.#segments!.segment(message.header, elements, path)
    const reference = textOf((elements as unknown[])[message.reference])
    if (reference === '') throw unencodable(name, path(), 'has no reference')
    this.#hasMessages = true
    parent.count++
    this.#put(text)
    this.#open.push({ envelope: message, text: '', reference, count: 1 })
  }

  #grouped(type: string, content: unknown, path: Path): void {
    const { name, structures } = this.#dialect
    const { group } = this.#options
    const own = typeof group === 'object' && Object.hasOwn(group, type) ? group[type] : undefined
    const text = own ?? (Object.hasOwn(structures, type) ? structures[type] : undefined)
    if (text === undefined)
      throw unencodable(name, path(), `needs a structure for ${type}, in the option group`)
    const structure = compileStructure(text)
    const emit = (tag: string, value: unknown, where: Path) => this.#content(tag, value, where)
    new Flattener(name, structure, emit).run(structure, content, path)
  }

  #content(tag: unknown, elements: unknown, path: Path): void {
    const { name, message, tag: pattern, reserved } = this.#dialect
    const open = this.#open.at(-1)
    if (open?.envelope !== message) throw unencodable(name, path(), 'is outside a message')
    if (typeof tag !== 'string' || !pattern.test(tag))
      throw unencodable(name, path(), 'has a tag that is none')
    if (reserved.has(tag)) throw unencodable(name, path(), `is of the tag ${tag}, which is not for data`)
    open.count++
    this.#put(this.#segments!.segment(tag, elements, path))
  }

  #wholePackage(value: unknown, path: string): void {
    if (!isRecord(value)) throw unencodable(this.#dialect.name, path, 'must be a package')
    if (this.#inside !== this.#dialect.interchange) this.#close()
    this.#object(own(value, 'UNO'), own(value, 'data'), () => path)
    this.#objectEnds()
  }

  #object(elements: unknown, data: unknown, path: Path): void {
    const { name, interchange, reserved } = this.#dialect
    const open = this.#open.at(-1)
    if (!reserved.has('UNO') || open?.envelope !== interchange) {
      throw unencodable(
        name,
        path(),
        'cannot stand here: packages are for EDIFACT, outside messages and groups',
      )
    }
    if (!(data instanceof Uint8Array)) throw unencodable(name, `${path()}.data`, 'must be bytes')
    if (!Array.isArray(elements)) throw unencodable(name, `${path()}.UNO`, 'must be a list of elements')
    const filled = Array.from({ length: Math.max(4, elements.length) }, (_, i) => elements[i])
    filled[3] = [String(data.length)]
    open.count++
    this.#hasMessages = true
    this.#text += this.#segments!.segment('UNO', filled, () => `${path()}.UNO`)
    this.#flush()
    this.#pieces.push(Buffer.from(data))
    this.#package = { reference: textOf(elements[0]), length: data.length }
  }

  #objectEnds(): void {
    const { reference, length } = this.#package!
    this.#package = undefined
    this.#put(this.#segments!.segment('UNP', [String(length), reference], () => 'UNP'))
  }

  #closeBySegment(envelope: Envelope, path: string): void {
    if (this.#inside !== envelope) {
      throw unencodable(this.#dialect.name, path, `must not be ${envelope.trailer} here`)
    }
    this.#close()
  }

  #close(): void {
    const { envelope, reference, count } = this.#open.pop()!
    const written = envelope === this.#dialect.message ? count + 1 : count
    this.#put(this.#segments!.segment(envelope.trailer, [String(written), reference], () => envelope.trailer))
  }

  #put(text: string): void {
    this.#text += text
    if (this.#options.lineBreaks) this.#text += '\n'
  }

  #flush(): void {
    if (this.#text === '') return
    this.#pieces.push(this.#charset!.encode(this.#text))
    this.#text = ''
  }
}

function list(format: string, value: Record<string, unknown>, name: string, path: string): unknown[] {
  const found = own(value, name)
  if (found === undefined || found === null) return []
  if (!Array.isArray(found)) throw unencodable(format, join(path, name), 'must be a list')
  return found
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}
