/** Finds where a text stops being JSON. Runs only for texts that `JSON.parse` has refused. */

const NUMBER_OR_WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y

/** The offset of the first character that cannot be there; the length of the text when it ends too early. */
export function jsonErrorOffset(text: string): number {
  const scan = new Scan(text)
  while (scan.value()) {
    if (!scan.afterValue()) break
  }
  return scan.at
}

class Scan {
  readonly #text: string
  readonly #open: string[] = []
  at = 0

  constructor(text: string) {
    this.#text = text
    this.#space()
  }

  /** Steps over a value, or into a composite one with something in it until a scalar ended. False: stopped. */
  value(): boolean {
    for (;;) {
      const c = this.#text[this.at]
      if (c !== '{' && c !== '[') return c === '"' ? this.#string() : this.#token()
      this.#step()
      if (this.#text[this.at] === (c === '{' ? '}' : ']')) {
        this.#step()
        return true
      }
      this.#open.push(c)
      if (c === '{' && !this.#name()) return false
    }
  }

  /** Steps over what ends after a value, to the place of the next one. False: stopped. */
  afterValue(): boolean {
    while (this.#open.length > 0 && this.#text[this.at] === (this.#open.at(-1) === '{' ? '}' : ']')) {
      this.#open.pop()
      this.#step()
    }
    if (this.#open.length === 0 || this.#text[this.at] !== ',') return false
    this.#step()
    return this.#open.at(-1) === '[' || this.#name()
  }

  #name(): boolean {
    if (this.#text[this.at] !== '"' || !this.#string() || this.#text[this.at] !== ':') return false
    this.#step()
    return true
  }

  #string(): boolean {
    const text = this.#text
    this.at++
    while (this.at < text.length) {
      const c = text.charCodeAt(this.at)
      if (c === 0x22) {
        this.#step()
        return true
      }
      if (c < 0x20) return false
      if (c !== 0x5c) this.at++
      else if (!this.#match(ESCAPE)) return false
    }
    return false
  }

  #token(): boolean {
    if (!this.#match(NUMBER_OR_WORD)) return false
    this.#space()
    return true
  }

  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.at
    if (!pattern.test(this.#text)) return false
    this.at = pattern.lastIndex
    return true
  }

  #step(): void {
    this.at++
    this.#space()
  }

  #space(): void {
    while (this.at < this.#text.length && ' \t\n\r'.includes(this.#text[this.at]!)) this.at++
  }
}
