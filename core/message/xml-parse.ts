/**
 * A namespace-aware XML 1.0 parser for messages: strict about well-formedness (XML 1.0 fifth edition, Namespaces
 * in XML 1.0), and bounded. It never expands an entity that a document defines and never reads anything but the
 * document: an internal DTD subset is refused, an external identifier is skipped unread.
 *
 * It makes a tree in one pass. What it costs is decided by how often a character is looked at: names are looked up
 * by a hash that is computed while their end is searched, texts are slices, and white space between elements makes
 * no node unless the element turns out to have mixed content.
 */
import { SignalboxError } from '../errors.ts'
import { type Position, positionAt } from './text.ts'
import { Bindings } from './xml-bindings.ts'
import { decodeXml } from './xml-decode.ts'
import {
  DOCUMENT_START,
  placeAfter,
  XMLNS,
  type XmlAttribute,
  XmlElement,
  type XmlNode,
  XmlSource,
} from './xml-element.ts'
import {
  AMP,
  APOSTROPHE,
  BANG,
  BRACKET,
  characterOf,
  DECLARATION,
  DOCTYPE,
  ENTITIES,
  EQUALS,
  GT,
  isSpace,
  LF,
  LT,
  MAX_REFERENCE,
  QUESTION,
  QUOTE,
  SEMICOLON,
  SLASH,
  SPACE,
  shorten,
  spaced,
  TAB,
} from './xml-grammar.ts'
import { DEFAULT_XML_LIMITS, type XmlLimits } from './xml-limits.ts'
import { isAt, Names, type Prefix, type QName } from './xml-names.ts'

const NO_ATTRIBUTES: readonly XmlAttribute[] = Object.freeze([])

let sharedNames = new Names()

/** What a protocol forbids beyond XML itself. */
export interface XmlRules {
  /** A document type declaration, also one without a definition in it. */
  noDoctype?: boolean
  /** Processing instructions. */
  noInstructions?: boolean
}

/**
 * Parses a document and returns its root element. White space between elements is left out, except in mixed
 * content and under `xml:space="preserve"`; comments and processing instructions are checked and left out.
 *
 * Throws SIGNALBOX_FORMAT_INVALID with `line`, `column` and `element` (path of the open element) in the details,
 * or SIGNALBOX_FORMAT_LIMIT with the name of the limit too.
 */
export function parseXml(input: Buffer | string, limits: XmlLimits = {}, rules: XmlRules = {}): XmlElement {
  const all = { ...DEFAULT_XML_LIMITS, ...limits }
  if (input.length > all.maxBytes) {
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_LIMIT',
      `XML: the document is longer than ${all.maxBytes} bytes`,
      {
        details: { limit: 'maxBytes', max: all.maxBytes },
      },
    )
  }
  if (!sharedNames.reusable) sharedNames = new Names()
  return new Parser(decodeXml(input), all, sharedNames, rules).document()
}

/** Which elements {@link XmlPieces} gives. */
export interface RecordRules {
  /** Asked for every element outside records, when its start tag has been read; `depth` is 0 for the root. */
  isRecord(element: XmlElement, depth: number): boolean
  /** Adds the namespace declarations of the elements above to those of the record, so that it can stand alone. */
  inheritNamespaces: boolean
}

/**
 * Parses a document in pieces, each ending where markup ends, and gives the elements that are records; of what is
 * outside of them nothing is kept but the open elements. Everything is checked as {@link parseXml} does; the limits
 * hold for each record, that of the depth also outside.
 */
export class XmlPieces {
  readonly #parser: Parser

  constructor(limits: XmlLimits, rules: RecordRules) {
    this.#parser = new Parser('', { ...DEFAULT_XML_LIMITS, ...limits }, new Names(), {}, rules)
  }

  /** The record that is open, if one is. */
  get openRecord(): XmlElement | undefined {
    return this.#parser.openRecord
  }

  /** Where the present or, when none is open, the last record began, in characters from the start of the document. */
  get recordStart(): number {
    return this.#parser.recordStart
  }

  /** How far the document has been read, when {@link read} gives a record. */
  get offset(): number {
    return this.#parser.offset
  }

  /** The records that end in the next piece, which begins at `start` of the document. */
  read(text: string, start: Position, last: boolean): Iterable<XmlElement> {
    return this.#parser.piece(text, start, last)
  }
}

/** An attribute whose prefix is looked up when the start tag has been read to its end. */
interface RawAttribute {
  name: QName
  value: string
  at: number
}

class Parser {
  #text: string
  readonly #limits: Required<XmlLimits>
  readonly #rules: XmlRules
  #source: XmlSource
  readonly #names: Names
  readonly #generation: number
  /** Open elements, the names their end tags must have, and where their children begin in `#nodes`. */
  readonly #open: XmlElement[] = []
  readonly #tags: string[] = []
  readonly #bases: number[] = []
  readonly #mixed: boolean[] = []
  #depth = 0
  /** Children of all open elements; `#top` is the end, so that a closed element takes an array of exact size. */
  readonly #nodes: XmlNode[] = []
  #top = 0
  /** White space left out so far: number of children before it, start and end, three numbers for each. */
  readonly #gaps: number[] = []
  readonly #gapBases: number[] = []
  readonly #bindings: Bindings
  #preserveDepth = -1
  #elements = 0
  #references = 0
  /** Where the attributes of the present start tag end. */
  #tagEnd = 0
  #referenceEnd = 0
  readonly #maxNames: number
  /** What follows is for documents that come in pieces. */
  readonly #records: RecordRules | undefined
  #stage: 'declaration' | 'doctype' | 'root' | 'content' = 'declaration'
  /** Depth of the open record; -1 outside. Limits of depth count from there. */
  #recordDepth = -1
  #baseDepth = 0
  /** White space left out in earlier pieces: in `#gaps` its start is the place here, as a negative number. */
  readonly #savedGaps: string[] = []
  /** Characters before the present piece; of all up to the record; of all up to the end of the last one given. */
  #base = 0
  recordStart = 0
  offset = 0
  #inherited: { parent: XmlElement; declarations: readonly XmlAttribute[] } | undefined

  constructor(
    text: string,
    limits: Required<XmlLimits>,
    names: Names,
    rules: XmlRules = {},
    records?: RecordRules,
  ) {
    this.#text = text
    this.#limits = limits
    this.#rules = rules
    this.#records = records
    this.#source = new XmlSource(text)
    this.#names = names
    this.#generation = names.nextGeneration()
    this.#bindings = new Bindings(names)
    this.#maxNames = names.size + limits.maxNames
  }

  document(): XmlElement {
    let at = this.#startTag(this.#prolog())
    while (this.#depth > 0) {
      at = this.#markup(this.#characters(at))
    }
    this.#misc(at)
    return this.#nodes[0] as XmlElement
  }

  get openRecord(): XmlElement | undefined {
    return this.#recordDepth === -1 ? undefined : this.#open[this.#recordDepth]
  }

  /** See {@link XmlPieces.read}. */
  *piece(text: string, start: Position, last: boolean): Generator<XmlElement> {
    this.#saveGaps()
    this.#base += this.#text.length
    this.#text = text
    this.#source = new XmlSource(text, start)
    let at = 0
    if (this.#stage !== 'content') {
      at = this.#beforeRoot(last)
      if (at === text.length) return
      this.#stage = 'content'
      at = this.#startTag(at)
      if (this.#recordDepth === -1 || this.#recordDepth === this.#depth) {
        const root = this.#taken(at)
        if (root !== undefined) yield root
      }
    }
    while (this.#depth > 0 && (last || at < text.length)) {
      at = this.#markup(this.#characters(at))
      if (this.#recordDepth === -1 || this.#recordDepth === this.#depth) {
        const record = this.#taken(at)
        if (record !== undefined) yield record
      }
    }
    if (this.#depth === 0) this.#misc(at)
  }

  /** Reads a tag, comment, CDATA section or processing instruction within the root; where it ends. */
  #markup(at: number): number {
    const text = this.#text
    switch (text.charCodeAt(at + 1)) {
      case SLASH:
        return this.#endTag(at)
      case BANG:
        return text.startsWith('<![CDATA[', at) ? this.#cdata(at) : this.#comment(at)
      case QUESTION:
        return this.#instruction(at)
      default:
        return this.#startTag(at)
    }
  }

  /** Takes out what was parsed: the record that has just ended, or what is outside of records. */
  #taken(at: number): XmlElement | undefined {
    const record = this.#recordDepth === -1 ? undefined : (this.#nodes[this.#top - 1] as XmlElement)
    this.#nodes.length = 0
    this.#gaps.length = 0
    this.#savedGaps.length = 0
    this.#top = 0
    this.#elements = 0
    this.#references = 0
    this.#recordDepth = -1
    this.#baseDepth = 0
    this.offset = this.#base + at
    return record
  }

  /** White space that may be text after all is kept when its piece goes. */
  #saveGaps(): void {
    const gaps = this.#gaps
    for (let i = gaps.length - 3; i >= 0 && gaps[i + 1]! >= 0; i -= 3) {
      this.#savedGaps.push(this.#text.slice(gaps[i + 1], gaps[i + 2]))
      gaps[i + 1] = -this.#savedGaps.length
    }
  }

  #gap(from: number, to: number): string {
    return from < 0 ? this.#savedGaps[-from - 1]! : this.#text.slice(from, to)
  }

  #beforeRoot(last: boolean): number {
    let at = this.#stage === 'declaration' ? this.#declaration() : 0
    if (this.#stage === 'declaration') this.#stage = 'doctype'
    at = this.#misc(at, true, last)
    if (this.#stage === 'doctype' && this.#text.startsWith('<!DOCTYPE', at)) {
      this.#stage = 'root'
      at = this.#misc(this.#doctype(at), true, last)
    }
    return at
  }

  #prolog(): number {
    const at = this.#misc(this.#declaration(), true)
    return this.#text.startsWith('<!DOCTYPE', at) ? this.#misc(this.#doctype(at), true) : at
  }

  #declaration(): number {
    const text = this.#text
    if (!text.startsWith('<?xml') || !isSpace(text.charCodeAt(5))) return 0
    DECLARATION.lastIndex = 0
    if (!DECLARATION.test(text)) throw this.#error('the XML declaration is not well-formed', 0)
    return DECLARATION.lastIndex
  }

  /** Comments, processing instructions and white space around the root; stops at the root when it may come. */
  #misc(from: number, rootMayFollow = false, last = true): number {
    const text = this.#text
    for (let at = from; ; ) {
      while (isSpace(text.charCodeAt(at))) at++
      if (at >= text.length) {
        if (rootMayFollow && last) throw this.#error('the document has no root element', at)
        return at
      }
      if (text.startsWith('<!--', at)) at = this.#comment(at)
      else if (text.startsWith('<?', at)) at = this.#instruction(at)
      else if (rootMayFollow && text.charCodeAt(at) === LT) return at
      else throw this.#error(`text or a tag ${rootMayFollow ? 'before' : 'after'} the root element`, at)
    }
  }

  #doctype(at: number): number {
    if (this.#rules.noDoctype) throw this.#error('a document type declaration is not allowed here', at)
    DOCTYPE.lastIndex = at
    const match = DOCTYPE.exec(this.#text)
    if (match === null) throw this.#error('the document type declaration is not well-formed', at)
    if (match[1] === '[') {
      throw this.#error('document type definitions are not accepted: entities are never expanded', at)
    }
    return DOCTYPE.lastIndex
  }

  #startTag(at: number): number {
    const text = this.#text
    let end = at + 1
    let hash = 0
    let c = text.charCodeAt(end)
    while (c > SPACE && c !== GT && c !== SLASH) {
      hash = (Math.imul(hash, 31) + c) | 0
      c = text.charCodeAt(++end)
    }
    const name = this.#names.at(text, at + 1, end, hash)
    if (name === undefined) throw this.#error(this.#badTag(at, end), at)
    if (++this.#elements > this.#limits.maxElements) throw this.#limit('maxElements', 'elements', at)
    if (this.#names.size > this.#maxNames) throw this.#limit('maxNames', 'different names', at)
    let attributes = NO_ATTRIBUTES
    if (c !== GT) {
      attributes = this.#attributes(end, name)
      end = this.#tagEnd
      c = text.charCodeAt(end)
    }
    const parent = this.#depth === 0 ? undefined : this.#open[this.#depth - 1]
    const { prefix } = name
    const namespace = prefix.generation === this.#generation ? prefix.uri : this.#unbound(prefix, at)
    const tag = name.qualified
    let element = new XmlElement(
      name.local,
      prefix.prefix,
      namespace,
      attributes,
      tag,
      parent,
      this.#source,
      at,
    )
    if (this.#records !== undefined && this.#recordDepth === -1) element = this.#begin(element, at)
    if (c === GT) {
      this.#enter(element, tag, at)
      return end + 1
    }
    if (text.charCodeAt(end + 1) !== GT) throw this.#error(`'>' expected after '/'`, end)
    if (this.#bindings.depth === this.#depth) this.#bindings.leave()
    if (this.#preserveDepth === this.#depth) this.#preserveDepth = -1
    this.#nodes[this.#top++] = element
    return end + 2
  }

  /** An element outside of records: one that is a record gets what it inherits. */
  #begin(element: XmlElement, at: number): XmlElement {
    const { isRecord, inheritNamespaces } = this.#records!
    if (!isRecord(element, this.#depth)) return element
    this.#recordDepth = this.#depth
    this.#baseDepth = this.#depth
    this.recordStart = this.#base + at
    const { parent } = element
    if (parent === undefined || !inheritNamespaces) return element
    if (this.#inherited?.parent !== parent) {
      this.#inherited = { parent, declarations: declarationsOf(parent) }
    }
    const own = element.attributes
    const missing = this.#inherited.declarations.filter(
      each => !own.some(other => sameDeclaration(each, other)),
    )
    if (missing.length === 0) return element
    return new XmlElement(
      element.name,
      element.prefix,
      element.namespace,
      [...missing, ...own],
      element.qualifiedName,
      parent,
      this.#source,
      at,
    )
  }

  #enter(element: XmlElement, tag: string, at: number): void {
    const depth = this.#depth
    if (depth - this.#baseDepth >= this.#limits.maxDepth)
      throw this.#limit('maxDepth', 'levels of elements', at)
    this.#open[depth] = element
    this.#tags[depth] = tag
    this.#bases[depth] = this.#top
    this.#gapBases[depth] = this.#gaps.length
    this.#mixed[depth] = false
    this.#depth = depth + 1
  }

  #endTag(at: number): number {
    const depth = this.#depth - 1
    const tag = this.#tags[depth]!
    const text = this.#text
    let end = at + 2 + tag.length
    if (!isAt(text, tag, at + 2)) throw this.#error(`the end tag of <${tag}> expected`, at)
    if (text.charCodeAt(end) !== GT) {
      while (isSpace(text.charCodeAt(end))) end++
      if (text.charCodeAt(end) !== GT) throw this.#error(`the end tag of <${tag}> expected`, at)
    }
    const element = this.#open[depth]!
    const base = this.#bases[depth]!
    if (this.#gaps.length > this.#gapBases[depth]!) this.#closeGaps(depth)
    const count = this.#top - base
    if (count === 1 && typeof this.#nodes[base] === 'string') element.content = this.#nodes[base] as string
    else if (count > 0) element.content = this.#nodes.slice(base, this.#top)
    this.#nodes[base] = element
    this.#top = base + 1
    if (this.#bindings.depth === depth) this.#bindings.leave()
    if (this.#preserveDepth === depth) this.#preserveDepth = -1
    this.#depth = depth
    return end + 1
  }

  /** The text up to the next tag. Returns where that begins. */
  #characters(from: number): number {
    const text = this.#text
    let at = from
    let c = text.charCodeAt(at)
    while (c === SPACE || c === LF || c === TAB) c = text.charCodeAt(++at)
    if (c === LT) {
      if (at > from) this.#whiteSpace(from, at)
      return at
    }
    let references = false
    while (c !== LT) {
      if (c < 0x27) {
        if (c === AMP) {
          references = true
          this.#countReference(at)
        } else if (c < SPACE) this.#checkControl(c, at)
      } else if (c > 0x5c) {
        if (c === BRACKET && text.startsWith(']]>', at)) throw this.#error(`']]>' in text`, at)
        if (c >= 0xfffe) throw this.#badCharacter(c, at)
      } else if (!(c >= 0)) throw this.#unclosed(at)
      c = text.charCodeAt(++at)
    }
    this.#append(references ? this.#resolve(from, at) : text.slice(from, at))
    return at
  }

  /** Adds a text to the open element, to the text before it when only a comment was between. */
  #append(text: string): void {
    if (text === '') return
    const depth = this.#depth - 1
    const last = this.#top - 1
    const before = last >= this.#bases[depth]! ? this.#nodes[last]! : undefined
    const gapBetween =
      this.#gaps.length > this.#gapBases[depth]! && this.#gaps.at(-3) === this.#top - this.#bases[depth]!
    this.#mixed[depth] = true
    if (typeof before === 'string' && !gapBetween) this.#nodes[last] = before + text
    else this.#nodes[this.#top++] = text
  }

  #whiteSpace(from: number, to: number): void {
    const depth = this.#depth - 1
    const empty = this.#top === this.#bases[depth] && this.#gaps.length === this.#gapBases[depth]
    if (this.#preserveDepth !== -1 || (empty && this.#text.charCodeAt(to + 1) === SLASH)) {
      this.#append(this.#text.slice(from, to))
    } else {
      this.#gaps.push(this.#top - this.#bases[depth]!, from, to)
    }
  }

  /** Forgets the white space of an element that has only elements; puts it back when there is text. */
  #closeGaps(depth: number): void {
    const base = this.#bases[depth]!
    const gaps = this.#gaps.splice(this.#gapBases[depth]!)
    if (!this.#mixed[depth] && this.#top > base) return
    const nodes = this.#nodes.slice(base, this.#top)
    this.#top = base
    let gap = 0
    for (let i = 0; i <= nodes.length; i++) {
      for (; gaps[gap] === i; gap += 3) this.#restore(base, this.#gap(gaps[gap + 1]!, gaps[gap + 2]!))
      if (i < nodes.length) this.#restore(base, nodes[i]!)
    }
  }

  #restore(base: number, node: XmlNode): void {
    const before = this.#top > base ? this.#nodes[this.#top - 1] : undefined
    if (typeof node === 'string' && typeof before === 'string') this.#nodes[this.#top - 1] = before + node
    else this.#nodes[this.#top++] = node
  }

  #cdata(at: number): number {
    const end = this.#text.indexOf(']]>', at + 9)
    if (end === -1) throw this.#error('a CDATA section without end', at)
    this.#checkCharacters(at + 9, end)
    this.#append(this.#text.slice(at + 9, end))
    return end + 3
  }

  #comment(at: number): number {
    if (!this.#text.startsWith('<!--', at)) throw this.#error('a declaration where none may be', at)
    const end = this.#text.indexOf('--', at + 4)
    if (end === -1) throw this.#error('a comment without end', at)
    if (this.#text.charCodeAt(end + 2) !== GT) throw this.#error(`'--' in a comment`, end)
    this.#checkCharacters(at + 4, end)
    return end + 3
  }

  #instruction(at: number): number {
    if (this.#rules.noInstructions) throw this.#error('a processing instruction is not allowed here', at)
    const text = this.#text
    const end = text.indexOf('?>', at + 2)
    if (end === -1) throw this.#error('a processing instruction without end', at)
    let nameEnd = at + 2
    while (nameEnd < end && !isSpace(text.charCodeAt(nameEnd))) nameEnd++
    const target = text.slice(at + 2, nameEnd)
    if (target.toLowerCase() === 'xml')
      throw this.#error('an XML declaration that is not at the very start', at)
    if (this.#names.at(text, at + 2, nameEnd, 0) === undefined || target.includes(':')) {
      throw this.#error('a processing instruction without a name', at)
    }
    this.#checkCharacters(nameEnd, end)
    return end + 2
  }

  #attributes(from: number, element: QName): readonly XmlAttribute[] {
    const text = this.#text
    const raw: RawAttribute[] = []
    for (let at = from; ; ) {
      const before = at
      let c = text.charCodeAt(at)
      while (c === SPACE || c === LF || c === TAB) c = text.charCodeAt(++at)
      if (c === GT || c === SLASH) {
        this.#tagEnd = at
        return raw.length === 0 ? NO_ATTRIBUTES : this.#resolveAttributes(raw)
      }
      if (!(c >= 0)) throw this.#error(`the tag <${element.qualified}> has no end`, from)
      if (at === before) throw this.#error('white space expected before an attribute', at)
      if (raw.length >= this.#limits.maxAttributes) throw this.#limit('maxAttributes', 'attributes', at)
      at = this.#attribute(at, raw)
    }
  }

  #attribute(from: number, raw: RawAttribute[]): number {
    const text = this.#text
    let at = from
    let hash = 0
    let c = text.charCodeAt(at)
    while (c > SPACE && c !== EQUALS && c !== GT) {
      hash = (Math.imul(hash, 31) + c) | 0
      c = text.charCodeAt(++at)
    }
    const name = this.#names.at(text, from, at, hash)
    if (name === undefined)
      throw this.#error(`'${shorten(text, from, at)}' is not a name of an attribute`, from)
    while (isSpace(text.charCodeAt(at))) at++
    if (text.charCodeAt(at) !== EQUALS) throw this.#error(`'=' expected after ${name.qualified}`, at)
    at++
    while (isSpace(text.charCodeAt(at))) at++
    const quote = text.charCodeAt(at)
    if (quote !== QUOTE && quote !== APOSTROPHE)
      throw this.#error(`${name.qualified} has no quoted value`, at)
    const end = this.#valueEnd(at + 1, quote)
    raw.push({ name, value: this.#value(at + 1, end), at: from })
    return end + 1
  }

  #valueEnd(from: number, quote: number): number {
    const text = this.#text
    let at = from
    for (let c = text.charCodeAt(at); c !== quote; c = text.charCodeAt(++at)) {
      if (c === LT) throw this.#error(`'<' in the value of an attribute`, at)
      if (c === AMP) this.#countReference(at)
      else if (c < SPACE) this.#checkControl(c, at)
      else if (c >= 0xfffe) throw this.#badCharacter(c, at)
      else if (!(c >= 0)) throw this.#error('the value of an attribute has no end', from - 1)
    }
    return at
  }

  /** Attribute value normalisation (section 3.3.3): literal white space is a space, referenced stays. */
  #value(from: number, to: number): string {
    const value = this.#text.slice(from, to)
    if (value.includes('&')) return this.#resolve(from, to, true)
    return spaced(value)
  }

  #resolveAttributes(raw: readonly RawAttribute[]): readonly XmlAttribute[] {
    for (const { name, value, at } of raw) {
      if (name.prefix.prefix === 'xmlns') this.#bind(name.local, value, at)
      else if (name.qualified === 'xmlns') this.#bind('', value, at)
      else if (name.qualified === 'xml:space' && value === 'preserve' && this.#preserveDepth === -1) {
        this.#preserveDepth = this.#depth
      }
    }
    const attributes = raw.map(({ name, value, at }) => {
      const namespace = this.#attributeNamespace(name, at)
      return { name: name.local, prefix: name.prefix.prefix, namespace, value }
    })
    const twice = raw.length > 1 ? raw[duplicateOf(attributes)] : undefined
    if (twice !== undefined)
      throw this.#error(`the attribute ${twice.name.qualified} is there twice`, twice.at)
    return attributes
  }

  #attributeNamespace(name: QName, at: number): string {
    const { prefix } = name
    if (prefix.prefix === 'xmlns' || name.qualified === 'xmlns') return XMLNS
    if (prefix.prefix === '') return ''
    return prefix.generation === this.#generation ? prefix.uri : this.#unbound(prefix, at)
  }

  #bind(prefix: string, uri: string, at: number): void {
    const why = this.#bindings.bind(prefix, uri, this.#depth)
    if (why !== undefined) throw this.#error(why, at)
  }

  #unbound(prefix: Prefix, at: number): string {
    if (prefix.prefix === '') return ''
    throw this.#error(`the prefix ${prefix.prefix} is not declared`, at)
  }

  /** Text with references. Only the five predefined entities and numeric references exist. */
  #resolve(from: number, to: number, inAttribute = false): string {
    const text = this.#text
    const pieces: string[] = []
    let at = from
    for (let amp = text.indexOf('&', at); amp !== -1 && amp < to; amp = text.indexOf('&', at)) {
      const piece = text.slice(at, amp)
      pieces.push(inAttribute ? spaced(piece) : piece, this.#reference(amp))
      at = this.#referenceEnd
    }
    const rest = text.slice(at, to)
    pieces.push(inAttribute ? spaced(rest) : rest)
    return pieces.join('')
  }

  /** Counted while the text is scanned, so that a flood ends before anything is made of it. */
  #countReference(at: number): void {
    if (++this.#references > this.#limits.maxReferences) throw this.#limit('maxReferences', 'references', at)
  }

  #reference(at: number): string {
    const text = this.#text
    let end = at + 1
    while (end < at + MAX_REFERENCE && text.charCodeAt(end) !== SEMICOLON) end++
    if (text.charCodeAt(end) !== SEMICOLON) throw this.#error(`'&' that begins no reference; write &amp;`, at)
    const name = text.slice(at + 1, end)
    const numeric = name.startsWith('#')
    const value = numeric ? characterOf(name.slice(1)) : ENTITIES.get(name)
    if (value === undefined) {
      const why = numeric ? 'is not a character of XML' : 'is an entity that does not exist'
      throw this.#error(`&${name}; ${why}`, at)
    }
    this.#referenceEnd = end + 1
    return value
  }

  #checkCharacters(from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const c = this.#text.charCodeAt(at)
      if (c < SPACE) this.#checkControl(c, at)
      else if (c >= 0xfffe) throw this.#badCharacter(c, at)
    }
  }

  #checkControl(c: number, at: number): void {
    if (c !== TAB && c !== LF) throw this.#badCharacter(c, at)
  }

  #badCharacter(c: number, at: number): SignalboxError {
    return this.#error(`U+${c.toString(16).toUpperCase().padStart(4, '0')} is not a character of XML`, at)
  }

  #badTag(at: number, end: number): string {
    if (at + 1 >= this.#text.length) return 'the document ends in a tag'
    return `'${shorten(this.#text, at + 1, end)}' is not a name of an element`
  }

  #unclosed(at: number): SignalboxError {
    const open = this.#open[this.#depth - 1]!
    const from = open.position!.line
    return this.#error(`the document ends, but <${open.qualifiedName}> of line ${from} is not closed`, at)
  }

  #error(why: string, at: number): SignalboxError {
    const { line, column } = this.#place(at)
    const details = { line, column, element: this.#path() }
    return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `XML: ${why}, at line ${line}, column ${column}`, {
      details,
    })
  }

  #limit(limit: keyof XmlLimits, what: string, at: number): SignalboxError {
    const max = this.#limits[limit]
    const { line, column } = this.#place(at)
    const details = { limit, max, line, column, element: this.#path() }
    return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `XML: more than ${max} ${what}, at line ${line}`, {
      details,
    })
  }

  #place(at: number): Position {
    const { start } = this.#source
    const place = positionAt(this.#text, at)
    return start === DOCUMENT_START ? place : placeAfter(start, place)
  }

  #path(): string {
    return `/${this.#tags.slice(0, this.#depth).join('/')}`
  }
}

/** The index of an attribute that has the name and namespace of an earlier one; -1 when there is none. */
function duplicateOf(attributes: readonly XmlAttribute[]): number {
  const seen = new Set<string>()
  return attributes.findIndex(({ name, namespace, prefix }) => {
    const before = seen.size
    seen.add(namespace === XMLNS && prefix === '' ? ' xmlns' : `${namespace} ${name}`)
    return seen.size === before
  })
}

/** The namespace declarations that hold inside an element, the outermost first. */
export function declarationsOf(element: XmlElement): readonly XmlAttribute[] {
  const found: XmlAttribute[] = []
  for (let at: XmlElement | undefined = element; at !== undefined; at = at.parent) {
    const own = at.attributes.filter(
      each => each.namespace === XMLNS && !found.some(inner => sameDeclaration(each, inner)),
    )
    found.unshift(...own)
  }
  // What undeclares the default namespace says nothing at the top of a document.
  return found.filter(each => each.value !== '')
}

function sameDeclaration(one: XmlAttribute, other: XmlAttribute): boolean {
  return other.namespace === XMLNS && one.name === other.name && one.prefix === other.prefix
}
