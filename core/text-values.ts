/**
 * Values that came as text (queries, path parameters, forms) read as what a schema wants them to be. Strict: a text
 * becomes a number or boolean only when it is written as one, and a text that the schema takes as it is stays one.
 */
import { type CheckError, checksOf, type SchemaViolation, violationsOf } from './schema.ts'

/** What became of a value: itself or a changed copy, and what is wrong with it all the same. */
export interface TextReading {
  value: unknown
  violations: SchemaViolation[] | undefined
}

/** Enough for a list of lists of alternatives; each place changes twice at most anyway. */
const MAX_ROUNDS = 8
// As JSON writes them (RFC 8259, section 6), so no '+', no leading zeros, no spaces.
const INTEGER = /^(?:0|-?[1-9]\d*)$/
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

type Members = Record<string, unknown>

/**
 * Makes a value fit a schema by reading its texts: `12` as an integer or number, `1.5` as a number, `true` and
 * `false` as booleans, one of an `enum` or `const`, and a single value as a list of one where a list is wanted.
 *
 * Only the members of one object are read, and the items of those that are lists: the object at `textAt`, a JSON
 * Pointer to the whole ('') or to a member of it. The value itself is not changed. The schema is checked once more for
 * each round of changes; a text that is wrong wherever it stands is left as it is and reported.
 */
export function readTexts(schema: object, value: unknown, textAt: string): TextReading {
  const check = checksOf(schema)
  let errors = check(value)
  if (errors === undefined || membersAt(value, textAt) === undefined) return result(value, errors)
  const reader = new TextReader(value, textAt)
  for (let round = 0; errors !== undefined && round < MAX_ROUNDS; round++) {
    if (!reader.mend(errors)) break
    errors = check(reader.value)
  }
  return result(reader.value, errors)
}

function result(value: unknown, errors: CheckError[] | undefined): TextReading {
  return { value, violations: errors && violationsOf(errors) }
}

function membersAt(value: unknown, pointer: string): Members | undefined {
  const found = pointer === '' ? value : (value as Members | undefined)?.[pointer.slice(1)]
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? (found as Members) : undefined
}

/** A copy of a value, mended by what its checks say. */
class TextReader {
  readonly value: unknown
  readonly #members: Members
  readonly #root: string
  /** What stood at the places that were changed; undefined once it stands there again, for good. */
  readonly #originals = new Map<string, string | undefined>()

  constructor(value: unknown, textAt: string) {
    const members = Object.fromEntries(
      Object.entries(membersAt(value, textAt)!).map(([name, member]) => [
        name,
        Array.isArray(member) ? [...member] : member,
      ]),
    )
    this.value = textAt === '' ? members : { ...(value as Members), [textAt.slice(1)]: members }
    this.#members = members
    this.#root = textAt
  }

  /** Whether anything was changed. Of several alternatives that a text could be, the first in the schema counts. */
  mend(errors: readonly CheckError[]): boolean {
    const mended = errors.map(error => this.#mendOne(error)).some(Boolean)
    // A list of one only where the text is nothing else.
    return mended || errors.map(error => this.#wrap(error)).some(Boolean)
  }

  #mendOne(error: CheckError): boolean {
    const place = this.#placeOf(error)
    if (place === undefined) return false
    if (this.#originals.has(error.instancePath)) return this.#restore(error, place)
    const { holder, key } = place
    const text = holder[key]
    const reading = typeof text === 'string' ? readingOf(text, error) : undefined
    if (reading === undefined) return false
    this.#originals.set(error.instancePath, text as string)
    holder[key] = reading
    return true
  }

  /** It was read in the sense of an alternative that is not the one after all. */
  #restore(error: CheckError, { holder, key }: Place): boolean {
    const text = this.#originals.get(error.instancePath)
    if (text === undefined || !isMeantAsText(text, error)) return false
    this.#originals.set(error.instancePath, undefined)
    holder[key] = text
    return true
  }

  #wrap(error: CheckError): boolean {
    const place = typesOf(error).includes('array') ? this.#placeOf(error) : undefined
    if (place === undefined || this.#originals.has(error.instancePath)) return false
    const text = place.holder[place.key]
    if (typeof text !== 'string') return false
    this.#originals.set(error.instancePath, text)
    place.holder[place.key] = [text]
    return true
  }

  /** The member or item that an error is about; undefined when it is about something else. */
  #placeOf({ instancePath }: CheckError): Place | undefined {
    if (!instancePath.startsWith(`${this.#root}/`)) return undefined
    const [name, item, ...deeper] = instancePath
      .slice(this.#root.length + 1)
      .split('/')
      .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    if (deeper.length > 0 || !Object.hasOwn(this.#members, name!)) return undefined
    if (item === undefined) return { holder: this.#members, key: name! }
    const list = this.#members[name!]
    return Array.isArray(list) ? { holder: list as unknown as Members, key: item } : undefined
  }
}

interface Place {
  holder: Members
  key: string
}

function typesOf({ keyword, params }: CheckError): readonly string[] {
  return keyword === 'type' ? [params.type].flat() : []
}

/** What may stand there by an `enum` or a `const` that was not passed. */
function allowedBy({ keyword, params }: CheckError): readonly unknown[] {
  if (keyword === 'enum') return params.allowedValues as unknown[]
  return keyword === 'const' ? [params.allowedValue] : []
}

function isMeantAsText(text: string, error: CheckError): boolean {
  return typesOf(error).includes('string') || allowedBy(error).includes(text)
}

/** What a text says in the sense of one check that it did not pass; undefined: nothing. */
function readingOf(text: string, error: CheckError): unknown {
  const types = typesOf(error)
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  if (types.includes('integer') && INTEGER.test(text) && Number.isSafeInteger(Number(text)))
    return Number(text)
  if (types.includes('number') && NUMBER.test(text) && Number.isFinite(Number(text))) return Number(text)
  return allowedBy(error).find(
    value => (typeof value === 'number' || typeof value === 'boolean') && String(value) === text,
  )
}
