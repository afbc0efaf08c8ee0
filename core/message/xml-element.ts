/** The tree that {@link parseXml} makes and {@link buildXml} writes. */
import { LineIndex, type Position } from './text.ts'

/** A child: an element or a text. Adjacent texts, CDATA sections included, are one. */
export type XmlNode = XmlElement | string

/** An attribute. A namespace declaration is one too, with the namespace {@link XMLNS}. */
export interface XmlAttribute {
  /** Local name. */
  readonly name: string
  readonly prefix: string
  /** Namespace URI; '' when it has none (an unprefixed attribute never has one). */
  readonly namespace: string
  readonly value: string
}

/** Namespace of the prefix `xml`. */
export const XML = 'http://www.w3.org/XML/1998/namespace'
/** Namespace of `xmlns` attributes. */
export const XMLNS = 'http://www.w3.org/2000/xmlns/'

/** Where a document begins. */
export const DOCUMENT_START: Position = Object.freeze({ line: 1, column: 1 })

/** A place within a text as a place in the document, of which the text begins at `start`. */
export function placeAfter(start: Position, { line, column }: Position): Position {
  return { line: start.line + line - 1, column: line === 1 ? start.column + column - 1 : column }
}

/** The text that elements were parsed from, for their places: a document, or the piece of one that begins at `start`. */
export class XmlSource {
  readonly start: Position
  readonly #text: string
  #lines: LineIndex | undefined

  constructor(text: string, start: Position = DOCUMENT_START) {
    this.#text = text
    this.start = start
  }

  at(offset: number): Position {
    this.#lines ??= new LineIndex(this.#text)
    return placeAfter(this.start, this.#lines.at(offset))
  }
}

/** What {@link element} takes beside name and content. */
export interface ElementParts {
  prefix?: string
  namespace?: string
  attributes?: readonly XmlAttribute[]
}

/** An element with its namespace resolved. Read-only once it is in a tree. */
export class XmlElement {
  /** Local name, without the prefix. */
  readonly name: string
  /** Prefix as written in the document; '' for none. Compare namespaces, not prefixes: each sender chooses its own. */
  readonly prefix: string
  /** Namespace URI, '' for none. */
  readonly namespace: string
  /** Name with prefix, as in the document. */
  readonly qualifiedName: string
  readonly attributes: readonly XmlAttribute[]
  /** A text alone, '' for an empty element, or the children in document order. */
  content: string | readonly XmlNode[] = ''
  #parent: XmlElement | undefined
  readonly #source: XmlSource | undefined
  readonly #offset: number

  constructor(
    name: string,
    prefix: string,
    namespace: string,
    attributes: readonly XmlAttribute[],
    qualifiedName: string,
    parent?: XmlElement,
    source?: XmlSource,
    offset = 0,
  ) {
    this.name = name
    this.prefix = prefix
    this.namespace = namespace
    this.qualifiedName = qualifiedName
    this.attributes = attributes
    this.#parent = parent
    this.#source = source
    this.#offset = offset
  }

  get parent(): XmlElement | undefined {
    return this.#parent
  }

  /** Where its start tag begins; undefined for an element that was not parsed. */
  get position(): Position | undefined {
    return this.#source?.at(this.#offset)
  }

  /** The way to it from the root, e.g. `/Invoice/cac:InvoiceLine[2]/cbc:ID`; the number counts equal siblings. */
  get path(): string {
    let path = ''
    for (let at: XmlElement | undefined = this; at !== undefined; at = at.#parent)
      path = `/${step(at)}${path}`
    return path
  }

  /** The children in document order, texts included. */
  get nodes(): readonly XmlNode[] {
    if (typeof this.content !== 'string') return this.content
    return this.content === '' ? [] : [this.content]
  }

  /** The first child element of this local name and, when given, namespace. */
  child(name: string, namespace?: string): XmlElement | undefined {
    if (typeof this.content === 'string') return undefined
    for (const node of this.content) {
      if (typeof node !== 'string' && node.name === name) {
        if (namespace === undefined || node.namespace === namespace) return node
      }
    }
    return undefined
  }

  /** The child elements, of this local name and namespace when given. */
  children(name?: string, namespace?: string): XmlElement[] {
    const found: XmlElement[] = []
    if (typeof this.content === 'string') return found
    for (const node of this.content) {
      if (typeof node === 'string') continue
      if (name !== undefined && node.name !== name) continue
      if (namespace === undefined || node.namespace === namespace) found.push(node)
    }
    return found
  }

  /** Follows first children by local name; `at('Party', 'PostalAddress')`. */
  at(...names: string[]): XmlElement | undefined {
    let element: XmlElement | undefined = this
    for (const name of names) element = element?.child(name)
    return element
  }

  /** All text inside, in order; with names, that of the element there, undefined when there is none. */
  text(): string
  text(...names: string[]): string | undefined
  text(...names: string[]): string | undefined {
    const element = this.at(...names)
    if (element === undefined) return undefined
    const { content } = element
    if (typeof content === 'string') return content
    let text = ''
    for (const node of content) text += typeof node === 'string' ? node : node.text()
    return text
  }

  /** The value of an attribute by local name; without a namespace the unprefixed one is meant. */
  attribute(name: string, namespace = ''): string | undefined {
    for (const attribute of this.attributes) {
      if (attribute.name === name && attribute.namespace === namespace) return attribute.value
    }
    return undefined
  }
}

/** Makes an element, to be built: `element('Order', [element('id', '7')])`. */
export function element(
  name: string,
  content: string | readonly XmlNode[] = '',
  parts: ElementParts = {},
): XmlElement {
  const { prefix = '', namespace = '', attributes = [] } = parts
  const made = new XmlElement(name, prefix, namespace, attributes, prefix === '' ? name : `${prefix}:${name}`)
  made.content = content
  return made
}

function step(element: XmlElement): string {
  const { qualifiedName, parent } = element
  const same = parent?.children(element.name, element.namespace) ?? []
  return same.length < 2 ? qualifiedName : `${qualifiedName}[${same.indexOf(element) + 1}]`
}
