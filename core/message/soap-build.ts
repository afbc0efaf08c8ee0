/** Writes SOAP envelopes. */
import { SignalboxError } from '../errors.ts'
import {
  SOAP_NAMESPACES,
  type SoapData,
  type SoapFault,
  type SoapHeader,
  type SoapMessage,
  type SoapName,
} from './soap-message.ts'
import { escapeText, writeRecord } from './xml-build.ts'
import { element, XML, XMLNS, type XmlAttribute, XmlElement } from './xml-element.ts'

const PREFIX = 'soap'
const FAULT_CODES_11: ReadonlyMap<string, string> = new Map([
  ['Sender', 'Client'],
  ['Receiver', 'Server'],
  ['VersionMismatch', 'VersionMismatch'],
  ['MustUnderstand', 'MustUnderstand'],
  ['DataEncodingUnknown', 'Client.DataEncodingUnknown'],
])

/** Writes a message in its version. Throws SIGNALBOX_CODEC_UNENCODABLE for what the version does not allow. */
export function buildSoap(message: SoapMessage): string {
  return new Writer(message).envelope()
}

class Writer {
  readonly #message: SoapMessage
  readonly #namespace: string
  readonly #scope: Record<string, string>

  constructor(message: SoapMessage) {
    const version = message?.version
    const namespace = Object.hasOwn(SOAP_NAMESPACES, version ?? '') ? SOAP_NAMESPACES[version] : undefined
    if (namespace === undefined) throw unencodable("version must be '1.1' or '1.2'")
    this.#message = message
    this.#namespace = namespace
    this.#scope = { [`xmlns:${PREFIX}`]: namespace }
  }

  envelope(): string {
    const { headers = [], body = [], fault } = this.#message
    if (fault !== undefined && body.length > 0) throw unencodable('a fault must be alone in the body')
    const header = headers.map(each => this.#header(each)).join('')
    const content =
      fault === undefined ? body.map(each => this.#write(each?.data)).join('') : this.#fault(fault)
    const attributes = `xmlns:${PREFIX}="${this.#namespace}"`
    return (
      `<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope ${attributes}>` +
      (header === '' ? '' : `<soap:Header>${header}</soap:Header>`) +
      `<soap:Body>${content}</soap:Body></soap:Envelope>`
    )
  }

  #write(data: SoapData): string {
    if (typeof data !== 'object' || data === null) {
      throw unencodable('data of a block is an object with one property, or an element')
    }
    return writeRecord(data, this.#scope)
  }

  #header(header: SoapHeader): string {
    const { version } = this.#message
    const said: [string, string][] = []
    if (header.mustUnderstand) said.push(['mustUnderstand', version === '1.1' ? '1' : 'true'])
    if (header.role !== undefined) said.push([version === '1.1' ? 'actor' : 'role', header.role])
    if (header.relay !== undefined) {
      if (version === '1.1') throw unencodable('relay of a header is SOAP 1.2 alone')
      said.push(['relay', String(header.relay)])
    }
    const { data } = header
    if (data instanceof XmlElement) return this.#write(this.#elementWith(data, said))
    const [name, content] = Object.entries(data ?? {})[0] ?? ['', '']
    const inner = typeof content === 'object' && content !== null ? content : { '#text': content }
    const own = inner as Record<string, unknown>
    if (!name.includes(':') && !own['@xmlns'])
      throw unencodable('an element of the header has no namespace', name)
    if (said.length === 0) return this.#write(data)
    const prefix = this.#freePrefix(name => own[`@xmlns:${name}`])
    const added: Record<string, unknown> = { [`@xmlns:${prefix}`]: this.#namespace }
    for (const [key, value] of said) added[`@${prefix}:${key}`] = value
    return this.#write({ ...data, [name]: { ...own, ...added } })
  }

  #elementWith(data: XmlElement, said: readonly [string, string][]): XmlElement {
    const { name, prefix, namespace, attributes, content } = data
    if (namespace === '') throw unencodable('an element of the header has no namespace', name)
    if (said.length === 0) return data
    const free = this.#freePrefix(candidate => {
      if (candidate === prefix) return namespace
      return attributes.find(each => each.namespace === XMLNS && each.name === candidate)?.value
    })
    const added = said.map(([name, value]): XmlAttribute => {
      return { name, prefix: free, namespace: this.#namespace, value }
    })
    return element(name, content, { prefix, namespace, attributes: [...attributes, ...added] })
  }

  /** A prefix for the envelope's namespace that stands for nothing else on an element. */
  #freePrefix(bound: (prefix: string) => unknown): string {
    for (let i = 0; ; i++) {
      const prefix = i === 0 ? PREFIX : `${PREFIX}${i}`
      const uri = bound(prefix)
      if (uri === undefined || uri === this.#namespace) return prefix
    }
  }

  #fault(fault: SoapFault): string {
    if (!Array.isArray(fault.reasons) || fault.reasons.length === 0) {
      throw unencodable('a fault has at least one reason')
    }
    const is11 = this.#message.version === '1.1'
    const parts = is11 ? this.#fault11(fault) : this.#fault12(fault)
    const detail = fault.detail && this.#detail(is11 ? 'detail' : `${PREFIX}:Detail`, fault.detail)
    const written = parts.map(part => this.#write(part)).join('')
    return `<${PREFIX}:Fault>${written}${detail ?? ''}</${PREFIX}:Fault>`
  }

  #detail(tag: string, entries: readonly (SoapData | string)[]): string {
    const written = entries.map(each =>
      typeof each === 'string' ? escapeText(each, tag) : this.#write(each),
    )
    return `<${tag}>${written.join('')}</${tag}>`
  }

  #fault11(fault: SoapFault): XmlElement[] {
    const { text, lang } = fault.reasons[0]!
    const parts = [this.#code11(fault), element('faultstring', text, { attributes: language(lang) })]
    if (fault.role !== undefined) parts.push(element('faultactor', fault.role))
    return parts
  }

  #code11({ code, subcodes }: SoapFault): XmlElement {
    if (code === 'Custom') {
      if (subcodes.length !== 1) throw unencodable('a fault of the code Custom has one subcode: its name')
      return this.#nameElement('faultcode', subcodes[0]!, {})
    }
    const own = FAULT_CODES_11.get(code)
    if (own === undefined) throw unencodable(`'${code}' is no fault code`)
    return element('faultcode', `${PREFIX}:${[own, ...subcodes.map(each => each.name)].join('.')}`)
  }

  #fault12(fault: SoapFault): XmlElement[] {
    const ours = { prefix: PREFIX, namespace: this.#namespace }
    if (!FAULT_CODES_11.has(fault.code)) {
      throw unencodable(`SOAP 1.2 has no fault code '${fault.code}': choose one of its own, with subcodes`)
    }
    let inner: XmlElement[] = []
    for (const name of [...fault.subcodes].reverse()) {
      inner = [element('Subcode', [this.#nameElement('Value', name, ours), ...inner], ours)]
    }
    const value = element('Value', `${PREFIX}:${fault.code}`, ours)
    const texts = fault.reasons.map(({ text, lang }) => {
      return element('Text', text, { ...ours, attributes: language(lang) })
    })
    const parts = [element('Code', [value, ...inner], ours), element('Reason', texts, ours)]
    if (fault.node !== undefined) parts.push(element('Node', fault.node, ours))
    if (fault.role !== undefined) parts.push(element('Role', fault.role, ours))
    return parts
  }

  #nameElement(tag: string, { namespace, name }: SoapName, parts: object): XmlElement {
    if (namespace === '') return element(tag, name, parts)
    const declaration = { name: 'code', prefix: 'xmlns', namespace: XMLNS, value: namespace }
    return element(tag, `code:${name}`, { ...parts, attributes: [declaration] })
  }
}

function language(lang: string): XmlAttribute[] {
  return lang === '' ? [] : [{ name: 'lang', prefix: 'xml', namespace: XML, value: lang }]
}

function unencodable(why: string, path = ''): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `SOAP: ${why}`, { details: { path } })
}
