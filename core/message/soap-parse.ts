/** Reads SOAP envelopes. What a specification forbids is refused with its place. */
import { SignalboxError } from '../errors.ts'
import type { BodyLimits } from './format.ts'
import {
  SOAP_NAMESPACES,
  type SoapBlock,
  type SoapData,
  type SoapFault,
  type SoapHeader,
  type SoapMessage,
  type SoapName,
  type SoapOptions,
  type SoapVersion,
} from './soap-message.ts'
import { XML, XmlElement } from './xml-element.ts'
import { splitName } from './xml-names.ts'
import { xmlToObject } from './xml-object.ts'
import { declarationsOf, parseXml } from './xml-parse.ts'

const FAULT_CODES_11: ReadonlyMap<string, SoapFault['code']> = new Map([
  ['Client', 'Sender'],
  ['Server', 'Receiver'],
  ['VersionMismatch', 'VersionMismatch'],
  ['MustUnderstand', 'MustUnderstand'],
])
const FAULT_CODES_12 = new Set([
  'Sender',
  'Receiver',
  'VersionMismatch',
  'MustUnderstand',
  'DataEncodingUnknown',
])

/**
 * Reads an envelope of either version.
 *
 * Throws SIGNALBOX_FORMAT_INVALID with line, column and element, also for a document type declaration and for
 * processing instructions (SOAP 1.1 section 3, SOAP 1.2 part 1 section 5); for an envelope of another version
 * `details.fault` is `VersionMismatch`. Throws SIGNALBOX_FORMAT_LIMIT.
 */
export function parseSoap(
  bytes: Buffer,
  limits: BodyLimits,
  options: Partial<SoapOptions> = {},
): SoapMessage {
  const envelope = parseXml(bytes, limits, { noDoctype: true, noInstructions: true })
  return new Reader(envelope, options.as === 'element').message()
}

class Reader {
  readonly #envelope: XmlElement
  readonly #version: SoapVersion
  readonly #namespace: string
  readonly #asElement: boolean

  constructor(envelope: XmlElement, asElement: boolean) {
    const version = (['1.1', '1.2'] as const).find(each => SOAP_NAMESPACES[each] === envelope.namespace)
    if (envelope.name !== 'Envelope') throw refused('the root is not an Envelope', envelope)
    if (version === undefined) {
      throw refused(`the envelope is of no known version`, envelope, { fault: 'VersionMismatch' })
    }
    this.#envelope = envelope
    this.#version = version
    this.#namespace = envelope.namespace
    this.#asElement = asElement
  }

  message(): SoapMessage {
    const parts = this.#elements(this.#envelope)
    const header = this.#isOurs(parts[0], 'Header') ? parts.shift() : undefined
    const body = parts.shift()
    if (!this.#isOurs(body, 'Body'))
      throw refused('a Body is expected in the Envelope', body ?? this.#envelope)
    if (parts.length > 0) throw refused('nothing may follow after the Body', parts[0]!)
    const message: SoapMessage = {
      version: this.#version,
      headers: header === undefined ? [] : this.#elements(header).map(block => this.#header(block)),
      body: [],
    }
    const blocks = this.#elements(body)
    const fault = blocks.find(block => this.#isOurs(block, 'Fault'))
    if (fault === undefined) message.body = blocks.map(block => this.#block(block))
    else if (blocks.length > 1) throw refused('a Fault must be alone in the Body', fault)
    else message.fault = this.#version === '1.1' ? this.#fault11(fault) : this.#fault12(fault)
    return message
  }

  #isOurs(element: XmlElement | undefined, name: string): element is XmlElement {
    return element?.name === name && element.namespace === this.#namespace
  }

  /** The child elements of one that must have nothing else. */
  #elements(parent: XmlElement): XmlElement[] {
    const elements: XmlElement[] = []
    for (const node of parent.nodes) {
      if (typeof node !== 'string') elements.push(node)
      else if (node.trim() !== '') throw refused(`there is text in ${parent.qualifiedName}`, parent)
    }
    return elements
  }

  #header(element: XmlElement): SoapHeader {
    if (element.namespace === '') throw refused('an element of the Header has no namespace', element)
    const header: SoapHeader = this.#block(element)
    header.mustUnderstand = this.#flag(element, 'mustUnderstand') ?? false
    const role = element.attribute(this.#version === '1.1' ? 'actor' : 'role', this.#namespace)
    if (role !== undefined) header.role = role.trim()
    const relay = this.#version === '1.2' ? this.#flag(element, 'relay') : undefined
    if (relay !== undefined) header.relay = relay
    return header
  }

  #flag(element: XmlElement, name: string): boolean | undefined {
    const value = element.attribute(name, this.#namespace)?.trim()
    if (value === undefined) return undefined
    if (value === '1' || (value === 'true' && this.#version === '1.2')) return true
    if (value === '0' || (value === 'false' && this.#version === '1.2')) return false
    throw refused(`${name} must be a boolean`, element)
  }

  #block(element: XmlElement): SoapBlock {
    return { name: element.name, namespace: element.namespace, data: this.#data(element) }
  }

  /** The element alone: with the namespaces that hold for it, without the attributes that are the envelope's. */
  #data(element: XmlElement): SoapData {
    const declared = declarationsOf(element)
    const own = element.attributes.filter(
      each => !declared.includes(each) && !this.#isBlockAttribute(each.name, each.namespace),
    )
    const { name, prefix, namespace, qualifiedName, content } = element
    const alone = new XmlElement(name, prefix, namespace, [...declared, ...own], qualifiedName)
    alone.content = content
    return this.#asElement ? alone : xmlToObject(alone)
  }

  #isBlockAttribute(name: string, namespace: string): boolean {
    if (namespace !== this.#namespace) return false
    return name === 'mustUnderstand' || name === 'actor' || name === 'role' || name === 'relay'
  }

  #fault11(fault: XmlElement): SoapFault {
    const parts = this.#once(fault, '', ['faultcode', 'faultstring', 'faultactor', 'detail'])
    const code = parts.get('faultcode')
    const string = parts.get('faultstring')
    if (code === undefined || string === undefined) {
      throw refused('a Fault needs faultcode and faultstring', fault)
    }
    const made: SoapFault = {
      ...this.#code11(code),
      reasons: [{ text: string.text(), lang: string.attribute('lang', XML) ?? '' }],
    }
    const role = parts.get('faultactor')
    if (role !== undefined) made.role = role.text().trim()
    const detail = parts.get('detail')
    if (detail !== undefined) made.detail = this.#detail(detail)
    return made
  }

  /** Many senders leave out the prefix of the codes of SOAP; their names are taken for these all the same. */
  #code11(element: XmlElement): Pick<SoapFault, 'code' | 'subcodes'> {
    const found = this.#qualifiedName(element)
    const [first, ...rest] = found.name.split('.')
    const code = FAULT_CODES_11.get(first!)
    const isOurs = found.namespace === this.#namespace || !element.text().includes(':')
    if (code === undefined || !isOurs) return { code: 'Custom', subcodes: [found] }
    return { code, subcodes: rest.map(name => ({ namespace: '', name })) }
  }

  #fault12(fault: XmlElement): SoapFault {
    const parts = this.#once(fault, this.#namespace, ['Code', 'Reason', 'Node', 'Role', 'Detail'])
    const code = parts.get('Code')
    const reason = parts.get('Reason')
    if (code === undefined || reason === undefined) throw refused('a Fault needs Code and Reason', fault)
    const reasons = this.#elements(reason)
    if (reasons.length === 0 || reasons.some(text => !this.#isOurs(text, 'Text'))) {
      throw refused('a Reason has one or more Text', reason)
    }
    const made: SoapFault = {
      ...this.#code12(code),
      reasons: reasons.map(text => ({ text: text.text(), lang: text.attribute('lang', XML) ?? '' })),
    }
    const node = parts.get('Node')
    if (node !== undefined) made.node = node.text().trim()
    const role = parts.get('Role')
    if (role !== undefined) made.role = role.text().trim()
    const detail = parts.get('Detail')
    if (detail !== undefined) made.detail = this.#detail(detail)
    return made
  }

  #code12(element: XmlElement): Pick<SoapFault, 'code' | 'subcodes'> {
    const names: SoapName[] = []
    for (let at: XmlElement | undefined = element; at !== undefined; ) {
      const parts: Map<string, XmlElement> = this.#once(at, this.#namespace, ['Value', 'Subcode'])
      const value = parts.get('Value')
      if (value === undefined) throw refused(`a ${at.name} needs a Value`, at)
      names.push(this.#qualifiedName(value))
      at = parts.get('Subcode')
    }
    const [code, ...subcodes] = names
    if (code!.namespace !== this.#namespace || !FAULT_CODES_12.has(code!.name)) {
      throw refused(`${code!.name} is no fault code of SOAP 1.2`, element)
    }
    return { code: code!.name as SoapFault['code'], subcodes }
  }

  /** The children by name: known ones alone, each at most once. */
  #once(parent: XmlElement, namespace: string, names: readonly string[]): Map<string, XmlElement> {
    const found = new Map<string, XmlElement>()
    for (const child of this.#elements(parent)) {
      if (child.namespace !== namespace || !names.includes(child.name) || found.has(child.name)) {
        throw refused(`${child.qualifiedName} is not expected in ${parent.name}`, child)
      }
      found.set(child.name, child)
    }
    return found
  }

  #qualifiedName(element: XmlElement): SoapName {
    const text = element.text().trim()
    const name = splitName(text)
    if (name === undefined) throw refused('a qualified name is expected', element)
    const declared = declarationsOf(element)
    const binding = declared.find(each => (each.prefix === '' ? '' : each.name) === name.prefix)
    if (binding === undefined && name.prefix !== '') {
      throw refused(`the prefix ${name.prefix} is not declared`, element)
    }
    return { namespace: binding?.value ?? '', name: name.local }
  }

  #detail(detail: XmlElement): (SoapData | string)[] {
    const entries: (SoapData | string)[] = []
    for (const node of detail.nodes) {
      if (typeof node !== 'string') entries.push(this.#data(node))
      else if (node.trim() !== '') entries.push(node)
    }
    return entries
  }
}

function refused(why: string, { position, path }: XmlElement, more: object = {}): SignalboxError {
  const { line, column } = position!
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `SOAP: ${why}, at line ${line}, column ${column}`, {
    details: { line, column, element: path, ...more },
  })
}
