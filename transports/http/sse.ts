/** Server-Sent Events (HTML standard, 9.2): how the items of a stream become events. */
import { SignalboxError } from '../../core/errors.ts'

const FIELDS = new Set(['event', 'id', 'data', 'retry'])

/** A comment line: keeps proxies from closing an idle stream. */
export const SSE_COMMENT = ':\n\n'

/**
 * Writes one item as an event. An object with `data` and nothing but `event`, `id`, `data` and `retry` is an event
 * itself; anything else is the data of an unnamed one. Data that is not a string is written as JSON. Throws
 * SIGNALBOX_ANSWER_INVALID for names and ids that would start a new field.
 */
export function encodeEvent(item: unknown): string {
  if (!isEvent(item)) return dataLines(item)
  let text = ''
  if (item.event !== undefined) text += field('event', item.event)
  if (item.id !== undefined) text += field('id', item.id)
  if (item.retry !== undefined) {
    if (!Number.isInteger(item.retry) || (item.retry as number) < 0) {
      throw new SignalboxError('SIGNALBOX_ANSWER_INVALID', 'retry of an event must be whole milliseconds')
    }
    text += `retry: ${item.retry}\n`
  }
  return text + dataLines(item.data)
}

interface EventItem {
  event?: unknown
  id?: unknown
  data: unknown
  retry?: unknown
}

function isEvent(item: unknown): item is EventItem {
  if (typeof item !== 'object' || item === null || !Object.hasOwn(item, 'data')) return false
  return Object.keys(item).every(key => FIELDS.has(key))
}

function field(name: string, value: unknown): string {
  const text = String(value)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come through
  if (/[\r\n\u0000]/.test(text)) {
    throw new SignalboxError('SIGNALBOX_ANSWER_INVALID', `the ${name} of an event holds a line break or NUL`)
  }
  return `${name}: ${text}\n`
}

function dataLines(value: unknown): string {
  const text =
    typeof value === 'string'
      ? value
      : value instanceof Uint8Array
        ? Buffer.from(value).toString()
        : (JSON.stringify(value) ?? '')
  return `${text
    .split(/\r\n|\r|\n/)
    .map(line => `data: ${line}\n`)
    .join('')}\n`
}
