/**
 * A small language for reading XML into data: a table says for each field where it is and of what kind. Reading
 * remembers which element each value came from, so that a wrong value can be shown where the partner wrote it.
 */
import { SignalboxError, type XmlElement } from 'signalbox'

/** Where a value stands in the partner's document. */
export interface Place {
  element: string
  line: number
  column: number
}

/** Elements by JSON Pointer of the value that was read from them. Only kept when somebody wants to know. */
export type Sources = Map<string, XmlElement>

/** Reads one value at an element; undefined when the document does not have it. */
export type Field = (at: XmlElement, pointer: string, sources: Sources | undefined) => unknown

export type Table = Readonly<Record<string, Field>>

interface Step {
  name: string
  namespace: string
}

type Path = readonly Step[]

/** A refusal of the document because of what it says at an element, with the place in the details. */
export function refused(why: string, place: Place): SignalboxError {
  const message = `${why}, at ${place.element}, line ${place.line}`
  return new SignalboxError('SIGNALBOX_REQUEST_REFUSED', message, { status: 422, details: { ...place } })
}

export function placeOf(element: XmlElement): Place {
  return { element: element.path, ...(element.position ?? { line: 0, column: 0 }) }
}

/** Makes the fields of one syntax. `namespaces` gives the prefixes of the paths below, whatever the document uses. */
export function fields(namespaces: Readonly<Record<string, string>>) {
  const text = (path: string) => leaf(compile(path), path, undefined, value => value)
  const decimal = (path: string) => leaf(compile(path), path, 'a decimal number', toDecimal)
  const mandatory = (path: string, field: Field) => mandatoryAt(compile(path), path.split('/'), field)
  return {
    /** Text without surrounding white space. An empty element counts as missing. */
    text,
    decimal,
    /** `2015-01-09`, or `20150109` (format 102). */
    date: (path: string) => leaf(compile(path), path, 'a date', toDate),
    code: (path: string, pattern: RegExp, what: string) =>
      leaf(compile(path), path, what, value => (pattern.test(value) ? value : undefined)),
    boolean: (path: string) => leaf(compile(path), path, 'true or false', toBoolean),
    attribute: (path: string, name: string): Field => {
      const compiled = compile(path)
      return at => firstAt(at, compiled)?.attribute(name)?.trim() || undefined
    },
    /** The field, which the document must have. `path` is where it belongs. */
    mandatory,
    required: (path: string) => mandatory(path, text(path)),
    amount: (path: string) => mandatory(path, decimal(path)),
    /** The first alternative that the document has. */
    first: (...alternatives: Field[]): Field => firstOf(alternatives),
    /** A group of fields at a path; left out when the document has none of them. */
    group: (path: string, table: Table): Field => group(compile(path), table),
    /** Every element at a path, in document order. */
    list: (path: string, table: Table): Field => list(compile(path), table),
    /** As `list`, of at least one. */
    some: (path: string, table: Table): Field => {
      const every = list(compile(path), table)
      return mandatory(path, (...at) => ((every(...at) as unknown[]).length === 0 ? undefined : every(...at)))
    },
    /** The field at the first element of a path for which `test` holds. */
    where: (path: string, test: (at: XmlElement) => boolean, inner: Field): Field =>
      where(compile(path), test, inner),
    /** Text below an element, for tests in `where`. */
    textAt: (at: XmlElement, path: string) => firstAt(at, compile(path))?.text().trim(),
  }

  function compile(path: string): Path {
    if (path === '.') return []
    return path.split('/').map(step => {
      const [prefix, name] = step.split(':')
      const namespace = namespaces[prefix!]
      if (name === undefined || namespace === undefined) throw new Error(`not a path of this syntax: ${path}`)
      return { name, namespace }
    })
  }
}

/** Reads all fields of a table. Fields that the document does not have are left out. */
export function readTable(table: Table, at: XmlElement, pointer: string, sources: Sources | undefined) {
  const result: Record<string, unknown> = {}
  sources?.set(pointer, at)
  for (const name of Object.keys(table)) {
    const value = table[name]!(at, sources === undefined ? '' : `${pointer}/${name}`, sources)
    if (value !== undefined) result[name] = value
  }
  return result
}

function leaf(
  path: Path,
  label: string,
  kind: string | undefined,
  convert: (text: string) => unknown,
): Field {
  return (at, pointer, sources) => {
    const element = firstAt(at, path)
    if (element === undefined) return undefined
    const text = element.text().trim()
    if (text === '') return undefined
    const value = convert(text)
    if (value === undefined) {
      const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text
      throw refused(`${label} is '${shown}', which is not ${kind}`, placeOf(element))
    }
    sources?.set(pointer, element)
    return value
  }
}

/** A missing value is reported at the last element on its path that is there. */
function mandatoryAt(path: Path, labels: readonly string[], field: Field): Field {
  return (at, pointer, sources) => {
    const value = field(at, pointer, sources)
    if (value !== undefined) return value
    let nearest = at
    let depth = 0
    for (let next = firstAt(at, path.slice(0, 1)); next !== undefined && depth < path.length; depth++) {
      nearest = next
      next = firstAt(next, path.slice(depth + 1, depth + 2))
    }
    const { element, ...place } = placeOf(nearest)
    const missing = [element, ...labels.slice(depth)].join('/')
    throw refused(`${labels.join('/')} is missing or empty`, { element: missing, ...place })
  }
}

function firstOf(alternatives: readonly Field[]): Field {
  return (at, pointer, sources) => {
    for (const field of alternatives) {
      const value = field(at, pointer, sources)
      if (value !== undefined) return value
    }
    return undefined
  }
}

function group(path: Path, table: Table): Field {
  return (at, pointer, sources) => {
    const element = firstAt(at, path)
    if (element === undefined) return undefined
    const value = readTable(table, element, pointer, sources)
    return Object.keys(value).length === 0 ? undefined : value
  }
}

function list(path: Path, table: Table): Field {
  return (at, pointer, sources) =>
    all(at, path).map((element, i) => readTable(table, element, `${pointer}/${i}`, sources))
}

function where(path: Path, test: (at: XmlElement) => boolean, inner: Field): Field {
  return (at, pointer, sources) => {
    const element = all(at, path).find(test)
    return element === undefined ? undefined : inner(element, pointer, sources)
  }
}

function firstAt(at: XmlElement, path: Path): XmlElement | undefined {
  let element: XmlElement | undefined = at
  for (const { name, namespace } of path) element = element?.child(name, namespace)
  return element
}

function all(at: XmlElement, path: Path): XmlElement[] {
  let found = [at]
  for (const { name, namespace } of path) found = found.flatMap(element => element.children(name, namespace))
  return found
}

function toBoolean(text: string): boolean | undefined {
  if (text === 'true' || text === '1') return true
  return text === 'false' || text === '0' ? false : undefined
}

/** The shortest form of an xsd:decimal; undefined when it is none, or longer than any amount of money. */
export function toDecimal(text: string): string | undefined {
  const match = text.length <= 40 ? /^([+-]?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(text) : null
  if (match === null || !/\d/.test(text)) return undefined
  const [, sign, whole = '', fraction = ''] = match
  const digits = `${whole === '' ? '0' : whole}${fraction === '' ? '' : `.${fraction}`}`
  return sign === '-' && digits !== '0' ? `-${digits}` : digits
}

/** An ISO 8601 day, if it is in the calendar. */
export function toDate(text: string): string | undefined {
  const match = /^(\d{4})-?(\d{2})-?(\d{2})$/.exec(text)
  if (match === null || (text.length !== 8 && text.length !== 10)) return undefined
  const day = `${match[1]}-${match[2]}-${match[3]}`
  const date = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day) ? day : undefined
}
