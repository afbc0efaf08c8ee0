/** Which prefix stands for which namespace at a place of a document (Namespaces in XML 1.0). */
import { XML, XMLNS } from './xml-element.ts'
import type { Names, Prefix } from './xml-names.ts'

/** What an element bound, and what stood there before. */
interface Scope {
  depth: number
  restore: { prefix: Prefix; generation: number; uri: string }[]
}

/**
 * Bindings are kept in the records of the prefixes themselves, so that looking one up costs nothing; an element
 * that binds some puts the former ones back when it ends.
 */
export class Bindings {
  readonly #names: Names
  readonly #scopes: Scope[] = []
  /** Depth of the innermost element that bound something; -1 when there is none. */
  depth = -1

  constructor(names: Names) {
    this.#names = names
  }

  /** Binds a prefix for the element at `depth`. Answers what is wrong by sections 3 and 5 of the standard, if something is. */
  bind(prefix: string, uri: string, depth: number): string | undefined {
    if (prefix === 'xmlns' || uri === XMLNS) return 'the prefix xmlns cannot be bound'
    if ((prefix === 'xml') !== (uri === XML)) return 'only the prefix xml stands for its namespace'
    if (prefix !== '' && uri === '') return `the prefix ${prefix} is bound to nothing`
    if (this.depth !== depth) {
      this.#scopes.push({ depth, restore: [] })
      this.depth = depth
    }
    const record = this.#names.prefix(prefix)
    this.#scopes.at(-1)!.restore.push({ prefix: record, generation: record.generation, uri: record.uri })
    record.generation = this.#names.generation
    record.uri = uri
    return undefined
  }

  /** Ends the innermost element that bound something. */
  leave(): void {
    const { restore } = this.#scopes.pop()!
    for (let i = restore.length - 1; i >= 0; i--) {
      const { prefix, generation, uri } = restore[i]!
      prefix.generation = generation
      prefix.uri = uri
    }
    this.depth = this.#scopes.at(-1)?.depth ?? -1
  }
}
