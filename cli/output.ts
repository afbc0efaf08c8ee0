/** What people see: tables and text on a terminal. Nothing that came from outside may steer the terminal. */
import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** A column of a {@link table}. */
export interface Column<Row> {
  title: string
  /** Text, or a number, which stands to the right. */
  value(row: Row): string | number | undefined
  style?(row: Row): Style | undefined
}

/** Columns between two columns of a table. */
const GAP = '  '
const NARROWEST = 8

/**
 * Rows under titles. Lines are no longer than `width`, the columns of the terminal: the last column is cut. Without
 * a terminal nothing is.
 */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number = process.stdout.columns ?? Number.POSITIVE_INFINITY,
): string {
  const cells = rows.map(row => columns.map(column => cellOf(column.value(row))))
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...cells.map(line => lengthOf(line[i]!))),
  )
  const right = columns.map(({ value }) => rows.some(row => typeof value(row) === 'number'))
  const last = columns.length - 1
  const before = widths.slice(0, last).reduce((sum, columnWidth) => sum + columnWidth + GAP.length, 0)
  widths[last] = Math.min(widths[last]!, Math.max(NARROWEST, width - before))
  const lineOf = (line: readonly string[], style: (i: number) => Style | undefined) =>
    line
      .map((text, i) => {
        const shown = cut(text, widths[i]!)
        const space = ' '.repeat(widths[i]! - lengthOf(shown))
        const painted = paint(style(i), shown)
        if (right[i]) return space + painted
        return i === last ? painted : painted + space
      })
      .join(GAP)
      .trimEnd()
  const titles = columns.map(({ title }) => title)
  return [
    lineOf(titles, () => 'bold'),
    ...cells.map((line, r) => lineOf(line, i => columns[i]!.style?.(rows[r]!))),
  ].join('\n')
}

/** Paints text where standard output is a terminal and NO_COLOR is not set. */
export function paint(style: Style | undefined, text: string): string {
  return style === undefined ? text : styleText(style, text, { stream: process.stdout })
}

/** Text without control characters, so that a name or a message cannot steer the terminal; line breaks stay. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, '\u{fffd}')
}

/** The same on one line. */
export function oneLine(text: string): string {
  return plain(text.replace(/\s+/g, ' ').trim())
}

/** JSON for programs. */
export function json(value: unknown): string {
  return JSON.stringify(value ?? null, null, 2)
}

/** A time as people of this machine read it: `2026-03-01 14:05:09`. */
export function time(atMs: number): string {
  const date = new Date(atMs)
  if (Number.isNaN(date.getTime())) return '?'
  const two = (part: number) => String(part).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`
}

/** How long something takes or took: `3 d 4 h`, `5 min 2 s`, `12 ms`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms * 10) / 10)} ms`
  const seconds = Math.floor(ms / 1000)
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return shown.map(([count, unit]) => `${count} ${unit}`).join(' ')
}

function cellOf(value: string | number | undefined): string {
  return typeof value === 'number' ? String(value) : oneLine(value ?? '')
}

function lengthOf(text: string): number {
  return Array.from(text).length
}

function cut(text: string, width: number): string {
  return lengthOf(text) <= width
    ? text
    : `${Array.from(text)
        .slice(0, width - 1)
        .join('')}…`
}
