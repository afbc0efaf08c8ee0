/** Segments of HL7 version 2: delimiters, fields, repetitions, components, subcomponents, escapes. */
import type { Charset } from './charset.ts'
import { isRecord, unencodable } from './errors.ts'
import type { Budget, Path } from './syntax.ts'

/** A text, null for `""` (delete what is stored), or subcomponents by number. */
export type Hl7Component = string | null | { [subcomponent: string]: string | null }

/** A repetition of a field: its components by number, from 1; empty ones are not there. */
export type Hl7Repetition = { [component: string]: Hl7Component }

/**
 * The fields of a segment by number, from 1, each a list of repetitions; empty ones are not there. Fields 1 and 2
 * of MSH, FHS and BHS are the delimiters, as texts.
 */
export type Hl7Fields = { [field: string]: Hl7Repetition[] | string }

export interface Hl7Segment {
  tag: string
  fields: Hl7Fields
}

export interface Hl7Delimiters {
  field: string
  component: string
  repetition: string
  escapeBy: string
  subcomponent: string
  /** Version 2.7 and later; not there in most messages. */
  truncation?: string | undefined
}

export const DEFAULT_FIELD = '|'
export const DEFAULT_ENCODING = '^~\\&'

/** Segments that say what the delimiters are. */
export const HL7_HEADERS: ReadonlySet<string> = new Set(['MSH', 'FHS', 'BHS'])

/** The delimiters that fields 1 and 2 of a header name. */
export function delimitersOf(field: string, encoding: string, bad: (why: string) => Error): Hl7Delimiters {
  const all = field + encoding
  if (field.length !== 1 || encoding.length < 4 || encoding.length > 5) {
    throw bad('the header must name the field separator and four or five other delimiters, such as |^~\\&')
  }
  if (new Set(all).size !== all.length) throw bad('two delimiters are the same character')
  if (!/^[!-/:-@[-`{-~]+$/.test(all))
    throw bad('a delimiter must be a printable ASCII character, and no letter or digit')
  const [component, repetition, escapeBy, subcomponent, truncation] = encoding
  return {
    field,
    component: component!,
    repetition: repetition!,
    escapeBy: escapeBy!,
    subcomponent: subcomponent!,
    truncation,
  }
}

/** Reads fields. `bad` makes the error for a place in the body. */
export class FieldReader {
  readonly #delimiters: Hl7Delimiters
  readonly #charset: Charset
  readonly #budget: Budget
  readonly #bad: (why: string) => Error

  constructor(delimiters: Hl7Delimiters, charset: Charset, budget: Budget, bad: (why: string) => Error) {
    this.#delimiters = delimiters
    this.#charset = charset
    this.#budget = budget
    this.#bad = bad
  }

  get separator(): string {
    return this.#delimiters.field
  }

  /** `text` is the segment with its tag. */
  read(text: string): Hl7Segment {
    const parts = this.#split(text, this.#delimiters.field)
    const tag = parts[0]!
    const fields: Hl7Fields = {}
    const header = HL7_HEADERS.has(tag)
    // In a header, the separator after the tag is field 1 itself, and field 2 has delimiters that are no delimiters.
    if (header) {
      fields[1] = this.#delimiters.field
      fields[2] = parts[1] ?? ''
    }
    for (let i = header ? 2 : 1; i < parts.length; i++) {
      if (parts[i] !== '') fields[header ? i + 1 : i] = this.#field(parts[i]!)
    }
    return { tag, fields }
  }

  #field(text: string): Hl7Repetition[] {
    const { repetition } = this.#delimiters
    if (!text.includes(repetition)) return [this.#repetition(text)]
    return this.#split(text, repetition).map(each => this.#repetition(each))
  }

  #repetition(text: string): Hl7Repetition {
    const { component } = this.#delimiters
    const components: Hl7Repetition = {}
    const parts = text.includes(component) ? this.#split(text, component) : [text]
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      if (part !== '') components[i + 1] = this.#component(part)
    }
    return components
  }

  #component(text: string): Hl7Component {
    const { subcomponent } = this.#delimiters
    if (!text.includes(subcomponent)) return this.#text(text)
    const parts = this.#split(text, subcomponent)
    const subcomponents: Record<string, string | null> = {}
    let last = 0
    for (let i = 0; i < parts.length; i++) {
      if (parts[i] === '') continue
      subcomponents[i + 1] = this.#text(parts[i]!)
      last = i + 1
    }
    // One subcomponent and a component without any are the same (chapter 2.5.3).
    return last === 1 ? subcomponents[1]! : subcomponents
  }

  #text(text: string): string | null {
    if (text === '""') return null
    return text.includes(this.#delimiters.escapeBy) ? this.#unescaped(text) : text
  }

  #unescaped(text: string): string {
    const { escapeBy } = this.#delimiters
    let plain = ''
    let from = 0
    for (let at = text.indexOf(escapeBy); at !== -1; at = text.indexOf(escapeBy, from)) {
      const end = text.indexOf(escapeBy, at + 1)
      if (end === -1) break
      plain += text.slice(from, at) + (this.#meaning(text.slice(at + 1, end)) ?? text.slice(at, end + 1))
      from = end + 1
    }
    return plain + text.slice(from)
  }

  /** What an escape stands for; undefined for those of formatting, which stay as they are. */
  #meaning(code: string): string | undefined {
    const { field, component, subcomponent, repetition, escapeBy, truncation } = this.#delimiters
    if (code === 'F') return field
    if (code === 'S') return component
    if (code === 'T') return subcomponent
    if (code === 'R') return repetition
    if (code === 'E') return escapeBy
    if (code === 'P') return truncation
    if (code === '.br') return '\n'
    if (code[0] !== 'X' || code.length % 2 === 0 || !/^X(?:[0-9A-Fa-f]{2})+$/.test(code)) return undefined
    const decoded = this.#charset.decode(Buffer.from(code.slice(1), 'hex').toString('latin1'))
    if (decoded === undefined) throw this.#bad(`a hexadecimal escape is not text in ${this.#charset.name}`)
    return decoded
  }

  #split(text: string, separator: string): string[] {
    const pieces = text.split(separator, this.#budget.left + 1)
    this.#budget.spend(pieces.length)
    return pieces
  }
}

/** The most fields of a segment, components of a field or subcomponents of a component that are written. */
const MAX_NUMBER = 9999

/** Writes segments. Delimiters in data are escaped, so data cannot become structure. */
export class FieldWriter {
  readonly #delimiters: Hl7Delimiters
  readonly #charset: Charset
  readonly #escapes = new Map<number, string>()

  constructor(delimiters: Hl7Delimiters, charset: Charset) {
    this.#delimiters = delimiters
    this.#charset = charset
    const { field, component, subcomponent, repetition, escapeBy, truncation } = delimiters
    const codes = [
      [field, 'F'],
      [component, 'S'],
      [subcomponent, 'T'],
      [repetition, 'R'],
      [escapeBy, 'E'],
      [truncation, 'P'],
      ['\n', '.br'],
      ['\r', 'X0D'],
    ]
    for (const [character, code] of codes) {
      if (character !== undefined) this.#escapes.set(character.charCodeAt(0), `${escapeBy}${code}${escapeBy}`)
    }
  }

  segment(tag: string, fields: unknown, path: Path): string {
    const header = HL7_HEADERS.has(tag)
    const { field } = this.#delimiters
    const numbers = this.#members(fields, path).filter(([number]) => !header || number > 2)
    const parts: string[] = header ? [tag, this.#encoding()] : [tag]
    const first = header ? 1 : 0
    for (const [number, value] of numbers) {
      const text = this.#field(value, () => `${path()}.${number}`)
      if (text !== '') parts[number - first] = text
    }
    return trimmed(parts, field)
  }

  #encoding(): string {
    const { component, repetition, escapeBy, subcomponent, truncation = '' } = this.#delimiters
    return component + repetition + escapeBy + subcomponent + truncation
  }

  #field(value: unknown, path: Path): string {
    if (!Array.isArray(value)) return this.#repetition(value, path)
    return value
      .map((each, i) => this.#repetition(each, () => `${path()}[${i}]`))
      .join(this.#delimiters.repetition)
  }

  #repetition(value: unknown, path: Path): string {
    if (!isRecord(value)) return this.#text(value, path)
    const parts: string[] = []
    for (const [number, each] of this.#members(value, path)) {
      parts[number - 1] = this.#component(each, () => `${path()}.${number}`)
    }
    return trimmed(parts, this.#delimiters.component)
  }

  #component(value: unknown, path: Path): string {
    if (!isRecord(value)) return this.#text(value, path)
    const parts: string[] = []
    for (const [number, each] of this.#members(value, path)) {
      parts[number - 1] = this.#text(each, () => `${path()}.${number}`)
    }
    return trimmed(parts, this.#delimiters.subcomponent)
  }

  #members(value: unknown, path: Path): [number, unknown][] {
    if (!isRecord(value)) throw unencodable('HL7', path(), 'must be an object with numbers as names')
    return Object.entries(value).map(([name, each]) => {
      const number = Number(name)
      if (/^[1-9]\d{0,3}$/.test(name) && number <= MAX_NUMBER) return [number, each]
      throw unencodable('HL7', `${path()}.${name}`, `is not a number from 1 to ${MAX_NUMBER}`)
    })
  }

  #text(value: unknown, path: Path): string {
    if (value === null) return '""'
    if (value === undefined) return ''
    if (typeof value === 'bigint') return String(value)
    if (typeof value === 'number' && Number.isFinite(value)) return this.#escaped(String(value))
    if (typeof value !== 'string') throw unencodable('HL7', path(), 'must be a text, a number or null')
    if (!this.#charset.holds(value)) {
      throw unencodable('HL7', path(), `has a character that ${this.#charset.name} cannot write`)
    }
    // As it is, it would be read as null.
    if (value === '""') return this.#hex('22').repeat(2)
    return this.#escaped(value)
  }

  #escaped(text: string): string {
    let safe = ''
    let from = 0
    for (let i = 0; i < text.length; i++) {
      const escapeBy = this.#escapes.get(text.charCodeAt(i))
      if (escapeBy === undefined) continue
      safe += text.slice(from, i) + escapeBy
      from = i + 1
    }
    return from === 0 ? text : safe + text.slice(from)
  }

  #hex(digits: string): string {
    const { escapeBy } = this.#delimiters
    return `${escapeBy}X${digits}${escapeBy}`
  }
}

/** Joins a sparse list without what is empty at its end. */
function trimmed(parts: string[], separator: string): string {
  let length = parts.length
  while (length > 0 && (parts[length - 1] ?? '') === '') length--
  let text = ''
  for (let i = 0; i < length; i++) text += (i === 0 ? '' : separator) + (parts[i] ?? '')
  return text
}
