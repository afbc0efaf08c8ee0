/** Makes programs of syntax trees; loaded with the jsonata package, when the first expression is compiled. */
import type { Node } from './ast.ts'
import { within } from './budget.ts'
import { emitProgram, Uncovered } from './emit.ts'
import { createLibrary, type NativeDefinition } from './functions.ts'
import { RUNTIME } from './runtime.ts'
import { wrap } from './sequence.ts'

/** A compiled expression, or why there is none. */
export type Compiled = { program: Program; reason?: undefined } | { program?: undefined; reason: string }

export interface Program {
  /** Functions of the library that it is bound to. */
  readonly used: ReadonlySet<string>
  run(input: unknown, bindings: object | undefined, timeoutMs: number): unknown
}

type Linked = (context: unknown, root: unknown, bindings: object | undefined) => unknown

/** A compiler that uses the library of the package. */
export function createCompiler(
  definitions: Readonly<Record<string, NativeDefinition>>,
): (ast: Node) => Compiled {
  const library = { definitions, functions: createLibrary(definitions) }
  return ast => {
    try {
      const { code, pool, used } = emitProgram(ast, library)
      const link = new Function('R', 'K', 'P', 'O', code)
      const linked = link(RUNTIME, pool, Object.getPrototypeOf, Object.prototype) as Linked
      return {
        program: {
          used,
          run: (input, bindings, timeoutMs) => within(timeoutMs, () => linked(wrap(input), input, bindings)),
        },
      }
    } catch (error) {
      if (error instanceof Uncovered) return { reason: error.message }
      if (error instanceof RangeError) return { reason: 'it is nested too deeply' }
      throw error
    }
  }
}
