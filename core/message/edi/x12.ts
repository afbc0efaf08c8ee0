/** ASC X12 interchanges (X12.5, X12.6). */
import { type CharsetName, charset, isAsciiText } from './charset.ts'
import { ediCodec } from './codec.ts'
import { type Beginning, type Dialect, type Opening, textOf } from './dialect.ts'
import { invalid, isRecord, own, unencodable } from './errors.ts'
import { X12_OPTIONS } from './options.ts'
import type { SegmentScanner } from './scanner.ts'
import type { EdiElement, EdiSegment, Path, Syntax } from './syntax.ts'
import { X12_STRUCTURES } from './x12-structures.ts'

const NAME = 'X12'
/** The widths of ISA01 to ISA16: the only segment of fixed length, so that its place says what the separators are. */
const WIDTHS = [2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1]
const ISA_LENGTH = 105
const REPETITION = 10
const VERSION = 11
const CONTROL_NUMBER = 12
const COMPONENT = 15
/** From this version on, ISA11 is the repetition separator; before, it named the standard. */
const FIRST_WITH_REPETITION = '00402'
const FORMER_STANDARD = 'U'

/** The separators of an interchange. */
export interface X12Separators {
  element: string
  component: string
  repetition?: string
  segment: string
}

const dialect: Dialect = {
  name: NAME,
  interchange: { header: 'ISA', trailer: 'IEA', reference: CONTROL_NUMBER },
  group: { header: 'GS', trailer: 'GE', reference: 5 },
  message: { header: 'ST', trailer: 'SE', reference: 1 },
  groupsOnly: true,
  structures: X12_STRUCTURES,
  tag: /^[A-Z][A-Z0-9]{1,2}$/,
  extras: ['TA1'],
  reserved: new Set(['ISA', 'IEA', 'GS', 'GE', 'ST', 'SE', 'TA1']),
  typeOf: header => textOf(header[0]),
  sameReference: (a, b) => withoutZeros(a) === withoutZeros(b),
  open,
  write,
}

/**
 * X12 interchanges. `parse` gives `{ interchange: { separators, ISA, TA1? }, groups: [{ GS, messages }] }`: see
 * {@link EdiInterchange}. The elements of ISA have no padding.
 */
export const x12 = ediCodec(dialect, ['application/edi-x12'], X12_OPTIONS)

function withoutZeros(number: string): string {
  return /^\d+$/.test(number) ? number.replace(/^0+(?=\d)/, '') : number
}

function open(scanner: SegmentScanner, chosen: CharsetName | 'auto'): Opening | undefined {
  const head = scanner.peek(ISA_LENGTH + 1)
  if (head === undefined) return undefined
  const bad = (why: string) => invalid(NAME, why, scanner.place('ISA'))
  if (!head.startsWith('ISA')) throw bad('an interchange begins with ISA')
  if (head.length <= ISA_LENGTH) throw bad('the body ends within ISA')
  const values = head.slice(4, ISA_LENGTH).split(head[3]!)
  if (values.length !== WIDTHS.length || values.some((value, i) => value.length !== WIDTHS[i])) {
    throw bad(`ISA must have 16 elements of fixed widths, ${ISA_LENGTH + 1} characters with its terminator`)
  }
  const separators: X12Separators = {
    element: head[3]!,
    component: values[COMPONENT]!,
    segment: head[ISA_LENGTH]!,
  }
  if (hasRepetition(values[VERSION]!) && /[^A-Za-z0-9 ]/.test(values[REPETITION]!)) {
    separators.repetition = values[REPETITION]!
  }
  checkSeparators(separators, bad)
  if (!isAsciiText(head)) throw bad('ISA must be ASCII')
  scanner.endSegmentsBy({ terminators: separators.segment })
  if (scanner.next()?.length !== ISA_LENGTH) throw bad('the segment terminator stands within ISA')
  const elements: EdiElement[] = values.map(value => [value.trimEnd()])
  const segment: EdiSegment & { separators: X12Separators } = { tag: 'ISA', elements, separators }
  return {
    syntax: syntaxOf(separators),
    charset: charset(chosen === 'auto' ? 'utf-8' : chosen),
    interchange: { separators, ISA: elements },
    segments: [segment],
  }
}

function hasRepetition(version: string): boolean {
  return version >= FIRST_WITH_REPETITION
}

function syntaxOf({ element, component, repetition, segment }: X12Separators): Syntax {
  return { element, component, repetition, terminator: segment, decimal: '.' }
}

function checkSeparators(separators: X12Separators, bad: (why: string) => Error): void {
  const all = Object.values(separators) as string[]
  if (new Set(all).size !== all.length) throw bad('two separators are the same character')
  if (all.some(each => !/^[^A-Za-z0-9 \x80-\uffff]$/.test(each))) {
    throw bad('a separator must be one ASCII character, and no letter, digit or space')
  }
}

function write(interchange: Record<string, unknown>, chosen: CharsetName | 'auto', path: Path): Beginning {
  const isa = own(interchange, 'ISA')
  if (!Array.isArray(isa) || isa.length > WIDTHS.length) {
    throw unencodable(NAME, `${path()}.ISA`, 'must be a list of 16 elements')
  }
  const values = WIDTHS.map((_, i) => textOf(isa[i]))
  const bad = (why: string) => unencodable(NAME, `${path()}.separators`, why)
  const separators = separatorsOf(own(interchange, 'separators'), values, bad)
  values[COMPONENT] = separators.component
  values[REPETITION] = separators.repetition ?? (values[REPETITION] || FORMER_STANDARD)
  const padded = values.map((value, i) => pad(value, i, separators, () => `${path()}.ISA[${i}]`))
  return {
    syntax: syntaxOf(separators),
    charset: charset(chosen === 'auto' ? 'utf-8' : chosen),
    text: `ISA${separators.element}${padded.join(separators.element)}${separators.segment}`,
    reference: padded[CONTROL_NUMBER]!,
  }
}

/** Those given, else those that ISA has, else the usual ones. */
function separatorsOf(given: unknown, isa: string[], bad: (why: string) => Error): X12Separators {
  if (given !== undefined && !isRecord(given)) throw bad('must be an object')
  const named = (name: string, standard: string) => {
    const value = given === undefined ? undefined : own(given, name)
    if (value !== undefined && typeof value !== 'string') throw bad(`has a ${name} that is no text`)
    return value || standard
  }
  const separators: X12Separators = {
    element: named('element', '*'),
    component: named('component', isa[COMPONENT] || ':'),
    segment: named('segment', '~'),
  }
  if (hasRepetition(isa[VERSION]!)) {
    const standard = /^[^A-Za-z0-9 ]$/.test(isa[REPETITION]!) ? isa[REPETITION]! : '^'
    const letter = given !== undefined && own(given, 'repetition') === undefined && isa[REPETITION] !== ''
    if (!letter) separators.repetition = named('repetition', standard)
  }
  checkSeparators(separators, bad)
  return separators
}

function pad(value: string, index: number, separators: X12Separators, path: Path): string {
  const width = WIDTHS[index]!
  if (value.length > width) throw unencodable(NAME, path(), `is longer than ${width} characters`)
  if (index === COMPONENT || index === REPETITION) return value.padEnd(width)
  const clean = !Object.values(separators).some(separator => value.includes(separator))
  if (!clean || !isAsciiText(value)) {
    throw unencodable(NAME, path(), 'has a separator or a character that is not ASCII')
  }
  if (index !== CONTROL_NUMBER) return value.padEnd(width)
  if (!/^\d+$/.test(value)) throw unencodable(NAME, path(), 'must be a number: it is the control number')
  return value.padStart(width, '0')
}
