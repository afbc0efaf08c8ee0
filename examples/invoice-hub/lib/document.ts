/** Partners' documents: XML as data for the mappings, and back from a path of a mapping to its place in the XML. */
import { parseXml, SignalboxError, type XmlElement } from 'signalbox'

/** Where a value stands in the partner's document. */
export interface Place {
  element: string
  line: number
  column: number
}

type Data = string | { [name: string]: Data | Data[] }

/** Prefixes by namespace: those that the mappings use, whatever the document uses. */
export type Prefixes = Readonly<Record<string, string>>

/** A refusal of the document because of what it says at an element, with the place in the details. */
export function refused(why: string, place: Place): SignalboxError {
  const line = place.line > 0 ? `, line ${place.line}` : ''
  const message = `${why}, at ${place.element}${line}`
  return new SignalboxError('SIGNALBOX_REQUEST_REFUSED', message, { status: 422, details: { ...place } })
}

export function placeOf(element: XmlElement): Place {
  return { element: element.path, ...(element.position ?? { line: 0, column: 0 }) }
}

/** The root of a document. What is not well-formed is refused with its place. */
export function parseDocument(bytes: Buffer): XmlElement {
  try {
    return parseXml(bytes)
  } catch (error) {
    if (!(error instanceof SignalboxError) || error.code !== 'SIGNALBOX_FORMAT_INVALID') throw error
    throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', error.message, {
      status: 422,
      details: { element: '/', ...error.details },
      cause: error,
    })
  }
}

/** An element as data, as by `xmlToObject`, but with the prefixes of the mappings. */
export function dataOf(element: XmlElement, prefixes: Prefixes): Data {
  const object: { [name: string]: Data | Data[] } = {}
  for (const { name, prefix, value } of element.attributes) if (prefix === '') object[`@${name}`] = value
  let text = ''
  for (const node of element.nodes) {
    if (typeof node === 'string') text += node
    else add(object, nameOf(node, prefixes), dataOf(node, prefixes))
  }
  if (Object.keys(object).length === 0) return text
  if (text !== '') object['#text'] = text
  return object
}

function add(object: { [name: string]: Data | Data[] }, name: string, value: Data): void {
  const before = object[name]
  if (before === undefined) object[name] = value
  else if (Array.isArray(before)) before.push(value)
  else object[name] = [before, value]
}

/** Elements of other namespaces get names that no mapping asks for. */
function nameOf({ name, namespace }: XmlElement, prefixes: Prefixes): string {
  const prefix = Object.hasOwn(prefixes, namespace) ? prefixes[namespace] : `{${namespace}}`
  return `${prefix}:${name}`
}

/** A step of a path, as mappings report it: `cac:InvoiceLine[1]`, `cac:TaxTotal[]`, `cbc:ID`. */
const STEP = /([^.[\]]+)((?:\[[^\]]*\])*)/g

/** Where a path of a mapping leads in the document; what is not there belongs below the nearest element that is. */
export function placeAt(root: XmlElement, path: string, prefixes: Prefixes): Place {
  const steps = Array.from(path.matchAll(STEP), ([, name, brackets]) => ({
    name: name!,
    brackets: brackets!,
  }))
  let found = [root]
  for (const [i, { name, brackets }] of steps.entries()) {
    const next = found.flatMap(element =>
      element.children().filter(child => nameOf(child, prefixes) === name),
    )
    if (next.length === 0) {
      const { element, ...place } = placeOf(found[0]!)
      const rest = steps.slice(i).map(step => step.name)
      return { element: [element, ...rest.filter(step => !step.startsWith('@'))].join('/'), ...place }
    }
    const index = /\[(\d+)\]$/.exec(brackets)?.[1]
    if (brackets !== '[]') found = [next[Number(index ?? 0)] ?? next[0]!]
    else found = next
  }
  return placeOf(found[0]!)
}

/** The last element of a path, for people. */
export function labelOf(path: string): string {
  const names = Array.from(path.matchAll(STEP), ([, name]) => name!)
  return names.at(-1) ?? path
}
