/** Bytes to text, strictly, and places in text for error messages. */
import { isAscii, isUtf8 } from 'node:buffer'
import { SignalboxError } from '../errors.ts'

/** A place in a text: line and column, both from 1; the column counts UTF-16 code units. */
export interface Position {
  line: number
  column: number
}

/** The line and column of an offset. Reads the text up to there, so ask only when somebody wants to know. */
export function positionAt(text: string, offset: number): Position {
  let line = 1
  let start = 0
  for (let end = text.indexOf('\n'); end !== -1 && end < offset; end = text.indexOf('\n', start)) {
    line++
    start = end + 1
  }
  return { line, column: offset - start + 1 }
}

/**
 * Decodes UTF-8. A byte order mark is dropped.
 * Throws SIGNALBOX_FORMAT_INVALID with line and column at the first byte that is not UTF-8.
 */
export function decodeUtf8(bytes: Buffer, what: string): string {
  if (isAscii(bytes)) return bytes.toString('latin1')
  if (!isUtf8(bytes)) {
    const { line, column } = invalidUtf8At(bytes)
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `${what}: not UTF-8 at line ${line}, column ${column}`,
      { details: { line, column } },
    )
  }
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return bytes.toString('utf8', marked ? 3 : 0)
}

/** Where decoding with replacement put a U+FFFD that is not in the bytes. */
function invalidUtf8At(bytes: Buffer): Position {
  const lossy = bytes.toString()
  let from = 0
  let byte = 0
  for (let at = lossy.indexOf('\ufffd'); at !== -1; at = lossy.indexOf('\ufffd', from)) {
    byte += Buffer.byteLength(lossy.slice(from, at))
    if (bytes[byte] !== 0xef || bytes[byte + 1] !== 0xbf || bytes[byte + 2] !== 0xbd) {
      return positionAt(lossy, at)
    }
    byte += 3
    from = at + 1
  }
  return positionAt(lossy, lossy.length)
}

/** Offsets of line starts, for many positions in one text: each costs a binary search. */
export class LineIndex {
  readonly #starts: number[] = [0]

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1)
  }

  at(offset: number): Position {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - this.#starts[low]! + 1 }
  }
}
