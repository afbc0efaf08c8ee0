/** EDIFACT (ISO 9735, syntax versions 1 to 4; objects by part 8). */
import { type CharsetName, charset, isAsciiText } from './charset.ts'
import { ediCodec } from './codec.ts'
import { type Advice, type Beginning, type Dialect, type Opening, textOf } from './dialect.ts'
import { EDIFACT_STRUCTURES } from './edifact-structures.ts'
import { invalid, own, unencodable } from './errors.ts'
import { EDIFACT_OPTIONS } from './options.ts'
import type { SegmentScanner } from './scanner.ts'
import {
  Budget,
  type EdiElement,
  type EdiSegment,
  type Path,
  readSegment,
  SegmentWriter,
  type Syntax,
} from './syntax.ts'

const NAME = 'EDIFACT'
const DEFAULT_ADVICE = ":+.? '"
/** More than UNB can have. */
const MAX_HEADER_VALUES = 1000

/** Level B of syntax versions 1 to 3, where it is used as the standard says: separators that are no characters. */
const LEVEL_B: Syntax = { element: '\x1d', component: '\x1f', terminator: '\x1c', decimal: ',' }

/** The character set that each syntax identifier names. */
const CHARSET_OF: Readonly<Record<string, CharsetName>> = {
  UNOA: 'ascii',
  UNOB: 'ascii',
  UNOC: 'iso-8859-1',
  UNOD: 'iso-8859-2',
  UNOE: 'iso-8859-5',
  UNOF: 'iso-8859-7',
  UNOG: 'iso-8859-3',
  UNOH: 'iso-8859-4',
  UNOI: 'iso-8859-6',
  UNOJ: 'iso-8859-8',
  UNOK: 'iso-8859-9',
  UNOW: 'utf-8',
}

const dialect: Dialect = {
  name: NAME,
  interchange: { header: 'UNB', trailer: 'UNZ', reference: 4 },
  group: { header: 'UNG', trailer: 'UNE', reference: 4 },
  message: { header: 'UNH', trailer: 'UNT', reference: 0 },
  groupsOnly: false,
  structures: EDIFACT_STRUCTURES,
  tag: /^[A-Z][A-Z0-9]{2}$/,
  extras: [],
  reserved: new Set(['UNA', 'UNB', 'UNG', 'UNH', 'UNT', 'UNE', 'UNZ', 'UNO', 'UNP']),
  typeOf: header => textOf(header[1]),
  sameReference: (a, b) => a === b,
  open,
  write,
}

/**
 * EDIFACT interchanges. `parse` gives `{ interchange: { UNA?, UNB }, messages | groups, packages? }`: see
 * {@link EdiInterchange} and, for what a segment is, {@link EdiSegment}. `UNA` has the six service characters
 * where the interchange has them.
 */
export const edifact = ediCodec(dialect, ['application/edifact', 'text/edifact'], EDIFACT_OPTIONS)

function open(scanner: SegmentScanner, chosen: CharsetName | 'auto', advice: Advice): Opening | undefined {
  if (advice.una === undefined) {
    const head = scanner.peek(9)
    if (head === undefined) return undefined
    if (head.startsWith('UNA')) {
      checkAdvice(head.slice(3), why => invalid(NAME, `UNA ${why}`, scanner.place('UNA')))
      advice.una = head.slice(3)
      scanner.skip(9)
    }
  }
  const head = scanner.peek(4)
  if (head === undefined) return undefined
  if (!head.startsWith('UNB')) throw invalid(NAME, 'an interchange begins with UNA or UNB', scanner.place())
  const levelB = advice.una === undefined && head[3] === LEVEL_B.element
  const syntax = levelB ? { ...LEVEL_B } : syntaxOf(advice.una ?? DEFAULT_ADVICE)
  scanner.endSegmentsBy({ terminators: syntax.terminator, release: syntax.release })
  const raw = scanner.next()
  return raw === undefined ? undefined : header(scanner, raw, syntax, chosen, advice.una)
}

function header(
  scanner: SegmentScanner,
  raw: string,
  syntax: Syntax,
  chosen: CharsetName | 'auto',
  una: string | undefined,
): Opening {
  const bad = (why: string) => invalid(NAME, why, scanner.place('UNB'))
  const read = (text: string) => readSegment(text, syntax, new Budget(NAME, MAX_HEADER_VALUES))
  let segment = read(raw)
  if (segment.tag !== 'UNB') throw bad('an interchange begins with UNA or UNB')
  const { name, version } = identifier(segment.elements, bad)
  const set = charset(charsetOf(name, chosen, bad))
  if (!isAsciiText(raw)) {
    const text = set.decode(raw)
    if (text === undefined) throw bad(`the segment is not text in ${set.name}`)
    segment = read(text)
  }
  syntax.repetition = repetitionOf(una, version)
  const segments: EdiSegment[] = [segment]
  if (una !== undefined) segments.unshift({ tag: 'UNA', elements: [[una]] })
  const interchange = una === undefined ? { UNB: segment.elements } : { UNA: una, UNB: segment.elements }
  return { syntax, charset: set, interchange, segments }
}

function identifier(unb: EdiElement[], bad: (why: string) => Error): { name: string; version: string } {
  const [name, version] = (unb[0] ?? []).map(String)
  if (version === undefined || !/^[1-4]$/.test(version)) {
    throw bad('UNB must have a syntax identifier with a version from 1 to 4, such as UNOC:3')
  }
  return { name: name!, version }
}

function charsetOf(name: string, chosen: CharsetName | 'auto', bad: (why: string) => Error): CharsetName {
  if (chosen !== 'auto') return chosen
  if (Object.hasOwn(CHARSET_OF, name)) return CHARSET_OF[name]!
  throw bad('the character set of the syntax identifier is not known; choose one in the option charset')
}

function repetitionOf(una: string | undefined, version: string): string | undefined {
  const character = una === undefined ? '*' : una[4]!
  return version === '4' && character !== ' ' ? character : undefined
}

function syntaxOf(una: string): Syntax {
  const [component, element, decimal, release, , terminator] = una as unknown as string[]
  return {
    component: component!,
    element: element!,
    decimal: decimal!,
    release: release === ' ' ? undefined : release,
    terminator: terminator!,
  }
}

/** Service characters must differ, and be none that names and numbers are made of. */
function checkAdvice(una: string, bad: (why: string) => Error): void {
  if (una.length !== 6) throw bad('must have six characters')
  const [component, element, decimal, release, repetition, terminator] = una as unknown as string[]
  const separators = [component, element, release, repetition, terminator].filter(each => each !== ' ')
  if (component === ' ' || element === ' ' || terminator === ' ') throw bad('lacks a separator')
  if (new Set(separators).size !== separators.length) throw bad('has a character twice')
  if (separators.some(each => /[A-Za-z0-9\x80-\uffff]/.test(each!))) {
    throw bad('has a letter, a digit or a character that is not ASCII as a separator')
  }
  if (!/[.,]/.test(decimal!)) throw bad('has a decimal mark that is neither a point nor a comma')
}

function write(interchange: Record<string, unknown>, chosen: CharsetName | 'auto', path: Path): Beginning {
  const bad = (why: string) => unencodable(NAME, `${path()}.UNB`, why)
  const una = own(interchange, 'UNA')
  if (una !== undefined) {
    const wrong = (why: string) => unencodable(NAME, `${path()}.UNA`, why)
    if (typeof una !== 'string') throw wrong('must be a text of six characters')
    checkAdvice(una, wrong)
  }
  const unb = own(interchange, 'UNB')
  if (!Array.isArray(unb)) throw bad('must be a list of elements')
  const { name, version } = identifier(unb, bad)
  const syntax = syntaxOf((una as string | undefined) ?? DEFAULT_ADVICE)
  const set = charset(charsetOf(name, chosen, bad))
  const text = new SegmentWriter(NAME, syntax, set).segment('UNB', unb, () => `${path()}.UNB`)
  const reference = textOf(unb[dialect.interchange.reference])
  if (reference === '') throw bad('has no reference, which is its fifth element')
  syntax.repetition = repetitionOf(una as string | undefined, version)
  return { syntax, charset: set, text: una === undefined ? text : `UNA${una}${text}`, reference }
}
