/**
 * Sequences: JSONata tells the arrays that a query made from the arrays of the data, since only the former shrink to
 * their single item. The mark is a private field, so that no consumer of a result ever sees it.
 */

const SEQUENCE = 1
/** A sequence that stays an array when it has one item: `a.b[]`. */
const KEPT = 2
/** Built by `[...]` as a step: not flattened into the steps after it. */
const CONSTRUCTED = 3
/** The sequence around an input that is an array. */
const WRAPPER = 4

class Returned {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: gives a field to an object that exists already
    return object
  }
}

class Mark extends Returned {
  #kind: number

  constructor(array: unknown[], kind: number) {
    super(array)
    this.#kind = kind
  }

  static kindOf(value: object): number {
    return #kind in value ? value.#kind : 0
  }

  static set(array: unknown[], kind: number): void {
    if (#kind in array) (array as unknown as Mark).#kind = kind
    else new Mark(array, kind)
  }
}

/** A new empty sequence. */
export function sequence(): unknown[] {
  const made: unknown[] = []
  new Mark(made, SEQUENCE)
  return made
}

/** Makes an array that nobody else has a sequence. */
export function asSequence(array: unknown[]): unknown[] {
  Mark.set(array, SEQUENCE)
  return array
}

export function isSequence(array: unknown[]): boolean {
  const kind = Mark.kindOf(array)
  return kind !== 0 && kind !== CONSTRUCTED
}

export function constructed(array: unknown[]): unknown[] {
  Mark.set(array, CONSTRUCTED)
  return array
}

export function isConstructed(array: unknown[]): boolean {
  return Mark.kindOf(array) === CONSTRUCTED
}

/** The context of a query over an array: one item, the array. */
export function wrap(input: unknown): unknown {
  if (!Array.isArray(input)) return input
  const outer = [input]
  Mark.set(outer, WRAPPER)
  return outer
}

export function unwrap(context: unknown): unknown {
  return Array.isArray(context) && Mark.kindOf(context) === WRAPPER ? context[0] : context
}

/** What a sequence is as a value: nothing, its one item, or itself. */
export function settle(value: unknown, keep = false): unknown {
  if (!Array.isArray(value)) return value
  const kind = Mark.kindOf(value)
  if (kind === 0 || kind === CONSTRUCTED) return value
  if (keep) Mark.set(value, KEPT)
  if (value.length > 1) return value
  if (value.length === 0) return undefined
  return keep || kind === KEPT ? value : value[0]
}
