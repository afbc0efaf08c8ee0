/** What is wrong with a `signalbox.yaml`: everything at once, each with its place. */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair } from 'yaml'
import { SignalboxError } from '../errors.ts'
import type { SchemaViolation } from '../schema.ts'
import { stepsOf } from '../security/secret-paths.ts'

/** One problem, as in `details.errors` of the error; lines and columns count from 1. */
export interface FileProblem extends SchemaViolation {
  line: number
  column: number
}

/** Collects what is wrong with a YAML file. */
export class FileProblems {
  readonly #path: string
  readonly #document: Document
  readonly #lines: LineCounter
  readonly #found: FileProblem[] = []
  readonly #known = new Set<string>()

  constructor(path: string, document: Document, lines: LineCounter) {
    this.#path = path
    this.#document = document
    this.#lines = lines
  }

  /** `pointer` is the JSON pointer of the value in the file. What is known already is not said again. */
  add(pointer: string, rule: string): void {
    const known = `${pointer} ${rule}`
    if (this.#known.has(known)) return
    this.#known.add(known)
    const property = /^must not have the property '([^']+)'/.exec(rule)?.[1]
    const place = property === undefined ? pointer : `${pointer}/${property}`
    this.#found.push({ pointer, rule, ...this.#placeOf(place) })
  }

  /** Takes what was found in the value at `base`. */
  addAll(base: string, violations: readonly SchemaViolation[]): void {
    for (const { pointer, rule } of violations) this.add(base + pointer, rule)
  }

  /** Throws SIGNALBOX_CONFIG_INVALID when there are any. */
  throwIfAny(): void {
    if (this.#found.length === 0) return
    const errors = this.#found.toSorted((a, b) => a.line - b.line || a.column - b.column)
    const list = errors.map(({ line, pointer, rule }) => `${this.#path}:${line}: ${dotted(pointer)} ${rule}`)
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', list.join('\n'), { details: { errors } })
  }

  /** The place of a value, or of the nearest one around it that is there. */
  #placeOf(pointer: string): { line: number; column: number } {
    let node: unknown = this.#document.contents
    let offset = startOf(node) ?? 0
    for (const segment of stepsOf(pointer)) {
      if (isAlias(node)) node = node.resolve(this.#document)
      if (isMap(node)) {
        const pair: Pair | undefined = node.items.find(
          ({ key }) => String(isScalar(key) ? key.value : key) === segment,
        )
        if (!pair) break
        offset = startOf(pair.key) ?? offset
        node = pair.value
      } else if (isSeq(node)) {
        node = node.items[Number(segment)]
        offset = startOf(node) ?? offset
      } else break
    }
    const { line, col } = this.#lines.linePos(offset)
    return { line: line || 1, column: col || 1 }
  }
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}

function dotted(pointer: string): string {
  return pointer === '' ? '(all)' : stepsOf(pointer).join('.')
}
