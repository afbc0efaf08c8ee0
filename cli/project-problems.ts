/** What is wrong with a `signalbox.yaml`: everything at once, each with its line. */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair } from 'yaml'
import { SignalboxError } from '../core/errors.ts'
import type { SchemaViolation } from '../core/schema.ts'

export class Problems {
  /** Values that are nothing but an environment variable, by their JSON pointer. */
  readonly variables = new Map<string, string>()
  readonly #path: string
  readonly #document: Document
  readonly #lines: LineCounter
  readonly #found: (SchemaViolation & { line: number })[] = []

  constructor(path: string, document: Document, lines: LineCounter) {
    this.#path = path
    this.#document = document
    this.#lines = lines
  }

  /** `pointer` is the JSON pointer of the value in the file. */
  add(pointer: string, rule: string): void {
    const property = /^must not have the property '([^']+)'/.exec(rule)?.[1]
    const place = property === undefined ? pointer : `${pointer}/${property}`
    this.#found.push({ pointer, rule, line: this.#lineOf(place) })
  }

  /** Takes what a schema found, for a value at `base`; an error of another kind is thrown again. */
  addFrom(error: unknown, base: string): void {
    const errors = error instanceof SignalboxError && error.details?.errors
    if (!Array.isArray(errors)) throw error
    for (const { pointer, rule } of errors as SchemaViolation[]) this.add(base + pointer, rule)
  }

  /** Throws SIGNALBOX_CONFIG_INVALID when there are any. */
  throwIfAny(): void {
    if (this.#found.length === 0) return
    const errors = this.#found.toSorted((a, b) => a.line - b.line)
    const list = errors.map(({ line, pointer, rule }) => `${this.#path}:${line}: ${dotted(pointer)} ${rule}`)
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', list.join('\n'), { details: { errors } })
  }

  /** The line of a value, or of the nearest one around it that is there. */
  #lineOf(pointer: string): number {
    let node: unknown = this.#document.contents
    let offset = startOf(node) ?? 0
    for (const segment of segmentsOf(pointer)) {
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
    return this.#lines.linePos(offset).line || 1
  }
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}

/** The keys of a JSON pointer (RFC 6901). */
export function segmentsOf(pointer: string): string[] {
  const segments = pointer.split('/').slice(1)
  return segments.map(segment => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function dotted(pointer: string): string {
  return pointer === '' ? '(all)' : segmentsOf(pointer).join('.')
}
