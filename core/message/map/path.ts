/** The small languages of paths and conditions. */

/** A step of a path: a name, a position, all items, or the items that meet a condition. */
export type Segment =
  | { type: 'name'; name: string }
  | { type: 'index'; index: number }
  | { type: 'all' }
  | { type: 'filter'; condition: Condition }

/** Where a path starts: the context, so many contexts further out, the input, or a value given beside the input. */
export interface Path {
  start: { type: 'context'; up: number } | { type: 'root' } | { type: 'extra'; name: string }
  segments: Segment[]
  /** As it was written. */
  text: string
}

export type Comparator = '=' | '!=' | '<' | '<=' | '>' | '>='

export type Condition =
  | { type: 'and' | 'or'; left: Condition; right: Condition }
  | { type: 'not'; operand: Condition }
  | { type: 'exists'; path: Path }
  | { type: 'compare'; comparator: Comparator; left: Operand; right: Operand }
  | { type: 'in'; left: Operand; list: Operand[] }

export type Operand =
  | { type: 'path'; path: Path }
  | { type: 'constant'; value: string | number | boolean | null }

/** What is wrong with a path or condition, and at which character. */
export class PathError extends Error {
  readonly at: number

  constructor(why: string, at: number) {
    super(why)
    this.at = at
  }
}

const MAX_LENGTH = 2_000
const MAX_NESTING = 50
/** Ends a name that is not in quotes. */
const NAME = /[^\s.[\]()'"=!<>,^$]+/y
const SPACE = /\s*/y
const NUMBER = /-?\d+(?:\.\d+)?(?![^\s)\],=!<>])/y
const COMPARATOR = /!=|<=|>=|=|<|>/y
const WORD = /(?:and|or|not|in|true|false|null)(?![^\s()[\]'"])/y

export function parsePath(text: string): Path {
  const parser = new Parser(text)
  const path = parser.path()
  parser.end()
  return path
}

export function parseCondition(text: string): Condition {
  const parser = new Parser(text)
  const condition = parser.or()
  parser.end()
  return condition
}

class Parser {
  readonly #text: string
  #at = 0
  #nesting = 0

  constructor(text: string) {
    if (text.length > MAX_LENGTH) throw new PathError(`it is longer than ${MAX_LENGTH} characters`, 0)
    this.#text = text
  }

  end(): void {
    this.#space()
    if (this.#at < this.#text.length) throw this.#unexpected()
  }

  or(): Condition {
    if (++this.#nesting > MAX_NESTING) throw new PathError('it is nested too deeply', this.#at)
    let left = this.#and()
    while (this.#word('or')) left = { type: 'or', left, right: this.#and() }
    this.#nesting--
    return left
  }

  #and(): Condition {
    let left = this.#term()
    while (this.#word('and')) left = { type: 'and', left, right: this.#term() }
    return left
  }

  #term(): Condition {
    if (this.#word('not')) {
      if (++this.#nesting > MAX_NESTING) throw new PathError('it is nested too deeply', this.#at)
      const operand = this.#term()
      this.#nesting--
      return { type: 'not', operand }
    }
    this.#space()
    if (this.#take('(')) {
      const inner = this.or()
      this.#expect(')')
      return inner
    }
    const start = this.#at
    const left = this.#operand()
    this.#space()
    const comparator = this.#match(COMPARATOR) as Comparator | undefined
    if (comparator !== undefined) return { type: 'compare', comparator, left, right: this.#operand() }
    if (this.#word('in')) return { type: 'in', left, list: this.#list() }
    if (left.type === 'path') return { type: 'exists', path: left.path }
    throw new PathError('a constant alone is no condition', start)
  }

  #list(): Operand[] {
    this.#expect('(')
    const list = [this.#operand()]
    this.#space()
    while (this.#take(',')) {
      list.push(this.#operand())
      this.#space()
    }
    this.#expect(')')
    return list
  }

  #operand(): Operand {
    this.#space()
    const constant = (value: string | number | boolean | null): Operand => ({ type: 'constant', value })
    const quote = this.#text[this.#at]
    if (quote === "'" || quote === '"') return constant(this.#quoted())
    const number = this.#match(NUMBER)
    if (number !== undefined) return constant(Number(number))
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.#word(word)) return constant(value)
    }
    return { type: 'path', path: this.path() }
  }

  path(): Path {
    this.#space()
    const from = this.#at
    const start = this.#start()
    const segments: Segment[] = []
    // Only a dot: the context itself.
    const isContext = segments.length === 0 && start.type === 'context' && start.up === 0 && this.#take('.')
    if (!isContext) {
      if (start.type === 'context' && start.up === 0) segments.push(this.#name())
      this.#brackets(segments)
      while (this.#take('.')) {
        segments.push(this.#name())
        this.#brackets(segments)
      }
    } else this.#brackets(segments)
    return { start, segments, text: this.#text.slice(from, this.#at) }
  }

  #start(): Path['start'] {
    if (this.#take('$')) {
      const name = this.#match(NAME)
      return name === undefined ? { type: 'root' } : { type: 'extra', name }
    }
    let up = 0
    while (this.#text[this.#at] === '^') {
      up++
      this.#at++
      if (this.#text.startsWith('.^', this.#at)) this.#at++
    }
    return { type: 'context', up }
  }

  #name(): Segment {
    const quote = this.#text[this.#at]
    if (quote === "'" || quote === '"') return { type: 'name', name: this.#quoted() }
    const name = this.#match(NAME)
    if (name === undefined) throw this.#unexpected('a name')
    return { type: 'name', name }
  }

  #brackets(segments: Segment[]): void {
    while (this.#take('[')) {
      this.#space()
      if (this.#take(']')) {
        segments.push({ type: 'all' })
        continue
      }
      const number = this.#match(/-?\d+(?=\s*\])/y)
      if (number === undefined) segments.push({ type: 'filter', condition: this.or() })
      else segments.push({ type: 'index', index: Number(number) })
      this.#expect(']')
    }
  }

  #quoted(): string {
    const start = this.#at
    const quote = this.#text[this.#at++]!
    const end = this.#text.indexOf(quote, this.#at)
    if (end < 0) throw new PathError('the quotation mark is not closed', start)
    const value = this.#text.slice(this.#at, end)
    this.#at = end + 1
    return value
  }

  #word(word: string): boolean {
    this.#space()
    WORD.lastIndex = this.#at
    if (WORD.exec(this.#text)?.[0] !== word) return false
    this.#at += word.length
    return true
  }

  #space(): void {
    this.#match(SPACE)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #expect(character: string): void {
    this.#space()
    if (!this.#take(character)) throw this.#unexpected(`'${character}'`)
  }

  #unexpected(wanted?: string): PathError {
    const found = this.#at < this.#text.length ? `'${this.#text[this.#at]}'` : 'the end'
    return new PathError(
      `${wanted === undefined ? '' : `${wanted} is expected, `}${found} is not expected here`,
      this.#at,
    )
  }
}

/** The names of a target: dots between them, quotation marks around names with dots. */
export function parseTarget(text: string): string[] {
  const { start, segments } = parsePath(text)
  const names = segments.map(segment => {
    if (segment.type !== 'name') throw new PathError('a target has names and dots only', 0)
    return segment.name
  })
  if (start.type !== 'context' || start.up > 0 || names.length === 0) {
    throw new PathError('a target has names and dots only', 0)
  }
  for (const name of names) {
    if (name === '__proto__' || name === 'constructor' || name === 'prototype') {
      throw new PathError(`the name '${name}' is not allowed in a target`, text.indexOf(name))
    }
  }
  return names
}
