/** What EDIFACT and X12 have in common, and the values their interchanges are read as. */
import type { Charset, CharsetName } from './charset.ts'
import type { Place } from './errors.ts'
import type { SegmentScanner } from './scanner.ts'
import type { Content } from './structure.ts'
import type { EdiElement, EdiSegment, Syntax } from './syntax.ts'

/** One message of an interchange. */
export interface EdiMessage {
  /** The type, such as INVOIC or 810. */
  type: string
  /** The reference (control number) of the message. */
  reference: string
  /** The elements of its header, by the name of that: UNH or ST. */
  [header: string]: unknown
  /** The segments between header and trailer, when they are not grouped. */
  segments?: EdiSegment[]
  /** Segments and groups by name, when they are grouped. */
  content?: Content
}

/** Messages under a group header: UNG or GS. */
export interface EdiGroup {
  messages: EdiMessage[]
  [header: string]: unknown
}

/** Bytes that travel beside the messages (ISO 9735-8): UNO, the object, UNP. */
export interface EdiPackage {
  UNO: EdiElement[]
  data: Uint8Array
}

export interface EdiInterchange {
  /** The elements of its header by the name of that, UNB or ISA, and what else stands before the messages. */
  interchange: Record<string, unknown>
  /** Messages outside groups. */
  messages?: EdiMessage[]
  groups?: EdiGroup[]
  packages?: EdiPackage[]
  /** What is wrong with counts and references; only with `strict: false`. Not written. */
  problems?: string[]
}

/** A pair of segments around something, with a reference in both and a count in the second. */
export interface Envelope {
  header: string
  trailer: string
  /** The place of the reference among the elements of the header. In a trailer, the count is 0 and the reference 1. */
  reference: number
}

/** What the start of an interchange says about the rest. */
export interface Opening {
  syntax: Syntax
  charset: Charset
  /** Members of `interchange`, the header among them. */
  interchange: Record<string, unknown>
  /** The segments that were read, for who reads segment by segment. */
  segments: EdiSegment[]
}

/** What was read of the start of an interchange before more bytes had to come. */
export interface Advice {
  una?: string
}

export interface Dialect {
  readonly name: string
  readonly interchange: Envelope
  readonly group: Envelope
  readonly message: Envelope
  /** Whether messages must be in groups. */
  readonly groupsOnly: boolean
  readonly structures: Readonly<Record<string, string>>
  readonly tag: RegExp
  /** Tags that may stand between the header of an interchange and its first group or message. */
  readonly extras: readonly string[]
  /** Tags that may not stand within a message. */
  readonly reserved: ReadonlySet<string>
  /** The type of a message, from the elements of its header. */
  typeOf(header: EdiElement[]): string
  /** Whether two references mean the same. */
  sameReference(a: string, b: string): boolean
  /** Reads the start of an interchange. Undefined when more bytes have to come; then it is called again. */
  open(scanner: SegmentScanner, charset: CharsetName | 'auto', advice: Advice): Opening | undefined
  /** Finds syntax and character set of an interchange that is to be written, and the text of its start. */
  write(interchange: Record<string, unknown>, charset: CharsetName | 'auto', path: () => string): Beginning
}

/** The start of an interchange that is written. */
export interface Beginning {
  syntax: Syntax
  charset: Charset
  text: string
  reference: string
}

/** The text of a simple element: its first component, first repetition. */
export function textOf(element: unknown): string {
  let value = element
  while (Array.isArray(value)) value = value[0]
  return value === undefined || value === null ? '' : String(value)
}

/** What a reader gives, one after the other. */
export type Item =
  | { kind: 'interchange'; interchange: Record<string, unknown> }
  | { kind: 'group'; header: EdiElement[] }
  | { kind: 'message'; message: EdiMessage }
  | { kind: 'package'; package: EdiPackage }
  | { kind: 'segment'; segment: EdiSegment & { data?: Uint8Array; separators?: unknown } }
  | { kind: 'end'; problems: string[]; place: Place }
