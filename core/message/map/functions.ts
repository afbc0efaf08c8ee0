/**
 * The functions of declared mappings. A function gets a value that is there and gives another; undefined: there is
 * none. An Error that it throws says why the value is refused. Arithmetic is decimal and exact (big.js).
 */
import Big from 'big.js'
import { checkZone, datePattern, fieldsAt, instantOf } from './dates.ts'
import { listOf, property } from './walk.ts'

export type MappingFunction = (value: unknown, ...args: unknown[]) => unknown

/** A function and how it may be called. */
export interface FunctionDefinition {
  description: string
  /** What the arguments are; those after the first `required` may be left out. */
  args: readonly string[]
  required: number
  /** Any number of arguments. */
  variadic?: boolean
  /** Called without a value too. */
  withoutValue?: boolean
  /** Makes the function for constant arguments, once, at compile time. Throws an Error for wrong ones. */
  prepare?(...args: unknown[]): MappingFunction
  /** For functions that take computed arguments. */
  call?: MappingFunction
}

/** The longest text that a function makes, in UTF-16 units. */
const MAX_TEXT = 16 * 1024 * 1024
/** Longer numbers are no amounts, but work for nothing. */
const MAX_DIGITS = 40
const MAX_SCALE = 30

function fn(
  description: string,
  call: MappingFunction,
  args: readonly string[] = [],
  required = args.length,
): FunctionDefinition {
  return { description, args, required, call }
}

function prepared(
  description: string,
  args: readonly string[],
  required: number,
  prepare: (...args: never[]) => MappingFunction,
): FunctionDefinition {
  return { description, args, required, prepare: prepare as FunctionDefinition['prepare'] & {} }
}

export const FUNCTIONS: Readonly<Record<string, FunctionDefinition>> = {
  text: fn(
    'the text of an XML element or a scalar, without white space around it; none when it is empty',
    textOf,
  ),
  string: fn('the value as a text', stringOf),
  trim: fn('without white space around it', value => stringOf(value).trim()),
  upper: fn('in upper case', value => stringOf(value).toUpperCase()),
  lower: fn('in lower case', value => stringOf(value).toLowerCase()),
  number: fn('a number', toNumber),
  integer: fn('a whole number', toInteger),
  boolean: fn("true or false, of 'true', 'false', '1' or '0'", toBoolean),
  decimal: fn('a decimal number as a text in its shortest form, exactly', value => shortest(big(value))),
  fixed: prepared(
    'a decimal number with so many digits after the point',
    ['digits'],
    1,
    (digits: unknown) => {
      const scale = scaleOf(digits)
      return value => big(value).toFixed(scale, Big.roundHalfUp)
    },
  ),
  round: prepared(
    "rounded to so many digits: 'halfUp' (away from zero), 'halfEven', 'down' or 'up'",
    ['digits', 'mode'],
    1,
    round,
  ),
  add: fn(
    'plus the argument',
    withOther((value, other) => shortest(value.plus(other))),
    ['number'],
  ),
  subtract: fn(
    'minus the argument',
    withOther((value, other) => shortest(value.minus(other))),
    ['number'],
  ),
  multiply: fn(
    'times the argument',
    withOther((value, other) => shortest(value.times(other))),
    ['number'],
  ),
  divide: fn(
    'divided by the argument, to at most so many digits',
    withOther(divide),
    ['number', 'digits'],
    1,
  ),
  negate: fn('with the other sign', value => shortest(big(value).neg())),
  abs: fn('without its sign', value => shortest(big(value).abs())),
  concat: { ...fn('the arguments after the value, as one text', concat), variadic: true, withoutValue: true },
  split: prepared('a list of the parts between separators', ['separator'], 1, (separator: unknown) => {
    const by = nonEmpty(separator)
    return value => stringOf(value).split(by)
  }),
  join: prepared('the items of a list as one text', ['separator'], 0, (separator: unknown = '') => {
    const by = stringOf(separator)
    return value => bounded(listOf(value).map(stringOf).join(by))
  }),
  substring: prepared(
    'so many characters from a position; a negative one counts from the end',
    ['start', 'length'],
    1,
    substring,
  ),
  replace: prepared(
    'with every occurrence of a text replaced',
    ['search', 'replacement'],
    2,
    (search: unknown, by: unknown) => {
      const from = nonEmpty(search)
      const to = stringOf(by)
      return value => bounded(stringOf(value).replaceAll(from, () => to))
    },
  ),
  padStart: prepared(
    'filled up to a length in front',
    ['length', 'filler'],
    1,
    (length: unknown, filler: unknown = ' ') => {
      const size = lengthOf(length)
      return value => stringOf(value).padStart(size, nonEmpty(filler))
    },
  ),
  padEnd: prepared(
    'filled up to a length behind',
    ['length', 'filler'],
    1,
    (length: unknown, filler: unknown = ' ') => {
      const size = lengthOf(length)
      return value => stringOf(value).padEnd(size, nonEmpty(filler))
    },
  ),
  like: prepared(
    'a text of this picture: A and a stand for a letter, 9 for a digit, ? for any character',
    ['picture'],
    1,
    like,
  ),
  oneOf: { ...prepared('one of the arguments', [], 1, oneOf), variadic: true },
  date: prepared('a date in another pattern', ['from', 'to'], 1, date),
  instant: prepared('a local time of a zone as an ISO 8601 instant in UTC', ['from', 'zone'], 2, instant),
  local: prepared(
    'an instant (ISO 8601, or milliseconds since the epoch) as the time of a zone',
    ['to', 'zone'],
    2,
    local,
  ),
  first: fn('the first item of a list', value => listOf(value)[0]),
  last: fn('the last item of a list', value => listOf(value).at(-1)),
  count: fn('how many items there are', value => listOf(value).length),
  sum: fn('the sum of a list, exactly', value =>
    shortest(numbersOf(value).reduce((total, next) => total.plus(next), new Big(0))),
  ),
  min: fn('the least number of a list', value => extreme(value, (a, b) => a.lt(b))),
  max: fn('the greatest number of a list', value => extreme(value, (a, b) => a.gt(b))),
  distinct: fn('a list without repetitions of a text or number', value => [...new Set(listOf(value))]),
  nonEmpty: fn('none when it is an empty text or list', value => (isEmpty(value) ? undefined : value)),
}

function textOf(value: unknown): unknown {
  const first = Array.isArray(value) ? value[0] : value
  const inner = typeof first === 'object' && first !== null ? property(first, '#text') : first
  if (inner === undefined || inner === null) return undefined
  const text = stringOf(inner).trim()
  return text === '' ? undefined : text
}

function stringOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  const text = typeof value === 'object' && value !== null ? property(value, '#text') : undefined
  if (typeof text === 'string') return text
  throw new Error(`${kindOf(value)} is not a text`)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : String(value)
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : kindOf(value)
  return `'${text.length > 40 ? `${text.slice(0, 40)}...` : text}'`
}

function toNumber(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  const text = stringOf(value).trim()
  const number = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isFinite(number)) throw new Error(`${shown(value)} is not a number`)
  return number
}

function toInteger(value: unknown): number {
  const number = toNumber(value)
  if (!Number.isSafeInteger(number)) throw new Error(`${shown(value)} is not a whole number`)
  return number
}

function toBoolean(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  const text = stringOf(value).trim()
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new Error(`${shown(value)} is not true or false`)
}

function big(value: unknown): Big {
  if (value instanceof Big) return value
  if (typeof value === 'number' && Number.isFinite(value)) return new Big(value)
  const text = stringOf(value).trim()
  if (text.length > MAX_DIGITS || !/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) {
    throw new Error(`${shown(value)} is not a decimal number`)
  }
  const digits = text[0] === '+' ? text.slice(1) : text
  return new Big(digits.endsWith('.') ? digits.slice(0, -1) : digits)
}

function shortest(value: Big): string {
  // Big has a negative zero.
  return value.eq(0) ? '0' : value.toFixed()
}

function scaleOf(digits: unknown): number {
  if (!Number.isInteger(digits) || (digits as number) < 0 || (digits as number) > MAX_SCALE) {
    throw new Error(`digits must be a whole number from 0 to ${MAX_SCALE}`)
  }
  return digits as number
}

const MODES: Readonly<Record<string, 0 | 1 | 2 | 3>> = {
  down: Big.roundDown as 0,
  halfUp: Big.roundHalfUp as 1,
  halfEven: Big.roundHalfEven as 2,
  up: Big.roundUp as 3,
}

function round(digits: unknown, mode: unknown = 'halfUp'): MappingFunction {
  const scale = scaleOf(digits)
  if (typeof mode !== 'string' || !Object.hasOwn(MODES, mode)) {
    throw new Error(`mode must be one of ${Object.keys(MODES).join(', ')}`)
  }
  return value => shortest(big(value).round(scale, MODES[mode]!))
}

/** Without the other number there is no result. */
function withOther(calculate: (value: Big, other: Big, ...rest: unknown[]) => string): MappingFunction {
  return (value, other, ...rest) => {
    return other === undefined || other === null ? undefined : calculate(big(value), big(other), ...rest)
  }
}

function divide(value: Big, by: Big, digits: unknown = 20): string {
  if (by.eq(0)) throw new Error('division by zero')
  const Exact = Big()
  Exact.DP = scaleOf(digits)
  Exact.RM = Big.roundHalfUp
  return shortest(new Exact(value).div(by))
}

function numbersOf(value: unknown): Big[] {
  return listOf(value).map(big)
}

function extreme(value: unknown, isBetter: (a: Big, b: Big) => boolean): unknown {
  const [first, ...rest] = numbersOf(value)
  if (first === undefined) return undefined
  return shortest(rest.reduce((best, next) => (isBetter(next, best) ? next : best), first))
}

function concat(...values: unknown[]): string | undefined {
  let text: string | undefined
  for (const value of values) {
    if (value !== undefined && value !== null)
      text = (text ?? '') + (typeof value === 'string' ? value : stringOf(value))
  }
  return text === undefined ? undefined : bounded(text)
}

function bounded(text: string): string {
  if (text.length > MAX_TEXT) throw new Error(`the text is longer than ${MAX_TEXT} characters`)
  return text
}

function nonEmpty(value: unknown): string {
  const text = stringOf(value)
  if (text === '') throw new Error('the argument must not be an empty text')
  return text
}

function lengthOf(length: unknown): number {
  if (!Number.isInteger(length) || (length as number) < 0 || (length as number) > 65_536) {
    throw new Error('length must be a whole number from 0 to 65536')
  }
  return length as number
}

function substring(start: unknown, length: unknown): MappingFunction {
  if (!Number.isInteger(start)) throw new Error('start must be a whole number')
  const size = length === undefined ? Number.POSITIVE_INFINITY : lengthOf(length)
  return value => {
    const text = stringOf(value)
    const from = (start as number) < 0 ? Math.max(0, text.length + (start as number)) : (start as number)
    return text.slice(from, from + size)
  }
}

const PICTURE: Readonly<Record<string, string>> = { A: '[A-Z]', a: '[a-z]', '9': '[0-9]', '?': '.' }

function like(picture: unknown): MappingFunction {
  const text = nonEmpty(picture)
  const source = Array.from(text, char => PICTURE[char] ?? char.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&')).join(
    '',
  )
  // One character after the other: it takes no longer than the text is.
  const expression = new RegExp(`^${source}$`, 'su')
  return value => {
    if (!expression.test(stringOf(value))) throw new Error(`${shown(value)} is not like ${text}`)
    return value
  }
}

function oneOf(...allowed: unknown[]): MappingFunction {
  const set = new Set(allowed)
  return value => {
    if (!set.has(value)) throw new Error(`${shown(value)} is not one of ${allowed.join(', ')}`)
    return value
  }
}

function date(from: unknown, to: unknown = 'yyyy-MM-dd'): MappingFunction {
  const patterns = (Array.isArray(from) ? from : [from]).map(pattern => datePattern(stringOf(pattern)))
  const target = datePattern(stringOf(to))
  return value => {
    const text = stringOf(value).trim()
    for (const pattern of patterns) {
      const fields = pattern.parse(text)
      if (fields !== undefined) return target.format(fields)
    }
    throw new Error(`${shown(value)} is not a date`)
  }
}

function instant(from: unknown, zone: unknown): MappingFunction {
  const pattern = datePattern(stringOf(from))
  const name = stringOf(zone)
  checkZone(name)
  return value => {
    const fields = pattern.parse(stringOf(value).trim())
    if (fields === undefined) throw new Error(`${shown(value)} is not a time`)
    return new Date(instantOf(fields, name)).toISOString()
  }
}

function local(to: unknown, zone: unknown): MappingFunction {
  const pattern = datePattern(stringOf(to))
  const name = stringOf(zone)
  checkZone(name)
  return value => {
    const isIso = typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)
    const ms = isIso ? Date.parse(value) : typeof value === 'number' ? value : Number.NaN
    if (Number.isNaN(new Date(ms).getTime())) throw new Error(`${shown(value)} is not an instant`)
    return pattern.format(fieldsAt(ms, name))
  }
}

function isEmpty(value: unknown): boolean {
  return value === '' || (Array.isArray(value) && value.length === 0)
}
