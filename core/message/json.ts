/** JSON (RFC 8259). */
import { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS, type FormatCodec } from './format.ts'
import { jsonErrorOffset } from './json-error.ts'
import { pointerSegments, valueAt } from './json-pointer.ts'
import { JsonElementReader } from './json-split.ts'
import { recordsOf } from './records.ts'
import { mayHaveUnsafeNames, overLimit, refuseUnsafeNames } from './safety.ts'
import { decodeUtf8, positionAt } from './text.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What a byte outside strings means to {@link checkJsonLimits}. */
const OPEN = 1
const CLOSE = 2
const COMMA = 3
const STRING = 4
const MEANING = new Uint8Array(256)
MEANING[0x7b] = OPEN
MEANING[0x5b] = OPEN
MEANING[0x7d] = CLOSE
MEANING[0x5d] = CLOSE
MEANING[0x2c] = COMMA
MEANING[QUOTE] = STRING

/** Options of `json`. All have defaults. */
export interface JsonOptions {
  pointer?: string
}

/**
 * `application/json`. `split` gives the elements of an array, that of the whole text or the one that `pointer` names;
 * what stands beside that array is then only looked at for brackets and strings.
 */
export const json: FormatCodec<JsonOptions> = {
  mediaTypes: ['application/json', 'text/json'],
  suffix: '+json',
  options: Type.Object(
    {
      pointer: Type.Optional(
        Type.String({
          default: '',
          pattern: '^(?:/(?:[^~/]|~[01])*)*$',
          description:
            'JSON Pointer (RFC 6901) of the value that is meant; written, it stands in objects of these names',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  parse(bytes, limits, options) {
    const value = parseJson(bytes, limits)
    return options?.pointer ? valueAt(value, pointerSegments(options.pointer)) : value
  },
  build(value, options) {
    const [before, after] = around(options)
    try {
      return `${before}${JSON.stringify(value) ?? 'null'}${after}`
    } catch (error) {
      throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `JSON: ${(error as Error).message}`)
    }
  },
  split(source, limits, options) {
    const segments = pointerSegments(options?.pointer ?? '')
    const parse = (element: Buffer) => parseJson(element, limits)
    return recordsOf(source, () => new JsonElementReader(segments, limits, parse))
  },
  async *join(records, options) {
    const [before, after] = around(options)
    let separator = `${before}[`
    for await (const record of records) {
      yield separator + json.build(record)
      separator = ','
    }
    yield separator === ',' ? `]${after}` : `${before}[]${after}`
  },
}

/** The objects around the value at a pointer. */
function around(options: JsonOptions | undefined): [before: string, after: string] {
  if (!options?.pointer) return ['', '']
  const segments = pointerSegments(options.pointer)
  return [segments.map(name => `{${JSON.stringify(name)}:`).join(''), '}'.repeat(segments.length)]
}

function parseJson(bytes: Buffer, limits: BodyLimits): unknown {
  checkJsonLimits(bytes, limits)
  const text = decodeUtf8(bytes, 'JSON')
  const value = parseText(text)
  if (mayHaveUnsafeNames(text)) refuseUnsafeNames(value, 'JSON')
  return value
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // The engine's message does not always say where, and quotes the message, which may be secret.
    const offset = jsonErrorOffset(text)
    const { line, column } = positionAt(text, offset)
    const found = offset >= text.length ? 'the text ends too early' : 'not well-formed'
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `JSON: ${found}, at line ${line}, column ${column}`,
      {
        details: { line, column },
        cause: error,
      },
    )
  }
}

/**
 * Counts depth and values over the bytes, without recursion, before anything is built. Nesting to a depth takes
 * two bytes a level and a value at least two, so short bodies need no look.
 * Returns how many values there are; 0: not looked at.
 */
export function checkJsonLimits(bytes: Buffer, limits: BodyLimits, what = 'JSON'): number {
  const { maxDepth, maxElements = DEFAULT_MAX_ELEMENTS } = limits
  const length = bytes.length
  if (length <= 2 * maxDepth && length <= 2 * maxElements) return 0
  let depth = 0
  let elements = 1
  for (let i = 0; i < length; i++) {
    const meaning = MEANING[bytes[i]!]
    if (meaning === 0) continue
    if (meaning === STRING) i = stringEnd(bytes, i + 1)
    else if (meaning === COMMA) elements++
    else if (meaning === CLOSE) depth--
    else {
      elements++
      if (++depth > maxDepth) throw overLimit(what, 'maxDepth', maxDepth, 'levels of nesting')
    }
  }
  if (elements > maxElements) throw overLimit(what, 'maxElements', maxElements, 'values')
  return elements
}

function stringEnd(bytes: Buffer, from: number): number {
  const length = bytes.length
  let i = from
  for (; i < length; i++) {
    const byte = bytes[i]
    if (byte === QUOTE) return i
    if (byte === BACKSLASH) i++
  }
  return i
}
