/** Characters and tokens of XML 1.0, with line ends already made `\n`. */

export const TAB = 0x09
export const LF = 0x0a
export const SPACE = 0x20
export const BANG = 0x21
export const QUOTE = 0x22
export const AMP = 0x26
export const APOSTROPHE = 0x27
export const SLASH = 0x2f
export const SEMICOLON = 0x3b
export const LT = 0x3c
export const EQUALS = 0x3d
export const GT = 0x3e
export const QUESTION = 0x3f
export const BRACKET = 0x5d

export const DECLARATION =
  /<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:"1\.\d"|'1\.\d')(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*(?:"[A-Za-z][\w.-]*"|'[A-Za-z][\w.-]*'))?(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\n]*\?>/y
export const DOCTYPE =
  /<!DOCTYPE[ \t\n]+[^\s<>[\]'"]+(?:[ \t\n]+(?:SYSTEM|PUBLIC[ \t\n]+(?:"[^"<>]*"|'[^'<>]*'))[ \t\n]+(?:"[^"<>]*"|'[^'<>]*'))?[ \t\n]*(\[|>)/y
export const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['apos', "'"],
  ['quot', '"'],
])
/** The longest reference that means something, `&#1114111;`, has fewer characters. */
export const MAX_REFERENCE = 12

export function isSpace(c: number): boolean {
  return c === SPACE || c === LF || c === TAB
}

export function spaced(value: string): string {
  return value.includes('\n') || value.includes('\t') ? value.replace(/[\n\t]/g, ' ') : value
}

/** Char of XML 1.0, section 2.2. */
function isCharacter(code: number): boolean {
  if (code < SPACE) return code === TAB || code === LF || code === 0x0d
  return code < 0xd800 || (code > 0xdfff && code < 0xfffe) || (code > 0xffff && code <= 0x10ffff)
}

export function shorten(text: string, from: number, to: number): string {
  return to - from > 40 ? `${text.slice(from, from + 40)}...` : text.slice(from, to)
}

/** The character a numeric reference stands for, from what is between `&#` and `;`; undefined when it is none. */
export function characterOf(reference: string): string | undefined {
  const hexadecimal = reference.startsWith('x')
  const digits = hexadecimal ? reference.slice(1) : reference
  if (!(hexadecimal ? /^[0-9A-Fa-f]{1,6}$/ : /^[0-9]{1,7}$/).test(digits)) return undefined
  const code = Number.parseInt(digits, hexadecimal ? 16 : 10)
  return isCharacter(code) ? String.fromCodePoint(code) : undefined
}
