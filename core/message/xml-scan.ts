/**
 * Finds where markup ends in the text of an XML document that comes in pieces, without judging it: that is the
 * parser's work. Each character is looked at once, however small the pieces are.
 */
import { APOSTROPHE, BANG, GT, QUESTION, QUOTE } from './xml-grammar.ts'

/** Begins a definition, which is refused: the parser shall see it at once. */
const OPEN_BRACKET = 0x5b

type State = 'text' | 'opened' | 'tag' | 'declaration' | 'doctype' | 'comment' | 'cdata' | 'instruction'

/** What ends a stretch in which nothing else counts. */
const ENDS = { comment: '-->', cdata: ']]>', instruction: '?>' } as const

export class XmlScan {
  readonly #maxAttributes: number
  #state: State = 'text'
  /** The quote that an attribute value in a tag waits for; 0 outside. */
  #quote = 0
  #values = 0
  /** Characters of the present markup after `<!`, and those that may begin its end. */
  #seen = ''

  constructor(maxAttributes: number) {
    this.#maxAttributes = maxAttributes
  }

  /** The end of the last markup that ends in the next piece of text; 0 when none does. */
  lastEnd(piece: string): number {
    let lastEnd = 0
    let at = 0
    while (at < piece.length) {
      at = this.#step(piece, at)
      if (at < 0) {
        at = -at
        this.#state = 'text'
        lastEnd = at
      }
    }
    return lastEnd
  }

  /** Goes on from `at`. Returns where to, as a negative number when markup ends there. */
  #step(piece: string, at: number): number {
    switch (this.#state) {
      case 'text': {
        const open = piece.indexOf('<', at)
        if (open === -1) return piece.length
        this.#state = 'opened'
        return open + 1
      }
      case 'opened':
        return this.#opened(piece, at)
      case 'tag':
      case 'doctype':
        return this.#tag(piece, at)
      case 'declaration':
        return this.#declaration(piece, at)
      default:
        return this.#until(ENDS[this.#state], piece, at)
    }
  }

  #opened(piece: string, at: number): number {
    const c = piece.charCodeAt(at)
    this.#quote = 0
    this.#values = 0
    this.#seen = ''
    if (c === QUESTION || c === BANG) {
      this.#state = c === BANG ? 'declaration' : 'instruction'
      return at + 1
    }
    this.#state = 'tag'
    return at
  }

  /** `<!` and what follows: a comment, CDATA, a document type declaration, or nothing that XML knows. */
  #declaration(piece: string, at: number): number {
    this.#seen += piece[at]
    const seen = this.#seen
    if (seen === '--') return this.#enter('comment', at)
    if (seen === '[CDATA[') return this.#enter('cdata', at)
    if (seen === 'DOCTYPE') return this.#enter('doctype', at)
    const maybe = '--'.startsWith(seen) || '[CDATA['.startsWith(seen) || 'DOCTYPE'.startsWith(seen)
    // Nothing of XML: the parser will say so.
    return maybe ? at + 1 : this.#enter('tag', at - 1)
  }

  #enter(state: State, at: number): number {
    this.#state = state
    this.#seen = ''
    return at + 1
  }

  #tag(piece: string, from: number): number {
    const { length } = piece
    const opens = this.#state === 'doctype' ? OPEN_BRACKET : 0
    let at = from
    while (at < length) {
      if (this.#quote !== 0) {
        const close = piece.indexOf(this.#quote === QUOTE ? '"' : "'", at)
        if (close === -1) return length
        this.#quote = 0
        at = close + 1
        // More than the parser takes: it shall refuse the tag before its end has come.
        if (++this.#values > this.#maxAttributes + 1) return -at
        continue
      }
      let c = piece.charCodeAt(at)
      while ((c > GT && c !== opens) || (c < GT && c !== QUOTE && c !== APOSTROPHE))
        c = piece.charCodeAt(++at)
      if (at >= length) return length
      at++
      if (c !== QUOTE && c !== APOSTROPHE) return -at
      this.#quote = c
    }
    return at
  }

  #until(end: string, piece: string, at: number): number {
    const keep = end.length - 1
    if (this.#seen !== '') {
      // The end may have begun in an earlier piece.
      const joined = this.#seen + piece.slice(at, at + keep)
      const found = joined.indexOf(end)
      if (found !== -1) return -(at + found + end.length - this.#seen.length)
      if (piece.length - at < keep) {
        this.#seen = joined.slice(-keep)
        return piece.length
      }
    }
    const found = piece.indexOf(end, at)
    if (found !== -1) return -(found + end.length)
    this.#seen = piece.slice(Math.max(at, piece.length - keep))
    return piece.length
  }
}
