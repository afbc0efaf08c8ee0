/** JSON Schema: written with TypeBox, so that TypeScript types are inferred, and compiled by ajv. */
import { Ajv, type ErrorObject } from 'ajv'
import addFormatsModule from 'ajv-formats'
import type { TSchema } from 'typebox'
import { type ErrorCode, SignalboxError } from './errors.ts'
import { formatTest, watched, watchedRegExp } from './message/validate/watched.ts'

export { type Static, type TSchema, Type } from 'typebox'

/** One violation of a schema. */
export interface SchemaViolation {
  /** JSON Pointer (RFC 6901) of the value; '' is the whole value. */
  pointer: string
  /** The rule that was broken, e.g. `must be integer`. */
  rule: string
}

/** Returns the violations of a value, or undefined when it is valid. Does not change the value. */
export type Validator = (value: unknown) => SchemaViolation[] | undefined

const FORMATS = { default: addFormatsModule } as unknown as {
  default: { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void)
}
const addFormats = FORMATS.default.default ?? FORMATS.default

const checking = withFormats(
  new Ajv({
    allErrors: true,
    strict: false,
    useDefaults: false,
    verbose: true,
    code: { regExp: watchedRegExp },
  }),
)
for (const [name, format] of Object.entries(checking.formats)) {
  const test = formatTest(format)
  if (test !== undefined) checking.addFormat(name, { type: 'string', validate: watched(test, 'polynomial') })
}
const filling = withFormats(
  new Ajv({
    allErrors: true,
    strict: false,
    useDefaults: true,
    verbose: true,
    // Schemas of options are code, not input, and each is used a few times: checking and optimizing them would be
    // a tenth of a start.
    validateSchema: false,
    code: { optimize: false },
  }),
)

/**
 * Compiles a schema. Do it at deployment, never for each message. Throws when the schema itself is wrong. The validator
 * throws SIGNALBOX_FORMAT_LIMIT for a text that one `pattern` or `format` takes longer than 100 ms to match.
 */
export function compileSchema(schema: TSchema): Validator {
  const validate = checking.compile(schema)
  return value => (validate(value) ? undefined : violationsOf(validate.errors))
}

/** @internal A check that a value did not pass, in the words of ajv. */
export type CheckError = ErrorObject

/** @internal Like {@link compileSchema}, with all that ajv says. A schema that was compiled before is not again. */
export function checksOf(schema: TSchema): (value: unknown) => CheckError[] | undefined {
  const validate = checking.compile(schema)
  return value => (validate(value) ? undefined : (validate.errors ?? []))
}

/**
 * Validates options against their schema and returns a frozen copy with the defaults filled in.
 * Throws `code` with all problems at once, unknown keys with the nearest known name.
 */
export function parseOptions<T>(
  schema: TSchema,
  options: unknown,
  what: string,
  code: ErrorCode = 'SIGNALBOX_OPTIONS_INVALID',
): T {
  const copy = structuredClone(options ?? {})
  const validate = filling.compile(schema)
  if (validate(copy)) return deepFreeze(copy) as T
  const errors = violationsOf(validate.errors)
  const list = errors.map(error => `${error.pointer || '(all)'} ${error.rule}`).join('; ')
  throw new SignalboxError(code, `${what}: ${list}`, { details: { errors } })
}

/** Adds what schemas of the bus may use beyond JSON Schema itself: formats, and the mark of secrets. */
export function withFormats<A extends Ajv>(ajv: A): A {
  addFormats(ajv)
  ajv.addKeyword({ keyword: 'secret', schemaType: 'boolean' })
  ajv.addKeyword({ keyword: 'names', schemaType: 'string' })
  return ajv
}

/** @internal What the checks say, for people and programs. */
export function violationsOf(errors: CheckError[] | null | undefined): SchemaViolation[] {
  return (errors ?? []).map(error => ({ pointer: error.instancePath, rule: ruleOf(error) }))
}

/** The rule that was broken, for people: `must be integer`. */
export function ruleOf(error: ErrorObject): string {
  const unknown: unknown = error.params.additionalProperty ?? error.params.unevaluatedProperty
  if (typeof unknown === 'string') {
    const known = Object.keys((error.parentSchema?.properties as object | undefined) ?? {})
    const near = nearest(unknown, known)
    return `must not have the property '${unknown}'${near ? `; did you mean '${near}'?` : ''}`
  }
  if (error.keyword === 'enum') return `must be one of ${JSON.stringify(error.params.allowedValues)}`
  if (error.keyword === 'const') return `must be ${JSON.stringify(error.params.allowedValue)}`
  return error.message ?? error.keyword
}

/** The known name closest to a mistyped one, when it is close enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      row.push(Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + change))
    }
    previous = row
  }
  return previous[b.length]!
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
