/**
 * Finds what a TypeScript file imports, from its text alone: a small tokenizer that knows comments, strings,
 * templates and regular expressions, so that none of them is mistaken for an import.
 */

/** One reference from a file to another module. */
export interface Import {
  specifier: string
  line: number
  /**
   * `type`: erased before the program runs. `url`: `new URL(specifier, import.meta.url)`, or siblingModule, whose
   * argument gets the extension that it leaves out.
   */
  kind: 'value' | 'type' | 'dynamic' | 'url'
}

interface Token {
  type: 'word' | 'string' | 'mark'
  text: string
  line: number
}

/** All imports of a source text, in order. */
export function scanImports(source: string): Import[] {
  const tokens = tokenize(source)
  const found: Import[] = []
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!
    if (token.type !== 'word' || tokens[at - 1]?.text === '.') continue
    const match = matchAt(tokens, at)
    if (match !== undefined) found.push({ ...match, line: token.line })
  }
  return found
}

function matchAt(tokens: Token[], at: number): Omit<Import, 'line'> | undefined {
  const next = tokens[at + 1]
  const word = tokens[at]!.text
  if (word === 'import' && next?.text === '(') return argument(tokens[at + 2], 'dynamic')
  if (word === 'import') return argument(next, 'value') ?? fromClause(tokens, at)
  if (word === 'export' && /^(\{|\*|type)$/.test(next?.text ?? '')) return fromClause(tokens, at)
  if (word === 'require' && next?.text === '(') return argument(tokens[at + 2], 'value')
  if (word === 'URL' && next?.text === '(') {
    return isMetaUrl(tokens, at + 4) ? argument(tokens[at + 2], 'url') : undefined
  }
  if (word !== 'siblingModule' || !isMetaUrl(tokens, at + 2)) return undefined
  const sibling = argument(tokens[at + 8], 'url')
  return sibling && { ...sibling, specifier: `${sibling.specifier}.ts` }
}

function argument(token: Token | undefined, kind: Import['kind']): Omit<Import, 'line'> | undefined {
  return token?.type === 'string' ? { specifier: token.text, kind } : undefined
}

function isMetaUrl(tokens: Token[], at: number): boolean {
  return ['import', '.', 'meta', '.', 'url'].every((text, i) => tokens[at + i]?.text === text)
}

/** `import ... from 'x'`, `export { ... } from 'x'`: only names, braces, commas and stars stand in between. */
function fromClause(tokens: Token[], at: number): Omit<Import, 'line'> | undefined {
  const isType = tokens[at + 1]?.text === 'type' && !/^(,|from)$/.test(tokens[at + 2]?.text ?? '')
  for (let i = at + 1; i < tokens.length; i++) {
    const { type, text } = tokens[i]!
    if (text === 'from' && tokens[i + 1]?.type === 'string') {
      return argument(tokens[i + 1], isType ? 'type' : 'value')
    }
    const belongs = type !== 'mark' || /^[{},*]$/.test(text)
    if (!belongs || (type === 'word' && /^(import|export)$/.test(text))) return undefined
  }
  return undefined
}

const SPACE = /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y
const STRING = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y
const WORD = /[\p{ID_Start}$_#@][\p{ID_Continue}$]*|\d[\w.]*/uy
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y
const TEMPLATE_PART = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y

/** A slash after one of these words begins a regular expression; after any other word it divides. */
const BEFORE_REGEX = /^(return|typeof|case|in|of|delete|void|throw|new|else|do|await|yield|instanceof)$/

function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** Depth of braces at which an open template goes on; the innermost last. */
  const templates: number[] = []
  let at = source.startsWith('#!') ? source.indexOf('\n') : 0
  let line = 1
  let depth = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const text = pattern.exec(source)?.[0]
    if (text === undefined) return undefined
    at += text.length
    line += text.split('\n').length - 1
    return text
  }
  /** After the opening quote or the closing brace of an expression: up to the next expression or the end. */
  const template = () => {
    take(TEMPLATE_PART)
    if (source.startsWith('${', at)) {
      at += 2
      templates.push(depth++)
    } else {
      at++
    }
  }
  while (at >= 0 && at < source.length) {
    if (take(SPACE) !== undefined) continue
    const start = line
    const string = take(STRING)
    if (string !== undefined) {
      tokens.push({ type: 'string', text: string.slice(1, -1), line: start })
      continue
    }
    const word = take(WORD) ?? (regexMayStart(tokens.at(-1)) ? take(REGEX) : undefined)
    if (word !== undefined) {
      tokens.push({ type: 'word', text: word, line: start })
      continue
    }
    const text = source[at++]!
    if (text === '`') {
      tokens.push({ type: 'mark', text, line })
      template()
      continue
    }
    if (text === '{') depth++
    if (text === '}' && templates.at(-1) === --depth) {
      templates.pop()
      template()
      continue
    }
    tokens.push({ type: 'mark', text, line })
  }
  return tokens
}

function regexMayStart(previous: Token | undefined): boolean {
  if (previous === undefined) return true
  if (previous.type === 'word') return BEFORE_REGEX.test(previous.text)
  return previous.type === 'mark' && !/^[)\]}`]$/.test(previous.text)
}
