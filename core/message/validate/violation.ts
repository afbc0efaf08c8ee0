/** What all ways to validate a message have in common. */
import { SignalboxError } from '../../errors.ts'

/** One place where a message breaks what it is checked by. */
export interface Violation {
  source: 'schema' | 'xsd' | 'rule'
  /** A warning fails no message. Only rules have them. */
  severity: 'error' | 'warning'
  /** What is broken: a keyword of JSON Schema, a kind of XSD error, the id of a rule. */
  rule: string
  /** For people. */
  message: string
  /** JSON Pointer (RFC 6901) of the value; '' is the whole message. */
  pointer?: string
  /** In XML: from 1, in the text with line ends made one character. */
  line?: number
  column?: number
  /** In XML: the way to the element, as `/Invoice/cac:InvoiceLine[2]/cbc:ID`. */
  element?: string
  /** The value itself, when it is short and no object. */
  value?: string | number | boolean | null
}

/** What a validator may need of the service that uses it: pass the service (`this`) or its context. */
export interface ValidationContext {
  cpu<Output = unknown>(file: URL, payload: unknown, options?: { timeoutMs?: number }): Promise<Output>
}

/**
 * Checks messages. All violations are found, not just the first; of more than {@link MAX_VIOLATIONS} that many are
 * given. Makes no change to the message. Throws when the message cannot be checked at all.
 */
export interface Validator {
  validate(message: unknown, context?: ValidationContext): Violation[] | Promise<Violation[]>
}

/** Violations of one validator for one message, at most. */
export const MAX_VIOLATIONS = 1_000
/** Violations in the details of an error, at most: it crosses threads and nodes. */
const MAX_IN_ERROR = 100
const MAX_VALUE_LENGTH = 100

/**
 * Checks a message by one validator or several and resolves with the warnings.
 *
 * Rejects with SIGNALBOX_VALIDATION_FAILED when there is an error: `details.violations` (the first 100, warnings too)
 * and `details.total`. Rejects as the validators do, see there.
 */
export async function assertValid(
  validators: Validator | readonly Validator[],
  message: unknown,
  context?: ValidationContext,
): Promise<Violation[]> {
  const list = 'validate' in validators ? [validators] : validators
  const found = (await Promise.all(list.map(each => each.validate(message, context)))).flat()
  const errors = found.filter(each => each.severity === 'error')
  if (errors.length === 0) return found
  const more = errors.length > 3 ? ` and ${errors.length - 3} more` : ''
  const first = errors.slice(0, 3).map(describe).join('; ')
  throw new SignalboxError('SIGNALBOX_VALIDATION_FAILED', `the message is not valid: ${first}${more}`, {
    details: { violations: found.slice(0, MAX_IN_ERROR), total: found.length },
  })
}

function describe({ pointer, line, column, message }: Violation): string {
  if (line !== undefined) return `line ${line}, column ${column ?? 1}: ${message}`
  return `${pointer === undefined || pointer === '' ? '(all)' : pointer} ${message}`
}

/** The value for a violation, when it is fit to be shown. */
export function shown(value: unknown): Pick<Violation, 'value'> {
  if (typeof value === 'string') return value.length <= MAX_VALUE_LENGTH ? { value } : {}
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return { value }
  return {}
}
