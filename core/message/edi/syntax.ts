/** Segments as values, and how they are written with separators. Shared by EDIFACT and X12. */
import { overLimit } from '../safety.ts'
import type { Charset } from './charset.ts'
import { isRecord, unencodable } from './errors.ts'

/** The characters that structure an interchange. */
export interface Syntax {
  element: string
  component: string
  /** Not there in older versions. */
  repetition?: string | undefined
  /** Makes the character after it data. X12 has none: there, a separator cannot be data. */
  release?: string | undefined
  terminator: string
  /** The decimal mark of numbers. */
  decimal: string
}

/** The components of a data element; with repetitions, a list of such lists. Numbered from 0. */
export type EdiElement = string[] | string[][]

/** `BGM+380+4711'` is `{ tag: 'BGM', elements: [['380'], ['4711']] }`. */
export interface EdiSegment {
  tag: string
  elements: EdiElement[]
}

/** Counts values, so that a body of separators alone cannot fill the memory. */
export class Budget {
  readonly #format: string
  readonly #max: number
  left: number

  constructor(format: string, max: number) {
    this.#format = format
    this.#max = max
    this.left = max
  }

  spend(count: number): void {
    this.left -= count
    if (this.left < 0) throw overLimit(this.#format, 'maxElements', this.#max, 'values')
  }

  renew(): void {
    this.left = this.#max
  }
}

/** Cuts a segment, without its terminator, into its tag and its elements. */
export function readSegment(raw: string, syntax: Syntax, budget: Budget): EdiSegment {
  const released = syntax.release !== undefined && raw.includes(syntax.release)
  const repeated = syntax.repetition !== undefined && raw.includes(syntax.repetition)
  const parts = split(raw, syntax.element, syntax, released, budget)
  const elements: EdiElement[] = new Array(parts.length - 1)
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i]!
    elements[i - 1] =
      repeated && part.includes(syntax.repetition!)
        ? repetitions(part, syntax, released, budget)
        : components(part, syntax, released, budget)
  }
  return { tag: parts[0]!, elements }
}

function repetitions(part: string, syntax: Syntax, released: boolean, budget: Budget): EdiElement {
  const list = split(part, syntax.repetition!, syntax, released, budget)
  if (list.length === 1) return components(part, syntax, released, budget)
  return list.map(each => components(each, syntax, released, budget))
}

function components(part: string, syntax: Syntax, released: boolean, budget: Budget): string[] {
  if (!part.includes(syntax.component)) return [released ? unreleased(part, syntax.release!) : part]
  const list = split(part, syntax.component, syntax, released, budget)
  return released ? list.map(each => unreleased(each, syntax.release!)) : list
}

function split(text: string, separator: string, syntax: Syntax, released: boolean, budget: Budget): string[] {
  // One more than is left, so that the list stays short when there are too many.
  const pieces = text.split(separator, budget.left + 1)
  budget.spend(pieces.length)
  return released ? rejoined(pieces, separator, syntax.release!) : pieces
}

/** Puts together again what was cut at a released separator. */
function rejoined(pieces: string[], separator: string, release: string): string[] {
  const list: string[] = []
  let open: string[] = []
  for (const piece of pieces) {
    let at = piece.length - 1
    while (at >= 0 && piece[at] === release) at--
    const cutInData = (piece.length - at) % 2 === 0
    if (!cutInData && open.length === 0) {
      list.push(piece)
      continue
    }
    open.push(piece)
    if (cutInData) continue
    list.push(open.join(separator))
    open = []
  }
  if (open.length > 0) list.push(open.join(separator))
  return list
}

function unreleased(text: string, release: string): string {
  let at = text.indexOf(release)
  if (at === -1) return text
  let plain = ''
  let from = 0
  for (; at !== -1; at = text.indexOf(release, from + 1)) {
    plain += text.slice(from, at)
    from = at + 1
  }
  return plain + text.slice(from)
}

/** Where a value stands, asked only for an error. */
export type Path = () => string

/** Writes segments. Data cannot become structure: separators in it are released, or refused where that is impossible. */
export class SegmentWriter {
  readonly #format: string
  readonly #syntax: Syntax
  readonly #charset: Charset
  readonly #special = new Uint8Array(128)

  constructor(format: string, syntax: Syntax, charset: Charset) {
    this.#format = format
    this.#syntax = syntax
    this.#charset = charset
    const { element, component, repetition, release, terminator } = syntax
    for (const character of [element, component, repetition, release, terminator]) {
      if (character !== undefined) this.#special[character.charCodeAt(0)] = 1
    }
  }

  /** `elements` are as in {@link EdiSegment}; a text, a number or nothing stands for an element of one component. */
  segment(tag: string, elements: unknown, path: Path): string {
    if (!Array.isArray(elements)) {
      throw unencodable(this.#format, path(), 'must be a list of elements')
    }
    let text = tag
    for (let i = 0; i < elements.length; i++) {
      text += this.#syntax.element + this.#element(elements[i], () => `${path()}[${i}]`)
    }
    return text + this.#syntax.terminator
  }

  #element(value: unknown, path: Path): string {
    if (!Array.isArray(value)) return this.#component(value, path)
    if (!Array.isArray(value[0])) return this.#components(value, path)
    const separator = this.#syntax.repetition
    if (separator === undefined && value.length > 1) {
      throw unencodable(this.#format, path(), 'repeats, which this version of the syntax cannot write')
    }
    return value.map((each, i) => this.#repetition(each, () => `${path()}[${i}]`)).join(separator)
  }

  #repetition(value: unknown, path: Path): string {
    if (!Array.isArray(value)) throw unencodable(this.#format, path(), 'must be a list like those beside it')
    return this.#components(value, path)
  }

  #components(list: unknown[], path: Path): string {
    if (list.length === 1) return this.#component(list[0], () => `${path()}[0]`)
    let text = ''
    for (let i = 0; i < list.length; i++) {
      if (i > 0) text += this.#syntax.component
      text += this.#component(list[i], () => `${path()}[${i}]`)
    }
    return text
  }

  #component(value: unknown, path: Path): string {
    if (typeof value === 'string') return this.#text(value, path)
    if (value === undefined || value === null) return ''
    if (typeof value === 'bigint') return String(value)
    if (typeof value === 'number') {
      const text = String(value)
      if (/^-?[\d.]+$/.test(text)) return this.#text(text.replace('.', this.#syntax.decimal), path)
    }
    const what = isRecord(value) || Array.isArray(value) ? 'a composite value' : String(value)
    throw unencodable(this.#format, path(), `must be a text or a plain number, not ${what}`)
  }

  #text(text: string, path: Path): string {
    let ascii = true
    let special = false
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code > 127) ascii = false
      else if (this.#special[code] === 1) special = true
    }
    if (!ascii && !this.#charset.holds(text)) {
      throw unencodable(this.#format, path(), `has a character that ${this.#charset.name} cannot write`)
    }
    return special ? this.#released(text, path) : text
  }

  #released(text: string, path: Path): string {
    const { release } = this.#syntax
    let safe = ''
    for (const character of text) {
      const code = character.charCodeAt(0)
      if (code > 127 || this.#special[code] !== 1) safe += character
      else if (release !== undefined) safe += release + character
      else {
        const name = JSON.stringify(character)
        throw unencodable(
          this.#format,
          path(),
          `holds ${name}, a separator, which cannot be written as data; choose other separators`,
        )
      }
    }
    return safe
  }
}
