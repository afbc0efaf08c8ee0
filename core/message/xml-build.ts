/** Writes XML: from a tree of {@link XmlElement}, or from plain data as {@link xmlToObject} makes it. */
import { SignalboxError } from '../errors.ts'
import { XML, XMLNS, type XmlAttribute, XmlElement } from './xml-element.ts'
import { splitName } from './xml-names.ts'

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
const MAX_DEPTH = 256
const MAX_NAMES = 4096

const TEXT_ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' }
const VALUE_ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that XML 1.0 does not have.
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u

/**
 * Writes a document with its XML declaration, without added white space. From data: one property, the root;
 * `@name` is an attribute, `#text` the text, an array repeats its element, null is an empty element, undefined is
 * left out. Prefixes of a tree are declared where they are missing.
 *
 * Throws SIGNALBOX_CODEC_UNENCODABLE with `path` in the details for what XML cannot say.
 */
export function buildXml(root: XmlElement | object): string {
  return DECLARATION + (root instanceof XmlElement ? writeElement(root, [], 0) : writeData(root))
}

/** The beginning of a document, up to the start tag of its root. Throws as {@link buildXml} does. */
export function openTag(root: string, attributes: Readonly<Record<string, string>>): string {
  let tag = `<${checkedName(root, '')}`
  for (const [name, value] of Object.entries(attributes)) {
    tag += ` ${checkedName(name, root)}="${escapeValue(scalar(value, `/${root}`, name), name)}"`
  }
  return `${DECLARATION}${tag}>`
}

/** An element inside a root with these attributes, which may declare its prefixes. Throws as {@link buildXml} does. */
export function writeRecord(
  record: XmlElement | object,
  rootAttributes: Readonly<Record<string, string>>,
): string {
  if (!(record instanceof XmlElement)) return writeData(record)
  const scope: Binding[] = []
  for (const [name, uri] of Object.entries(rootAttributes)) {
    if (name === 'xmlns' || name.startsWith('xmlns:')) scope.push({ prefix: name.slice(6), uri })
  }
  return writeElement(record, scope, 0)
}

function writeData(root: object): string {
  const names = Object.keys(root)
  const name = names[0]
  if (name === undefined || names.length > 1 || name.startsWith('@') || name === '#text') {
    throw unencodable('a document has exactly one root: pass an object with one property', '')
  }
  const value = (root as Record<string, unknown>)[name]
  if (Array.isArray(value) || value === undefined) throw unencodable('the root is one element', `/${name}`)
  return writeValue(name, value, '', 0)
}

/** A prefix and what it stands for; the last one in the list counts. */
interface Binding {
  prefix: string
  uri: string
}

function writeElement(element: XmlElement, scope: Binding[], depth: number): string {
  if (depth >= MAX_DEPTH) throw unencodable(`nested deeper than ${MAX_DEPTH} levels`, '')
  const tag = checkedName(element.qualifiedName, '')
  const outer = scope.length
  let out = `<${tag}`
  if (element.attributes.length > 0) out += writeAttributes(element.attributes, scope)
  out += declare(element.prefix, element.namespace, scope, outer)
  if (typeof element.content === 'string') {
    out += element.content === '' ? '/>' : `>${escapeText(element.content, tag)}</${tag}>`
  } else {
    out += '>'
    for (const node of element.content) {
      out += typeof node === 'string' ? writeMixedText(node, tag) : writeElement(node, scope, depth + 1)
    }
    out += `</${tag}>`
  }
  scope.length = outer
  return out
}

function writeAttributes(attributes: readonly XmlAttribute[], scope: Binding[]): string {
  let out = ''
  const outer = scope.length
  for (const { name, prefix, namespace, value } of attributes) {
    if (namespace === XMLNS) scope.push({ prefix: prefix === '' ? '' : name, uri: value })
    const qualified = checkedName(prefix === '' ? name : `${prefix}:${name}`, '')
    out += ` ${qualified}="${escapeValue(value, qualified)}"`
  }
  for (const { name, prefix, namespace } of attributes) {
    if (namespace === XMLNS) continue
    if (prefix !== '') out += declare(prefix, namespace, scope, outer)
    else if (namespace !== '') throw unencodable(`the attribute ${name} has a namespace but no prefix`, name)
  }
  return out
}

/** The declaration that a prefix needs here, if any. Bindings from `own` on belong to the element itself. */
function declare(prefix: string, uri: string, scope: Binding[], own: number): string {
  if (prefix === 'xml' && uri === XML) return ''
  for (let i = scope.length - 1; i >= 0; i--) {
    const binding = scope[i]!
    if (binding.prefix !== prefix) continue
    if (binding.uri === uri) return ''
    if (i >= own) throw unencodable(`the prefix '${prefix}' would stand for two namespaces at once`, prefix)
    break
  }
  if (uri === '' && prefix !== '') throw unencodable(`the prefix '${prefix}' has no namespace`, prefix)
  if (uri === '' && !scope.some(binding => binding.prefix === '')) return ''
  scope.push({ prefix, uri })
  return ` xmlns${prefix === '' ? '' : `:${prefix}`}="${escapeValue(uri, 'xmlns')}"`
}

/** White space beside elements would be taken for layout when it is read again, so its first character is a reference. */
function writeMixedText(text: string, tag: string): string {
  if (/^[ \t\n]+$/.test(text)) return `&#${text.charCodeAt(0)};${text.slice(1)}`
  return escapeText(text, tag)
}

function writeValue(tag: string, value: unknown, path: string, depth: number): string {
  checkedName(tag, path)
  if (typeof value !== 'object' || value === null) {
    const text = scalar(value, path, tag)
    return text === '' ? `<${tag}/>` : `<${tag}>${escapeText(text, tag)}</${tag}>`
  }
  if (depth >= MAX_DEPTH) throw unencodable(`nested deeper than ${MAX_DEPTH} levels, or in a cycle`, path)
  let attributes = ''
  let content = ''
  const record = value as Record<string, unknown>
  const inside = `${path}/${tag}`
  for (const key of Object.keys(record)) {
    const item = record[key]
    if (item === undefined) continue
    if (key.charCodeAt(0) === 0x40) {
      const name = checkedName(key.slice(1), inside)
      attributes += ` ${name}="${escapeValue(scalar(item, inside, key), name)}"`
    } else if (key === '#text') content += escapeText(scalar(item, inside, key), tag)
    else if (Array.isArray(item)) {
      for (const each of item) content += writeValue(key, each, inside, depth + 1)
    } else content += writeValue(key, item, inside, depth + 1)
  }
  return content === '' ? `<${tag}${attributes}/>` : `<${tag}${attributes}>${content}</${tag}>`
}

function scalar(value: unknown, path: string, name: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (value === null || value === undefined) return ''
  throw unencodable(
    `${Array.isArray(value) ? 'a nested array' : typeof value} is not a text`,
    `${path}/${name}`,
  )
}

/** Text as content of an element. Throws as {@link buildXml} does. */
export function escapeText(text: string, where: string): string {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if ((c < 0x20 && c !== 0x0a && c !== 0x09) || c === 0x26 || c === 0x3c || c === 0x3e || c >= 0xd800) {
      return checkedText(text, where).replace(/[&<>\r]/g, found => TEXT_ESCAPES[found]!)
    }
  }
  return text
}

function escapeValue(text: string, where: string): string {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x20 || c === 0x22 || c === 0x26 || c === 0x3c || c >= 0xd800) {
      return checkedText(text, where).replace(/[&<"\t\n\r]/g, found => VALUE_ESCAPES[found]!)
    }
  }
  return text
}

function checkedText(text: string, where: string): string {
  if (FORBIDDEN.test(text)) throw unencodable('a text has a character that XML does not have', where)
  return text
}

const checkedNames = new Set<string>()

/** Names are checked, so that data can never write a tag of its own. */
function checkedName(name: string, path: string): string {
  if (checkedNames.has(name)) return name
  if (splitName(name) === undefined) throw unencodable(`'${name.slice(0, 80)}' is not a name in XML`, path)
  if (checkedNames.size < MAX_NAMES && name.length <= 80) checkedNames.add(name)
  return name
}

function unencodable(why: string, path: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `XML: ${why}`, { details: { path } })
}
