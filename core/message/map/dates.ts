/**
 * Dates and times by explicit patterns: `yyyy MM dd HH mm ss SSS`, `M d H` without leading zeros, `XXX` for an offset
 * (`Z`, `+01:00`), text in single quotation marks; other characters stand for themselves.
 */

interface Fields {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  second: number
  millisecond: number
  /** Minutes east of UTC, when the text says it. */
  offset?: number
}

type Field = Exclude<keyof Fields, 'offset'>

const TOKENS: Readonly<Record<string, { field: Field; digits: [min: number, max: number] }>> = {
  yyyy: { field: 'year', digits: [4, 4] },
  MM: { field: 'month', digits: [2, 2] },
  M: { field: 'month', digits: [1, 2] },
  dd: { field: 'day', digits: [2, 2] },
  d: { field: 'day', digits: [1, 2] },
  HH: { field: 'hour', digits: [2, 2] },
  H: { field: 'hour', digits: [1, 2] },
  mm: { field: 'minute', digits: [2, 2] },
  ss: { field: 'second', digits: [2, 2] },
  SSS: { field: 'millisecond', digits: [3, 3] },
}

type Part = { literal: string } | { token: string }

/** A compiled pattern. */
export interface DatePattern {
  /** Undefined: the text does not match, or is no day or time of the calendar. */
  parse(text: string): Fields | undefined
  format(fields: Fields): string
}

/** Throws an Error for a pattern with letters that mean nothing. */
export function datePattern(pattern: string): DatePattern {
  const parts = Array.from(
    pattern.matchAll(/'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+|'/g),
    ([text, quoted]): Part => {
      if (quoted !== undefined) return { literal: quoted === '' ? "'" : quoted }
      if (text === 'XXX' || Object.hasOwn(TOKENS, text)) return { token: text }
      if (/[A-Za-z']/.test(text))
        throw new Error(`'${text}' means nothing in a date pattern; put text in quotation marks`)
      return { literal: text }
    },
  )
  const tokens = parts.flatMap(part => ('token' in part ? [part.token] : []))
  const expression = new RegExp(`^${parts.map(sourceOf).join('')}$`)
  return {
    parse: text => parse(expression.exec(text.slice(0, 100)), tokens),
    format: fields =>
      parts.map(part => ('token' in part ? write(part.token, fields) : part.literal)).join(''),
  }
}

function sourceOf(part: Part): string {
  if ('literal' in part) return part.literal.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
  if (part.token === 'XXX') return '(Z|[+-]\\d\\d:?\\d\\d)'
  const [min, max] = TOKENS[part.token]!.digits
  return `(\\d{${min},${max}})`
}

function parse(match: RegExpExecArray | null, tokens: readonly string[]): Fields | undefined {
  if (match === null) return undefined
  const fields: Fields = { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 }
  tokens.forEach((token, i) => {
    const text = match[i + 1]!
    if (token === 'XXX') fields.offset = offsetOf(text)
    else fields[TOKENS[token]!.field] = Number(text)
  })
  return isOfCalendar(fields) ? fields : undefined
}

function offsetOf(text: string): number {
  if (text === 'Z') return 0
  const digits = text.replace(':', '')
  const minutes = Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3, 5))
  return digits[0] === '-' ? -minutes : minutes
}

function isOfCalendar({ year, month, day, hour, minute, second, offset = 0 }: Fields): boolean {
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return false
  return hour < 24 && minute < 60 && second < 60 && Math.abs(offset) <= 18 * 60
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function write(token: string, fields: Fields): string {
  if (token === 'XXX') {
    const { offset = 0 } = fields
    if (offset === 0) return 'Z'
    const minutes = Math.abs(offset)
    return `${offset < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60), 2)}:${pad(minutes % 60, 2)}`
  }
  const { field, digits } = TOKENS[token]!
  return pad(fields[field], digits[0])
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, '0')
}

/** The instant of fields, in milliseconds since the epoch; without an offset of their own they are in the zone. */
export function instantOf(fields: Fields, zone: string): number {
  const local = utcMs(fields)
  if (fields.offset !== undefined) return local - fields.offset * 60_000
  // The offset that holds at the instant is not known before the instant is; twice is enough around a change.
  const guess = local - zoneOffset(zone, local)
  return local - zoneOffset(zone, guess)
}

/** What clocks in the zone show at an instant. */
export function fieldsAt(ms: number, zone: string): Fields {
  const offset = zoneOffset(zone, ms)
  const date = new Date(ms + offset)
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    millisecond: date.getUTCMilliseconds(),
    offset: Math.round(offset / 60_000),
  }
}

function utcMs({ year, month, day, hour, minute, second, millisecond }: Fields): number {
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second, millisecond)
  return date.getTime()
}

const MAX_ZONES = 500
const formats = new Map<string, Intl.DateTimeFormat>()

/** Throws an Error for a zone that is not one of the IANA database, or `UTC`. */
export function checkZone(zone: string): void {
  try {
    formatOf(zone)
  } catch {
    throw new Error(`'${zone}' is no time zone; write one like Europe/Berlin, or UTC`)
  }
}

/** Milliseconds east of UTC. */
function zoneOffset(zone: string, ms: number): number {
  if (zone === 'UTC') return 0
  const parts: Partial<Record<string, number>> = {}
  for (const { type, value } of formatOf(zone).formatToParts(ms)) parts[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  return utcMs({ year, month, day, hour, minute, second, millisecond: 0 }) - Math.floor(ms / 1000) * 1000
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    if (formats.size < MAX_ZONES) formats.set(zone, format)
  }
  return format
}
