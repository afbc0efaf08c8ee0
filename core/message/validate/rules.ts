/** Business rules as code. */
import { MAX_VIOLATIONS, shown, type Validator, type Violation } from './violation.ts'

/** A rule over a parsed message. Functions may be asynchronous. */
export interface Rule<T> {
  /** Stable name, e.g. `BR-CO-16`. */
  id: string
  /** Whether the rule is about this message at all. Default: it is. */
  when?: (message: T) => unknown
  /**
   * True, or another value that counts as true: obeyed. False, or nothing: broken, at `pointer`. A JSON Pointer or a
   * list of them: broken there; an empty list is obeyed.
   */
  test: (message: T) => unknown
  /** For people; with the place when it is a function. */
  message: string | ((message: T, pointer: string) => string)
  /** JSON Pointer of what the rule is about. Default: the whole message. */
  pointer?: string | ((message: T) => string)
  /** Default `error`. A warning fails no message. */
  severity?: 'error' | 'warning'
}

/**
 * A validator that runs all the rules, in order, and gives all violations. A rule that throws counts as broken, and
 * says so: a message it cannot be tested on has not passed it.
 *
 * ```ts
 * const checks = rules<Invoice>([
 *   { id: 'BR-16', test: invoice => invoice.lines.length > 0, message: 'an invoice has lines', pointer: '/lines' },
 * ])
 * ```
 */
export function rules<T>(list: readonly Rule<T>[]): Validator {
  return {
    async validate(message) {
      const found: Violation[] = []
      for (const rule of list) {
        found.push(...(await broken(rule, message as T)))
        if (found.length >= MAX_VIOLATIONS) break
      }
      return found.slice(0, MAX_VIOLATIONS)
    },
  }
}

async function broken<T>(rule: Rule<T>, message: T): Promise<Violation[]> {
  try {
    if (rule.when !== undefined && !(await rule.when(message))) return []
    const result = await rule.test(message)
    if (Array.isArray(result) || (typeof result === 'string' && result !== '')) {
      return [result]
        .flat()
        .slice(0, MAX_VIOLATIONS)
        .map(pointer => violation(rule, message, String(pointer)))
    }
    if (result) return []
    const { pointer = '' } = rule
    return [violation(rule, message, typeof pointer === 'function' ? pointer(message) : pointer)]
  } catch (error) {
    const pointer = typeof rule.pointer === 'string' ? rule.pointer : ''
    return [{ ...head(rule), pointer, message: `cannot be tested: ${errorText(error)}` }]
  }
}

function violation<T>(rule: Rule<T>, message: T, pointer: string): Violation {
  const text = typeof rule.message === 'function' ? rule.message(message, pointer) : rule.message
  return { ...head(rule), pointer, message: text, ...shown(valueAt(message, pointer)) }
}

function head<T>({ id, severity = 'error' }: Rule<T>): Pick<Violation, 'source' | 'severity' | 'rule'> {
  return { source: 'rule', severity, rule: id }
}

/** The value a JSON Pointer (RFC 6901) leads to; undefined when it leads nowhere. */
function valueAt(message: unknown, pointer: string): unknown {
  let at = message
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Record<string, unknown>)[name]
  }
  return at
}

/** Expression languages throw objects that are no errors. */
export function errorText(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error)
}
