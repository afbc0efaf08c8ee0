/**
 * The names of a document, each checked and split once. Documents of one partner use the same few names again
 * and again, so the table outlives a document: a name costs one pass over its characters and one comparison.
 */

import { XML } from './xml-element.ts'

/** NCName of Namespaces in XML 1.0, section 3. */
const NCNAME_START =
  'A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f' +
  '\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd\\u{10000}-\\u{effff}'
const NCNAME = `[${NCNAME_START}][${NCNAME_START}\\-.0-9\\u00b7\\u0300-\\u036f\\u203f\\u2040]*`
const QNAME = new RegExp(`^(?:(${NCNAME}):)?(${NCNAME})$`, 'u')

/** What a prefix stands for at this point of the document that is being parsed. */
export interface Prefix {
  readonly prefix: string
  /** The document that bound it: a binding of an earlier document must never be seen. */
  generation: number
  uri: string
}

/** A qualified name. */
export interface QName {
  readonly qualified: string
  readonly local: string
  readonly prefix: Prefix
}

/** Splits a qualified name; undefined when it is not one. */
export function splitName(qualified: string): { prefix: string; local: string } | undefined {
  const match = QNAME.exec(qualified)
  return match ? { prefix: match[1] ?? '', local: match[2]! } : undefined
}

const SLOTS = 1024
/** When a table has more names than this it is thrown away after the document. */
const MAX_NAMES = 4096

/** See the head of the file. Used by one parse at a time. */
export class Names {
  /** Which document is being parsed. */
  generation = 0
  readonly #slots: (QName | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #names = new Map<string, QName>()
  readonly #prefixes = new Map<string, Prefix>()

  get size(): number {
    return this.#names.size
  }

  /** Whether it is worth keeping for the next document. */
  get reusable(): boolean {
    return this.size < MAX_NAMES
  }

  /** Begins a document: all bindings of earlier ones are void, only `xml` is bound. */
  nextGeneration(): number {
    this.generation++
    const xml = this.prefix('xml')
    xml.generation = this.generation
    xml.uri = XML
    return this.generation
  }

  /**
   * The name at `start..end`, whose characters hash to `hash`; undefined when it is not a name.
   * The slot is only a short cut: a collision costs a Map look-up, so hostile names gain nothing.
   */
  at(source: string, start: number, end: number, hash: number): QName | undefined {
    const slot = this.#slots[hash & (SLOTS - 1)]
    if (slot !== undefined && slot.qualified.length === end - start && isAt(source, slot.qualified, start)) {
      return slot
    }
    const name = this.#intern(source.slice(start, end))
    this.#slots[hash & (SLOTS - 1)] = name
    return name
  }

  prefix(prefix: string): Prefix {
    let record = this.#prefixes.get(prefix)
    if (record === undefined) {
      record = { prefix, generation: 0, uri: '' }
      this.#prefixes.set(prefix, record)
    }
    return record
  }

  #intern(text: string): QName | undefined {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    // Joined again so that the table holds no slice that keeps a whole document in memory.
    const qualified = Buffer.from(text).toString()
    const parts = splitName(qualified)
    if (parts === undefined) return undefined
    const name = { qualified, local: parts.local, prefix: this.prefix(parts.prefix) }
    this.#names.set(qualified, name)
    return name
  }
}

/** `source.startsWith(name, at)`; for short names a loop is faster than the call. */
export function isAt(source: string, name: string, at: number): boolean {
  for (let i = 0; i < name.length; i++) {
    if (source.charCodeAt(at + i) !== name.charCodeAt(i)) return false
  }
  return true
}
