/** JavaScript that is being written: statements, what is made once before them, and the pool of constants. */
export class Code {
  lines: string[] = []
  /** What is made once, before any run. */
  readonly #prelude: string[] = []
  /** The entries of `K`. */
  readonly pool: unknown[] = []
  #count = 0

  /** A name that is not in use. */
  fresh(): string {
    return `v${this.#count++}`
  }

  /** Puts a value in a variable that may be changed. */
  let(code: string): string {
    const name = this.fresh()
    this.lines.push(`let ${name} = ${code}`)
    return name
  }

  /** Puts a value in a variable once, before any run. */
  once(code: string): string {
    const name = this.fresh()
    this.#prelude.push(`const ${name} = ${code}`)
    return name
  }

  /** The variable of a value of the compiler's. */
  constant(value: unknown): string {
    return this.once(`K[${this.pool.push(value) - 1}]`)
  }

  /** A function that returns an expression; what it writes to `lines` is its body. */
  arrow(parameter: string, write: () => string): string {
    const outer = this.lines
    this.lines = []
    const result = write()
    const body = [...this.lines, `return ${result}`].join('; ')
    this.lines = outer
    return `${parameter} => { ${body} }`
  }

  /** The body of `(R, K, P, O) => parameters => result`. */
  program(parameters: string, result: string): string {
    const body = [...this.lines, `return ${result}`].join('\n')
    return `'use strict'\n${this.#prelude.join('\n')}\nreturn (${parameters}) => {\n${body}\n}`
  }
}

/** A constant of JSON as JavaScript. */
export function text(value: unknown): string {
  return JSON.stringify(value)
}

/** JavaScript for whether a variable holds a plain object. */
export function isPlain(value: string): string {
  return `typeof ${value} === 'object' && ${value} !== null && P(${value}) === O`
}
