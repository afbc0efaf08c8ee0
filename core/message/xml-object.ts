/** A tree of elements as plain data, for services that want no tree. */
import { SignalboxError } from '../errors.ts'
import type { XmlAttribute, XmlElement } from './xml-element.ts'

/** What an element becomes: its text, or an object when it has attributes or child elements. */
export type XmlValue = string | { [name: string]: XmlValue | XmlValue[] }

const MAX_KEYS = 4096
const attributeKeys = new Map<string, string>()

/**
 * A document as plain data: `{ 'cbc:ID': { '@schemeID': '0088', '#text': '7' } }`. Names keep their prefix,
 * namespace declarations are attributes, an element that is there more than once is an array. The order between
 * different elements and between text and elements in mixed content is lost; where it counts, read the tree.
 *
 * Throws SIGNALBOX_FORMAT_INVALID for names that would reach an object's prototype.
 */
export function xmlToObject(root: XmlElement): { [name: string]: XmlValue } {
  return { [safeName(root)]: dataOf(root) }
}

function dataOf(element: XmlElement): XmlValue {
  const { attributes, content } = element
  if (typeof content === 'string' && attributes.length === 0) return content
  const object: { [name: string]: XmlValue | XmlValue[] } = {}
  for (const attribute of attributes) object[attributeKey(attribute)] = attribute.value
  if (typeof content === 'string') {
    if (content !== '') object['#text'] = content
    return object
  }
  let text = ''
  for (const node of content) {
    if (typeof node === 'string') text += node
    else addChild(object, safeName(node), dataOf(node))
  }
  if (text !== '') object['#text'] = text
  return object
}

function addChild(object: { [name: string]: XmlValue | XmlValue[] }, name: string, value: XmlValue): void {
  const before = object[name]
  if (before === undefined || !Object.hasOwn(object, name)) object[name] = value
  else if (Array.isArray(before)) before.push(value)
  else object[name] = [before, value]
}

function attributeKey({ name, prefix }: XmlAttribute): string {
  const qualified = prefix === '' ? name : `${prefix}:${name}`
  let key = attributeKeys.get(qualified)
  if (key === undefined) {
    key = `@${qualified}`
    if (attributeKeys.size < MAX_KEYS) attributeKeys.set(qualified, key)
  }
  return key
}

function safeName(element: XmlElement): string {
  const name = element.qualifiedName
  if (name === '__proto__' || (name === 'constructor' && element.child('prototype') !== undefined)) {
    const { line, column } = element.position ?? { line: 0, column: 0 }
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `XML: the name '${name}' is not allowed, at line ${line}`,
      {
        details: { line, column, element: element.path },
      },
    )
  }
  return name
}
