/** Writes the JavaScript of paths and conditions. */
import { type Code, text } from './code.ts'
import type { Comparator, Condition, Operand, Path, Segment } from './path.ts'

/** Where paths start: a variable, and how it is called in reports. */
export interface Context {
  js: string
  /** The variable that says whether it is a plain object, whose properties are read in line. */
  plain: string | undefined
  /** JavaScript of a text. */
  source: string
  outer: Context | undefined
}

export class PathEmitter {
  readonly #code: Code

  constructor(code: Code) {
    this.#code = code
  }

  /** JavaScript for what is at a path, undefined when nothing is. */
  path(path: Path, context: Context): string {
    const start = startOf(path, context)
    if (path.segments.length === 0) return start
    const isDynamic = path.segments.some(segment => segment.type === 'filter' && looksOut(segment.condition))
    const parts = path.segments.map(segment => {
      if (segment.type === 'name') return text(segment.name)
      if (segment.type === 'index') return String(segment.index)
      return segment.type === 'all' ? 'R.ALL' : this.#predicate(segment.condition, context)
    })
    // A filter that looks at what is around the item is made where it stands, any other path once.
    if (isDynamic) return `R.walk(${start}, [${parts.join(', ')}], 0)`
    const walk = this.#code.once(`[${parts.join(', ')}]`)
    return this.#follow(
      start,
      path.segments,
      0,
      walk,
      path.start.type === 'context' ? outer(context, path.start.up).plain : undefined,
    )
  }

  /** Own properties of plain objects in line; at the first thing that is something else, `walk` goes on. */
  #follow(value: string, segments: readonly Segment[], at: number, walk: string, plain?: string): string {
    const segment = segments[at]
    if (segment === undefined) return `(${value} ?? undefined)`
    const slow = `R.walk(${value}, ${walk}, ${at})`
    if (segment.type !== 'name' || segment.name in Object.prototype) return slow
    const { name } = segment
    if (name === '#text' && at === segments.length - 1)
      return `(typeof ${value} === 'string' ? ${value} : ${slow})`
    const local = this.#code.fresh()
    this.#code.lines.push(`let ${local}`)
    const next = this.#follow(local, segments, at + 1, walk)
    if (plain !== undefined) return `(${plain} ? (${local} = ${value}[${text(name)}], ${next}) : ${slow})`
    // The property is read first: then the engine knows what kind of object it is.
    return `(typeof ${value} === 'object' && ${value} !== null && (${local} = ${value}[${text(name)}], P(${value}) === O) ? ${next} : ${slow})`
  }

  #predicate(condition: Condition, context: Context): string {
    const item = this.#code.fresh()
    const inner: Context = { js: item, plain: undefined, source: "''", outer: context }
    return this.#code.arrow(item, () => this.condition(condition, inner))
  }

  /** JavaScript for whether a condition holds. */
  condition(condition: Condition, context: Context): string {
    switch (condition.type) {
      case 'and':
        return `(${this.condition(condition.left, context)} && ${this.condition(condition.right, context)})`
      case 'or':
        return `(${this.condition(condition.left, context)} || ${this.condition(condition.right, context)})`
      case 'not':
        return `!${this.condition(condition.operand, context)}`
      case 'exists':
        return `R.holds(${this.path(condition.path, context)})`
      case 'compare': {
        const { left, right, comparator } = condition
        return this.#compare(this.#operand(left, context), this.#operand(right, context), right, comparator)
      }
      case 'in': {
        const list = condition.list.map(operand => this.#operand(operand, context))
        return `R.isIn(${this.#operand(condition.left, context)}, [${list.join(', ')}])`
      }
    }
  }

  /** Numbers with a constant number and texts with a constant text are compared in line. */
  #compare(left: string, right: string, constant: Operand, comparator: Comparator): string {
    const kind = constant.type === 'constant' ? typeof constant.value : undefined
    const isEquality = comparator === '=' || comparator === '!='
    if (kind !== 'number' && !(kind === 'string' && isEquality))
      return `R.compare(${left}, ${right}, '${comparator}')`
    const value = this.#code.let(left)
    const operator = isEquality ? `${comparator === '=' ? '=' : '!'}==` : comparator
    const fast = `${value} ${operator} ${right}`
    return `(typeof ${value} === '${kind}' ? ${fast} : R.compare(${value}, ${right}, '${comparator}'))`
  }

  #operand(operand: Operand, context: Context): string {
    return operand.type === 'path' ? this.path(operand.path, context) : text(operand.value)
  }
}

/** JavaScript of what a path is called in reports: from the input on. */
export function sourceOf(path: Path, context: Context): string {
  const { start } = path
  const own = start.type === 'extra' ? path.text : path.text.replace(/^[$^.]*/, '')
  const base = start.type === 'context' ? outer(context, start.up).source : "''"
  if (own === '') return base
  return base === "''" ? text(own) : `${base} + ${text(own.startsWith('[') ? own : `.${own}`)}`
}

function startOf({ start }: Path, context: Context): string {
  if (start.type === 'root') return 'c0'
  if (start.type === 'extra') return `R.property(extra, ${text(start.name)})`
  return outer(context, start.up).js
}

function outer(context: Context, up: number): Context {
  let at = context
  for (let i = 0; i < up; i++) at = at.outer ?? at
  return at
}

function looksOut(condition: Condition): boolean {
  const pathLooksOut = ({ start, segments }: Path): boolean =>
    start.type !== 'context' ||
    start.up > 0 ||
    segments.some(segment => segment.type === 'filter' && looksOut(segment.condition))
  const operandLooksOut = (operand: Operand) => operand.type === 'path' && pathLooksOut(operand.path)
  switch (condition.type) {
    case 'and':
    case 'or':
      return looksOut(condition.left) || looksOut(condition.right)
    case 'not':
      return looksOut(condition.operand)
    case 'exists':
      return pathLooksOut(condition.path)
    case 'compare':
      return operandLooksOut(condition.left) || operandLooksOut(condition.right)
    case 'in':
      return operandLooksOut(condition.left) || condition.list.some(operandLooksOut)
  }
}
