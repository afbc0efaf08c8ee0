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
import { positionAt } from './text.ts'
import { Bindings } from './xml-bindings.ts'
import { decodeXml } from './xml-decode.ts'
import { XMLNS, type XmlAttribute, XmlElement, type XmlNode, XmlSource } from './xml-element.ts'
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

let names = new Names()

/**
 * Parses a document and returns its root element. White space between elements is left out, except in mixed
 * content and under `xml:space="preserve"`; comments and processing instructions are checked and left out.
 *
 * Throws SIGNALBOX_FORMAT_INVALID with `line`, `column` and `element` (path of the open element) in the details,
 * or SIGNALBOX_FORMAT_LIMIT with the name of the limit too.
 */
export function parseXml(input: Buffer | string, limits: XmlLimits = {}): XmlElement {
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
  if (!names.reusable) names = new Names()
  return new Parser(decodeXml(input), all).document()
}

/** An attribute whose prefix is looked up when the start tag has been read to its end. */
interface RawAttribute {
  name: QName
  value: string
  at: number
}

class Parser {
  readonly #text: string
  readonly #limits: Required<XmlLimits>
  readonly #source: XmlSource
  readonly #names = names
  readonly #generation = names.nextGeneration()
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
  readonly #bindings = new Bindings(names)
  #preserveDepth = -1
  #elements = 0
  #references = 0
  /** Where the attributes of the present start tag end. */
  #tagEnd = 0
  #referenceEnd = 0
  readonly #maxNames: number

  constructor(text: string, limits: Required<XmlLimits>) {
    this.#text = text
    this.#limits = limits
    this.#source = new XmlSource(text)
    this.#maxNames = names.size + limits.maxNames
  }

  document(): XmlElement {
    const text = this.#text
    let at = this.#startTag(this.#prolog())
    while (this.#depth > 0) {
      at = this.#characters(at)
      switch (text.charCodeAt(at + 1)) {
        case SLASH:
          at = this.#endTag(at)
          break
        case BANG:
          at = text.startsWith('<![CDATA[', at) ? this.#cdata(at) : this.#comment(at)
          break
        case QUESTION:
          at = this.#instruction(at)
          break
        default:
          at = this.#startTag(at)
      }
    }
    this.#misc(at)
    return this.#nodes[0] as XmlElement
  }

  #prolog(): number {
    const text = this.#text
    let at = 0
    if (text.startsWith('<?xml') && isSpace(text.charCodeAt(5))) {
      DECLARATION.lastIndex = 0
      if (!DECLARATION.test(text)) throw this.#error('the XML declaration is not well-formed', 0)
      at = DECLARATION.lastIndex
    }
    at = this.#misc(at, true)
    if (text.startsWith('<!DOCTYPE', at)) at = this.#misc(this.#doctype(at), true)
    return at
  }

  /** Comments, processing instructions and white space around the root; stops at the root when it may come. */
  #misc(from: number, rootMayFollow = false): number {
    const text = this.#text
    for (let at = from; ; ) {
      while (isSpace(text.charCodeAt(at))) at++
      if (at >= text.length) {
        if (rootMayFollow) throw this.#error('the document has no root element', at)
        return at
      }
      if (text.startsWith('<!--', at)) at = this.#comment(at)
      else if (text.startsWith('<?', at)) at = this.#instruction(at)
      else if (rootMayFollow && text.charCodeAt(at) === LT) return at
      else throw this.#error(`text or a tag ${rootMayFollow ? 'before' : 'after'} the root element`, at)
    }
  }

  #doctype(at: number): number {
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
    const element = new XmlElement(
      name.local,
      prefix.prefix,
      namespace,
      attributes,
      tag,
      parent,
      this.#source,
      at,
    )
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

  #enter(element: XmlElement, tag: string, at: number): void {
    const depth = this.#depth
    if (depth >= this.#limits.maxDepth) throw this.#limit('maxDepth', 'levels of elements', at)
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
      for (; gaps[gap] === i; gap += 3) this.#restore(base, this.#text.slice(gaps[gap + 1], gaps[gap + 2]))
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
    const { line, column } = positionAt(this.#text, at)
    const details = { line, column, element: this.#path() }
    return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `XML: ${why}, at line ${line}, column ${column}`, {
      details,
    })
  }

  #limit(limit: keyof XmlLimits, what: string, at: number): SignalboxError {
    const max = this.#limits[limit]
    const { line, column } = positionAt(this.#text, at)
    const details = { limit, max, line, column, element: this.#path() }
    return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `XML: more than ${max} ${what}, at line ${line}`, {
      details,
    })
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
