/** Options as people write them, with references, become the options that a transport sees. */
import { type ErrorCode, SignalboxError } from '../errors.ts'
import { parseOptions, type SchemaViolation, type TSchema } from '../schema.ts'
import { isReference, REFERENCE, type ReferenceSources, resolveReferences } from '../security/references.ts'
import { stepsOf } from '../security/secret-paths.ts'
import { acceptReferences } from './reference-schema.ts'

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Deepest nesting of options, in levels. */
const MAX_DEPTH = 64

/** What a look at options found. */
export interface InspectedOptions {
  /** Everything that is wrong; empty when nothing is. */
  violations: SchemaViolation[]
  /**
   * The options with the environment and the defaults filled in; undefined when something is wrong. Secrets are
   * still references.
   */
  options: unknown
}

export interface InspectSettings {
  /** Default: that of the process. */
  environment?: Environment
  /** Whether a secret may stand where its schema asks for something else than any text. Default: true. */
  secretsAnywhere?: boolean
}

/** What is found in the texts of options. */
interface Found {
  environment: Environment
  violations: SchemaViolation[]
  /** Values that are nothing but an environment variable, by their JSON pointer. */
  variables: Map<string, string>
  /** Pointers of texts that cannot be checked yet. */
  open: Set<string>
}

/**
 * Checks options that may have references. `${env:NAME}` is replaced, and made a number or a yes or no where the
 * schema asks for one; `${secret:NAME}` passes, whatever the schema asks for: {@link resolveOptions} checks it.
 */
export function inspectOptions(
  schema: TSchema,
  options: unknown,
  { environment = process.env, secretsAnywhere = true }: InspectSettings = {},
): InspectedOptions {
  const found: Found = { environment, violations: [], variables: new Map(), open: new Set() }
  const value = substituted(options ?? {}, '', 0, found)
  if (found.violations.some(({ rule }) => rule.startsWith('must not'))) return failed(found.violations)
  const parsed = parse(schema, value, found.variables)
  if (parsed.violations.length === 0) return orFailed(found, parsed)
  if (!secretsAnywhere || found.open.size === 0) return failed(withoutMissing(found, parsed.violations))
  const relaxed = parse(acceptReferences(schema), value, found.variables)
  if (relaxed.violations.length === 0) return orFailed(found, relaxed)
  const certain = parsed.violations.filter(({ pointer }) => !found.open.has(pointer))
  return failed(withoutMissing(found, certain.length > 0 ? certain : parsed.violations))
}

function orFailed({ violations }: Found, inspected: InspectedOptions): InspectedOptions {
  return violations.length > 0 ? failed(violations) : inspected
}

/** Of a variable that is not set nothing else is said. */
function withoutMissing(found: Found, violations: readonly SchemaViolation[]): SchemaViolation[] {
  const missing = new Set(found.violations.map(({ pointer }) => pointer))
  return [...found.violations, ...violations.filter(({ pointer }) => !missing.has(pointer))]
}

/**
 * The options with all references resolved and all defaults, frozen. Rejects with SIGNALBOX_SECRET_UNKNOWN when a
 * reference leads nowhere, and with `code` and all problems when what it leads to does not fit the schema; values are
 * not in the message.
 */
export async function resolveOptions(
  schema: TSchema,
  options: unknown,
  what: string,
  sources: ReferenceSources,
  code: ErrorCode = 'SIGNALBOX_OPTIONS_INVALID',
): Promise<unknown> {
  const value = await resolveReferences(structuredClone(options ?? {}), sources)
  const variables = new Map<string, string>()
  collect(options, value, '', variables)
  const { violations, options: valid } = parse(schema, value, variables)
  if (violations.length === 0) return valid
  const list = violations.map(({ pointer, rule }) => `${pointer || '(all)'} ${rule}`).join('; ')
  throw new SignalboxError(code, `${what}: ${list}`, { details: { errors: violations } })
}

function failed(violations: SchemaViolation[]): InspectedOptions {
  return { violations, options: undefined }
}

/** Parses; texts from variables that the schema wants as numbers or yes or no are changed in `value`. */
function parse(schema: TSchema, value: unknown, variables: ReadonlyMap<string, string>): InspectedOptions {
  for (;;) {
    try {
      return { violations: [], options: parseOptions(schema, value, 'options') }
    } catch (error) {
      const violations = error instanceof SignalboxError && error.details?.errors
      if (!Array.isArray(violations)) throw error
      if (!convert(value, violations as SchemaViolation[], variables)) return failed(violations)
    }
  }
}

/** A variable is text: where a number or a yes or no is asked for, it is made one. Whether any was. */
function convert(
  value: unknown,
  violations: readonly SchemaViolation[],
  variables: ReadonlyMap<string, string>,
): boolean {
  let converted = false
  for (const { pointer, rule } of violations) {
    const text = variables.get(pointer)
    const data = text === undefined ? undefined : dataFrom(text, rule)
    if (data === undefined) continue
    const path = stepsOf(pointer)
    const last = path.pop()
    if (last === undefined) continue
    const holder = path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], value)
    const record = holder as Record<string, unknown>
    if (typeof record[last] !== 'string') continue
    record[last] = data
    converted = true
  }
  return converted
}

function dataFrom(text: string, rule: string): number | boolean | undefined {
  if (/^must be (integer|number)$/.test(rule) && /^-?\d+(\.\d+)?$/.test(text)) return Number(text)
  if (rule === 'must be boolean' && /^(true|false)$/.test(text)) return text === 'true'
  return undefined
}

/** A copy with environment variables in the place of their references. */
function substituted(value: unknown, pointer: string, depth: number, found: Found): unknown {
  if (typeof value === 'string') return substitutedText(value, pointer, found)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) {
    found.violations.push({ pointer, rule: `must not be nested deeper than ${MAX_DEPTH} levels` })
    return value
  }
  if (Array.isArray(value))
    return value.map((item, i) => substituted(item, `${pointer}/${i}`, depth + 1, found))
  if (Object.hasOwn(value, '__proto__'))
    found.violations.push({ pointer, rule: "must not have the property '__proto__'" })
  const entries = Object.entries(value)
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, substituted(inner, `${pointer}/${step(key)}`, depth + 1, found)]),
  )
}

function substitutedText(text: string, pointer: string, found: Found): string {
  let open = false
  const value = text.replaceAll(REFERENCE, (reference: string, kind: string, name: string) => {
    const variable =
      kind === 'env' && Object.hasOwn(found.environment, name) ? found.environment[name] : undefined
    if (variable !== undefined) {
      if (reference === text) found.variables.set(pointer, variable)
      return variable
    }
    open = true
    if (kind === 'env')
      found.violations.push({ pointer, rule: `needs the environment variable ${name}, which is not set` })
    return reference
  })
  if (open) found.open.add(pointer)
  return value
}

/** The resolved texts that come from references alone, by their pointers. */
function collect(written: unknown, resolved: unknown, pointer: string, variables: Map<string, string>): void {
  if (typeof written === 'string') {
    if (isReference(written)) variables.set(pointer, resolved as string)
  } else if (typeof written === 'object' && written !== null) {
    for (const [key, inner] of Object.entries(written))
      collect(inner, (resolved as Record<string, unknown>)[key], `${pointer}/${step(key)}`, variables)
  }
}

/** A key as a step of a JSON pointer (RFC 6901). */
export function step(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
