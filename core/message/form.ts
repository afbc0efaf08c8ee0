/** Forms: `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), flat. */
import { SignalboxError } from '../errors.ts'
import type { FormatCodec } from './format.ts'
import { overLimit } from './safety.ts'
import { decodeUtf8 } from './text.ts'

const DEFAULT_MAX_FIELDS = 10_000

/** A name that is there more than once has an array of its values. */
export type FormValue = { [name: string]: string | string[] }

export const form: FormatCodec = {
  mediaTypes: ['application/x-www-form-urlencoded'],
  parse(bytes, { maxElements = DEFAULT_MAX_FIELDS }) {
    const text = decodeUtf8(bytes, 'form')
    const fields = text.split('&', maxElements + 1)
    if (fields.length > maxElements) throw overLimit('form', 'maxElements', maxElements, 'fields')
    const values: FormValue = {}
    for (const field of fields) {
      if (field === '') continue
      const equals = field.indexOf('=')
      const name = decode(equals === -1 ? field : field.slice(0, equals))
      if (name === '__proto__') throw refused(`the name '__proto__' is not allowed`)
      add(values, name, equals === -1 ? '' : decode(field.slice(equals + 1)))
    }
    return values
  },
  build(value) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', 'form: only an object can be written')
    }
    const form = new URLSearchParams()
    for (const [name, item] of Object.entries(value)) {
      for (const each of Array.isArray(item) ? item : [item]) {
        if (each !== undefined) form.append(name, scalar(name, each))
      }
    }
    return form.toString()
  },
}

function add(values: FormValue, name: string, value: string): void {
  const before = Object.hasOwn(values, name) ? values[name] : undefined
  if (before === undefined) values[name] = value
  else if (Array.isArray(before)) before.push(value)
  else values[name] = [before, value]
}

function decode(text: string): string {
  if (!text.includes('%')) return text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (error) {
    throw refused(`'${text.slice(0, 80)}' is not percent-encoded UTF-8`, error)
  }
}

function scalar(name: string, value: unknown): string {
  if (value === null) return ''
  if (typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol') {
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `form: '${name}' is not a text or number`, {
      details: { path: name },
    })
  }
  return String(value)
}

function refused(why: string, cause?: unknown): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `form: ${why}`, { cause })
}
