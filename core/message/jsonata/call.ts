/** How functions are called, and how they are made of others. */
import { spend } from './budget.ts'
import { JsonataError } from './error.ts'
import { arityOf, type Callable, isCallable } from './values.ts'

/** A call in tail position: the caller makes it, so that recursion does not grow the stack. */
export class TailCall {
  readonly callable: unknown
  readonly args: unknown[]
  readonly context: unknown
  readonly position: number

  constructor(callable: unknown, args: unknown[], context: unknown, position: number) {
    this.callable = callable
    this.args = args
    this.context = context
    this.position = position
  }
}

/** The place of an argument that a partial application leaves open. */
export const HOLE = Symbol('?')

/** Calls a function value. Throws T1006 for what is none. */
export function invoke(callable: unknown, args: unknown[], context: unknown, position?: number): unknown {
  let next = callable
  let values = args
  for (;;) {
    spend(1)
    const result = invokeOnce(next, values, context, position)
    if (!(result instanceof TailCall)) return result
    next = result.callable
    values = result.args
  }
}

function invokeOnce(callable: unknown, args: unknown[], context: unknown, position?: number): unknown {
  if (!isCallable(callable)) throw new JsonataError('T1006', undefined, position)
  if (callable.native !== undefined) return callable.native(context, args)
  const checked = callable.signature === undefined ? args : callable.signature.validate(args, context)
  return callable.apply(context, checked)
}

/** A lambda with a signature. */
export function signed(callable: Callable, signature: Callable['signature']): Callable {
  if (signature !== undefined) callable.signature = signature
  return callable
}

/** A function that waits for the arguments that were left open. */
export function partial(callable: unknown, args: unknown[], position: number): Callable {
  if (!isCallable(callable)) throw new JsonataError('T1008', undefined, position)
  const given = args.slice(0, Math.max(arityOf(callable), args.length))
  const made: Callable = (...rest) => {
    let next = 0
    return invoke(
      callable,
      given.map(arg => (arg === HOLE ? rest[next++] : arg)),
      null,
    )
  }
  made.arity = given.filter(arg => arg === HOLE).length
  return made
}

/** `left ~> right`: a call, or the chain of two functions. */
export function applyTo(left: unknown, right: unknown, position: number): unknown {
  if (!isCallable(right)) throw new JsonataError('T2006', right, position, '~>')
  if (!isCallable(left)) return invoke(right, [left], null, position)
  return (value: unknown) => invoke(right, [invoke(left, [value], null)], null)
}

/** A function that the caller of the expression bound: it must answer at once. */
export function external(value: unknown): unknown {
  if (!isCallable(value)) return value
  const made: Callable = function (this: unknown, ...args) {
    const result = value.apply(this, args)
    if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
      throw new Error('a bound function returned a promise; a compiled expression needs its answer at once')
    }
    return result
  }
  made.arity = arityOf(value)
  return made
}
