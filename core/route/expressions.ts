/** Expressions of a step: JSONata over the payload, or functions. */
import { SignalboxError } from '../errors.ts'
import { type Compiling, type Evaluate, isPromise } from './compiling.ts'
import type { Exchange } from './exchange.ts'
import type { Expression, RouteMessage } from './options.ts'
import type { RouteSeams } from './seams.ts'

/** Longest time for one evaluation. */
const TIMEOUT_MS = 2_000

type Fn = (payload: unknown, message: RouteMessage) => unknown

/** What an expression sees beside the payload, by name. */
function bindings(x: Exchange): Record<string, unknown> {
  return {
    headers: x.headers,
    vars: x.vars,
    cid: x.cid,
    identity: x.identity,
    size: x.size,
    error: x.error && { code: x.error.code, message: x.error.message, details: x.error.details },
  }
}

export function expressions(
  seams: RouteSeams,
  route: string,
  step: string,
): Pick<Compiling, 'evaluate' | 'evaluateOf' | 'value'> {
  const evaluateOf = async (expression: Expression, what: string) => {
    if (typeof expression === 'function') {
      const fn = expression as Fn
      return (input: unknown, x: Exchange) => fn(input, x)
    }
    const evaluator = await compiled(seams, `${route} ${step} ${what}`, expression, what)
    const failed = (cause: unknown) => failure(cause, step, what)
    return (input: unknown, x: Exchange) => {
      try {
        const result = evaluator.run(input, bindings(x))
        if (!isPromise(result)) return result
        return result.catch((cause: unknown) => {
          throw failed(cause)
        })
      } catch (cause) {
        throw failed(cause)
      }
    }
  }
  const evaluate = async (expression: Expression | undefined, what: string): Promise<Evaluate> => {
    if (expression === undefined) return () => undefined
    if (typeof expression === 'function') {
      const fn = expression as Fn
      return x => fn(x.payload, x)
    }
    const run = await evaluateOf(expression, what)
    return x => run(x.payload, x)
  }
  return {
    evaluate: evaluate as Compiling['evaluate'],
    evaluateOf: evaluateOf as Compiling['evaluateOf'],
    value: async (value, what) => {
      const isExpression = typeof value === 'string' || typeof value === 'function'
      return isExpression ? evaluate(value as Expression, what) : () => value
    },
  }
}

async function compiled(seams: RouteSeams, name: string, text: string, what: string) {
  try {
    return await seams.expression(text, { name, timeoutMs: TIMEOUT_MS })
  } catch (cause) {
    const { message, position } = cause as Error & { position?: number }
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `${what} is no expression: ${message}`, {
      cause,
      ...(position !== undefined && { details: { position } }),
    })
  }
}

/** The error of an evaluation; the evaluator may throw what is no Error. */
function failure(cause: unknown, step: string, what: string): SignalboxError {
  const { message, code, position } = cause as { message?: string; code?: string; position?: number }
  return new SignalboxError(
    'SIGNALBOX_EXPRESSION_FAILED',
    `${what} of step ${step}: ${message ?? String(cause)}`,
    {
      cause,
      details: { step, ...(code !== undefined && { code }), ...(position !== undefined && { position }) },
    },
  )
}
