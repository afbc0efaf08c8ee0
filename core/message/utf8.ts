/** Where bytes stop being UTF-8 (RFC 3629). Runs only for bytes that `isUtf8` has refused. */

/**
 * The offset of the first character that is not UTF-8. `unfinished`: all bytes from there on are the start of a
 * character whose rest may still come.
 */
export function firstInvalidUtf8(bytes: Uint8Array): { at: number; unfinished: boolean } {
  let at = 0
  while (at < bytes.length) {
    const first = bytes[at]!
    if (first < 0x80) {
      at++
      continue
    }
    const length = sequenceLength(first)
    if (length === 0) return { at, unfinished: false }
    for (let i = 1; i < length; i++) {
      if (at + i >= bytes.length) return { at, unfinished: true }
      const byte = bytes[at + i]!
      if (byte < (i === 1 ? lowest(first) : 0x80) || byte > (i === 1 ? highest(first) : 0xbf)) {
        return { at, unfinished: false }
      }
    }
    at += length
  }
  return { at, unfinished: false }
}

function sequenceLength(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 2
  if (first >= 0xe0 && first <= 0xef) return 3
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0
}

/** No overlong forms. */
function lowest(first: number): number {
  return first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
}

/** No surrogates, and nothing past U+10FFFF. */
function highest(first: number): number {
  return first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
}
