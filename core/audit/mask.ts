/** Makes of a body what may be kept of it: plain data in which named fields are masked. */

import type { XmlElement } from '../message/xml-element.ts'
import { xmlToObject } from '../message/xml-object.ts'
import { parseXml } from '../message/xml-parse.ts'
import { packValue } from '../store/value.ts'
import { isSecretName, MASK, redactText } from '../telemetry/redact.ts'
import type { BodyReason, EncodedBody } from './entry.ts'

const MAX_DEPTH = 48
const MAX_KNOWN_NAMES = 10_000
/** What a value costs beside its text. */
const NODE_BYTES = 4
const STRINGS = /"((?:[^"\\]|\\.)*)"(\s*:)?/g

/** Ends the making of a copy; never leaves this file. */
class Refusal extends Error {
  readonly reason: BodyReason

  constructor(reason: BodyReason) {
    super(reason)
    this.reason = reason
  }
}

/** One body in the making. */
interface Work {
  left: number
  altered: boolean
  /** Pointers are those of the body itself, not of what is written in a text of it. */
  pointers: boolean
}

export class Masker {
  readonly #names: ReadonlySet<string>
  readonly #pointers: ReadonlySet<string>
  readonly #masksMore: boolean
  readonly #maxBytes: number
  readonly #known = new Map<string, 'named' | 'telling' | 'open'>()

  /** `mask`: names of fields, without case and punctuation, and JSON Pointers (RFC 6901), which begin with a slash. */
  constructor(mask: readonly string[], maxBytes: number) {
    const names = mask.filter(entry => !entry.startsWith('/'))
    this.#names = new Set(
      names.flatMap(name => [name.toLowerCase(), plainName(name)]).filter(name => name !== ''),
    )
    this.#pointers = new Set(mask.filter(entry => entry.startsWith('/')))
    this.#masksMore = mask.length > 0
    this.#maxBytes = maxBytes
  }

  /**
   * What is kept of a body, with the attributes of the channel it came by. JSON, parsed or as text, and XML are masked;
   * other text and bytes are kept as they are, and left out as soon as the policy masks anything. Never throws.
   */
  encode(payload: unknown, attributes?: Record<string, unknown>): EncodedBody {
    try {
      if (isStream(payload)) return left('stream')
      const work: Work = { left: this.#maxBytes, altered: false, pointers: this.#pointers.size > 0 }
      const kept: Record<string, unknown> = { payload: this.#body(payload, work) ?? null }
      if (attributes !== undefined) {
        kept.attributes = this.#attributes(attributes, work)
      }
      return { reason: 'kept', altered: work.altered, bytes: packValue(kept) }
    } catch (error) {
      // Whatever a payload does when it is looked at, a getter that throws for one, it is just not kept.
      return left(error instanceof Refusal ? error.reason : 'notData')
    }
  }

  /** Those that are data; a body is worth keeping without the others. */
  #attributes(attributes: Record<string, unknown>, work: Work): Record<string, unknown> {
    const at = { ...work, pointers: false }
    const kept = Object.entries(attributes).flatMap(([name, value]): [string, unknown][] => {
      if (this.#isMasked(name, value)) return [[name, hide(work)]]
      try {
        return [[name, this.#copy(plainObject(value), '', 0, at, work)]]
      } catch (error) {
        if (error instanceof Refusal && error.reason === 'tooLarge') throw error
        return []
      }
    })
    return Object.fromEntries(kept)
  }

  #body(payload: unknown, work: Work): unknown {
    if (typeof payload === 'string') return this.#text(payload, payload, work)
    if (!(payload instanceof Uint8Array)) return this.#copy(payload, '', 0, work, work)
    if (payload.length > work.left) throw new Refusal('tooLarge')
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
    const text = bytes.toString('utf8')
    const isText = Buffer.byteLength(text) === bytes.length && !text.includes('\u0000')
    if (isText) return this.#text(text, bytes, work)
    if (this.#masksMore) throw new Refusal('notMaskable')
    spend(work, bytes.length)
    return bytes
  }

  /** `original` is what stands for the text when nothing of it is masked. */
  #text(text: string, original: string | Buffer, work: Work): unknown {
    if (text.length > work.left) throw new Refusal('tooLarge')
    const first = text.trimStart()[0]
    if (first === '{' || first === '[') return this.#json(text, original, work)
    if (first === '<') return this.#xml(text, original, work)
    if (this.#masksMore) throw new Refusal('notMaskable')
    return this.#plainText(text, original, work)
  }

  #plainText(text: string, original: string | Buffer, work: Work): string | Buffer {
    spend(work, text.length)
    const shown = redactText(text)
    if (shown === text) return original
    work.altered = true
    return shown
  }

  /** JSON as text stays what it was only where not even a second field of the same name could hide something. */
  #json(text: string, original: string | Buffer, work: Work): unknown {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      if (this.#masksMore) throw new Refusal('notMaskable')
      throw new Refusal('notData')
    }
    const inner: Work = { left: work.left, altered: false, pointers: work.pointers }
    const masked = this.#copy(value, '', 0, inner, inner)
    work.left = inner.left
    if (!inner.altered && !this.#mayHide(text, work)) return original
    const written = JSON.stringify(masked)
    if (!inner.altered && written === text) return original
    work.altered = true
    return written
  }

  #mayHide(text: string, work: Work): boolean {
    if (work.pointers) return true
    for (const [, name, colon] of text.matchAll(STRINGS)) {
      if (colon !== undefined && this.#verdict(JSON.parse(`"${name}"`) as string) !== 'open') return true
      // An escape may stand for the brace that makes a document of the text.
      if (colon === undefined && (looksStructured(name!) || name!.startsWith('\\'))) return true
    }
    return false
  }

  #xml(text: string, original: string | Buffer, work: Work): unknown {
    if (work.pointers) throw new Refusal('notMaskable')
    let root: XmlElement
    try {
      root = parseXml(text)
    } catch {
      throw new Refusal('notMaskable')
    }
    if (!this.#masksXml(root, 0)) return this.#plainText(text, original, work)
    work.altered = true
    return this.#copy(xmlToObject(root), '', 0, work, work)
  }

  #masksXml(element: XmlElement, depth: number): boolean {
    if (depth > MAX_DEPTH) throw new Refusal('notMaskable')
    if (this.#verdict(element.name) !== 'open') return true
    if (element.attributes.some(({ name }) => this.#verdict(name) !== 'open')) return true
    return element.nodes.some(node =>
      typeof node === 'string' ? looksStructured(node) : this.#masksXml(node, depth + 1),
    )
  }

  #copy(value: unknown, pointer: string, depth: number, at: Work, budget: Work): unknown {
    if (at.pointers && this.#pointers.has(pointer)) return hide(budget)
    if (typeof value === 'string') return this.#string(value, budget)
    spend(budget, NODE_BYTES)
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return value
    if (value === undefined) return undefined
    if (typeof value !== 'object' || depth >= MAX_DEPTH) throw new Refusal('notData')
    if (value instanceof Uint8Array) return this.#bytes(value, budget)
    const inside = (name: string, inner: unknown) =>
      this.#copy(inner, at.pointers ? `${pointer}/${escaped(name)}` : '', depth + 1, at, budget)
    if (Array.isArray(value)) return value.map((item, i) => inside(String(i), item))
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) throw new Refusal('notData')
    const entries = Object.entries(value).map(([name, inner]): [string, unknown] => {
      spend(budget, name.length)
      return [name, this.#isMasked(name, inner) ? hide(budget) : inside(name, inner)]
    })
    return Object.fromEntries(entries)
  }

  /** A text in a body may be a document of its own. */
  #string(text: string, budget: Work): string {
    if (!looksStructured(text)) return this.#plainText(text, text, budget) as string
    const work: Work = { left: budget.left, altered: false, pointers: false }
    try {
      const masked = this.#text(text, text, work)
      if (!work.altered) {
        spend(budget, text.length)
        return text
      }
      budget.altered = true
      const written = typeof masked === 'string' ? masked : JSON.stringify(masked)
      spend(budget, written.length)
      return written
    } catch (error) {
      if (error instanceof Refusal && error.reason === 'tooLarge') throw error
      // It only looked like a document, or is one that cannot be read: then nobody knows what is in it.
      if (this.#masksMore && /[:=>]/.test(text)) return hide(budget)
      return this.#plainText(text, text, budget) as string
    }
  }

  #bytes(value: Uint8Array, budget: Work): Uint8Array | string {
    spend(budget, value.length)
    return this.#masksMore ? hide(budget) : Uint8Array.from(value)
  }

  #isMasked(name: string, value: unknown): boolean {
    const verdict = this.#verdict(name)
    if (verdict === 'open') return false
    // A switch called `token` is no secret; what the policy names is masked whatever it is.
    return (
      verdict === 'named' ||
      !(value === undefined || value === null || typeof value === 'boolean' || value === '')
    )
  }

  #verdict(name: string): 'named' | 'telling' | 'open' {
    let verdict = this.#known.get(name)
    if (verdict === undefined) {
      const named = this.#names.has(name.toLowerCase()) || this.#names.has(plainName(name))
      verdict = named ? 'named' : isSecretName(name) ? 'telling' : 'open'
      if (this.#known.size < MAX_KNOWN_NAMES && name.length <= 64) this.#known.set(name, verdict)
    }
    return verdict
  }
}

function left(reason: BodyReason): EncodedBody {
  return { reason, altered: false, bytes: undefined }
}

function hide(work: Work): string {
  work.altered = true
  return MASK
}

function spend(work: Work, bytes: number): void {
  work.left -= bytes
  if (work.left < 0) throw new Refusal('tooLarge')
}

function looksStructured(text: string): boolean {
  const first = text.trimStart()[0]
  return first === '{' || first === '[' || first === '<'
}

/** What protocols make of queries and parameters may be an object of a class of its own. */
function plainObject(value: unknown): unknown {
  const isObject = typeof value === 'object' && value !== null
  return isObject && !Array.isArray(value) && !ArrayBuffer.isView(value) ? { ...value } : value
}

/** `cbc:Card-No`, `@cardNo` and `card_no` are one name. */
function plainName(name: string): string {
  return name
    .slice(name.lastIndexOf(':') + 1)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '')
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function isStream(payload: unknown): boolean {
  if (typeof payload !== 'object' || payload === null) return false
  return Symbol.asyncIterator in payload || payload instanceof ReadableStream
}
