/** Which JavaScript variable holds which variable of an expression. */

interface Variable {
  js: string
  /** Whether it has its value wherever it is used from here on. */
  certain: boolean
}

/** One frame of variables. A name that is not bound yet is looked for in the frames around it. */
export class Scope {
  readonly #parent: Scope | undefined
  readonly #variables = new Map<string, Variable>()

  constructor(parent?: Scope) {
    this.#parent = parent
  }

  declare(name: string, js: string, certain: boolean): void {
    this.#variables.set(name, { js, certain })
  }

  /** From here on the name has its value. */
  settle(name: string): void {
    const variable = this.#variables.get(name)
    if (variable !== undefined) variable.certain = true
  }

  /** The variable to assign to: every binding is declared in its frame beforehand. */
  own(name: string): string {
    return this.#variables.get(name)?.js ?? this.#parent!.own(name)
  }

  has(name: string): boolean {
    return this.#variables.has(name) || (this.#parent?.has(name) ?? false)
  }

  /** JavaScript that reads a name; `free` is what it is when no frame has it. */
  read(name: string, free: string): string {
    const variable = this.#variables.get(name)
    if (variable?.certain) return variable.js
    const outer = this.#parent === undefined ? free : this.#parent.read(name, free)
    return variable === undefined ? outer : `(${variable.js} !== R.UNBOUND ? ${variable.js} : ${outer})`
  }
}
