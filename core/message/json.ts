/** JSON (RFC 8259). */
import { SignalboxError } from '../errors.ts'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS, type FormatCodec } from './format.ts'
import { jsonErrorOffset } from './json-error.ts'
import { mayHaveUnsafeNames, overLimit, refuseUnsafeNames } from './safety.ts'
import { decodeUtf8, positionAt } from './text.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What a byte outside strings means to {@link checkLimits}. */
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

export const json: FormatCodec = {
  mediaTypes: ['application/json', 'text/json'],
  suffix: '+json',
  parse(bytes, limits) {
    checkLimits(bytes, limits)
    const text = decodeUtf8(bytes, 'JSON')
    const value = parseText(text)
    if (mayHaveUnsafeNames(text)) refuseUnsafeNames(value, 'JSON')
    return value
  },
  build(value) {
    try {
      return JSON.stringify(value) ?? 'null'
    } catch (error) {
      throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `JSON: ${(error as Error).message}`)
    }
  },
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
 */
function checkLimits(bytes: Buffer, limits: BodyLimits): void {
  const { maxDepth, maxElements = DEFAULT_MAX_ELEMENTS } = limits
  const length = bytes.length
  if (length <= 2 * maxDepth && length <= 2 * maxElements) return
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
      if (++depth > maxDepth) throw overLimit('JSON', 'maxDepth', maxDepth, 'levels of nesting')
    }
  }
  if (elements > maxElements) throw overLimit('JSON', 'maxElements', maxElements, 'values')
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
