/**
 * The function library. Functions with a function argument and those that make sequences are here, the others are
 * jsonata's own; each is called through its signature, except where the arguments are plainly right.
 */
import { checkLength, MAX_ITEMS, MAX_TEXT, runTimeMs, spend } from './budget.ts'
import { invoke } from './call.ts'
import { JsonataError } from './error.ts'
import { contains, match, replace, split } from './matching.ts'
import { sequence } from './sequence.ts'
import { distinct, lookup } from './steps.ts'
import {
  append,
  arityOf,
  type Callable,
  isCallable,
  keysOf,
  type Signature,
  setKey,
  stringOf,
  truth,
} from './values.ts'

/** A function of jsonata's library, as the package keeps it. */
export interface NativeDefinition {
  implementation: (this: unknown, ...args: never[]) => unknown
  signature?: Signature
}

/** A function of the library, ready to be called with the context and the arguments. */
export type LibraryFunction = (context: unknown, args: unknown[]) => unknown

type Own = (...args: never[]) => unknown

const OWN: Readonly<Record<string, Own>> = {
  map,
  filter,
  single,
  reduce,
  each,
  sift,
  sort,
  keys,
  lookup: (input: unknown, key: string) => lookup(input, key),
  append,
  spread,
  merge,
  distinct,
  contains,
  match,
  replace,
  split,
  string: (value: unknown, pretty?: boolean) =>
    value === undefined ? undefined : stringOf(value, pretty === true ? 2 : 0),
  millis: () => runTimeMs(),
  boolean: (value: unknown) => (value === undefined ? undefined : truth(value)),
  not: (value: unknown) => (value === undefined ? undefined : !truth(value)),
}

/** What the functions of the package find as `this`. */
const FOCUS = {
  createSequence: sequence,
  environment: {
    get timestamp() {
      return new Date(runTimeMs())
    },
  },
}

/** The library made of jsonata's definitions, by name. */
export function createLibrary(
  definitions: Readonly<Record<string, NativeDefinition>>,
): ReadonlyMap<string, LibraryFunction> {
  const library = new Map<string, LibraryFunction>()
  for (const [name, { implementation, signature }] of Object.entries(definitions)) {
    const own = Object.hasOwn(OWN, name) ? OWN[name] : undefined
    const call = (own ?? implementation) as (...args: unknown[]) => unknown
    library.set(name, (context, args) => {
      spend(1)
      const checked = signature === undefined ? args : signature.validate(args, context)
      return call.apply(FOCUS, checked)
    })
  }
  const pad = library.get('pad')!
  library.set('pad', (context, args) => {
    for (const width of args) if (typeof width === 'number') checkLength(Math.abs(width), MAX_TEXT)
    return pad(context, args)
  })
  const fromMillis = library.get('fromMillis')!
  library.set('now', (context, args) => fromMillis(context, [runTimeMs(), ...args]))
  return library
}

/** The function as a value that can be passed on. */
export function asCallable(call: LibraryFunction, arity: number): Callable {
  const value: Callable = (...args) => call(undefined, args)
  value.arity = arity
  value.native = call
  return value
}

/** Calls whose arguments are plainly right skip the signature. Undefined: they are not. */
export const FAST: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  string: value => (value === undefined ? undefined : stringOf(value)),
  exists: value => value !== undefined,
  boolean: value => (value === undefined ? undefined : truth(value)),
  not: value => (value === undefined ? undefined : !truth(value)),
}

/** The same for functions that are only fast with arguments of some types; `SLOW` says that they are not. */
export const SLOW = Symbol('slow')

export const GUARDED: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  sum,
  count: value => (Array.isArray(value) ? value.length : SLOW),
  number: value => {
    if (typeof value === 'number') return value
    return typeof value === 'string' && /^-?\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : SLOW
  },
  uppercase: value => (typeof value === 'string' ? value.toUpperCase() : SLOW),
  lowercase: value => (typeof value === 'string' ? value.toLowerCase() : SLOW),
  trim: value => (typeof value === 'string' && /^[^\s]*$/.test(value) ? value : SLOW),
  join: (values, separator) =>
    Array.isArray(values) && typeof separator === 'string' && values.every(isString)
      ? values.join(separator)
      : SLOW,
  split: (value, separator) =>
    typeof value === 'string' && typeof separator === 'string' ? value.split(separator) : SLOW,
  contains: (value, token) =>
    typeof value === 'string' && typeof token === 'string' ? value.includes(token) : SLOW,
  substringBefore: (value, token) => {
    if (typeof value !== 'string' || typeof token !== 'string') return SLOW
    const at = value.indexOf(token)
    return at < 0 ? value : value.slice(0, at)
  },
  substringAfter: (value, token) => {
    if (typeof value !== 'string' || typeof token !== 'string') return SLOW
    const at = value.indexOf(token)
    return at < 0 ? value : value.slice(at + token.length)
  },
  substring: (value, start, length) => {
    // Characters are code points; in ASCII those are the units of the string.
    if (typeof value !== 'string' || typeof start !== 'number' || !isAscii(value)) return SLOW
    if (length !== undefined && typeof length !== 'number') return SLOW
    const from = value.length + start < 0 ? 0 : start
    if (length === undefined) return value.slice(from)
    if (length <= 0) return ''
    return value.slice(from, from >= 0 ? from + length : value.length + from + length)
  },
  map: (values, callable) => (Array.isArray(values) && isCallable(callable) ? map(values, callable) : SLOW),
  filter: (values, callable) =>
    Array.isArray(values) && isCallable(callable) ? filter(values, callable) : SLOW,
  lookup: (value, key) => (value !== undefined && typeof key === 'string' ? lookup(value, key) : SLOW),
}

function sum(values: unknown): unknown {
  if (!Array.isArray(values)) return SLOW
  let total = 0
  for (const value of values) {
    if (typeof value !== 'number') return SLOW
    total += value
  }
  return total
}

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

/** The value, the position or key, and the whole, as many of them as the function takes. */
function callWith(callable: Callable, value: unknown, place: unknown, whole: unknown): unknown {
  const arity = arityOf(callable)
  if (arity >= 3) return invoke(callable, [value, place, whole], null)
  return invoke(callable, arity === 2 ? [value, place] : [value], null)
}

function map(values: unknown[] | undefined, callable: Callable): unknown {
  if (values === undefined) return undefined
  const results = sequence()
  for (let i = 0; i < values.length; i++) {
    const result = callWith(callable, values[i], i, values)
    if (result !== undefined) results.push(result)
  }
  return results
}

function filter(values: unknown[] | undefined, callable: Callable): unknown {
  if (values === undefined) return undefined
  const results = sequence()
  for (let i = 0; i < values.length; i++) {
    if (truth(callWith(callable, values[i], i, values))) results.push(values[i])
  }
  return results
}

function single(values: unknown[] | undefined, callable?: Callable): unknown {
  if (values === undefined) return undefined
  const found = values.filter(
    (value, i) => callable === undefined || truth(callWith(callable, value, i, values)),
  )
  if (found.length === 1) return found[0]
  throw new JsonataError(found.length > 1 ? 'D3138' : 'D3139')
}

function reduce(values: unknown[] | undefined, callable: Callable, initial?: unknown): unknown {
  if (values === undefined) return undefined
  const arity = arityOf(callable)
  if (arity < 2) throw new JsonataError('D3050')
  const fromFirst = initial === undefined && values.length > 0
  let result = fromFirst ? values[0] : initial
  for (let i = fromFirst ? 1 : 0; i < values.length; i++) {
    result = invoke(callable, [result, values[i], i, values].slice(0, Math.min(arity, 4)), null)
  }
  return result
}

function each(object: unknown, callable: Callable): unknown {
  const results = sequence()
  for (const key of keysOf(object)) {
    const result = callWith(callable, (object as Record<string, unknown>)[key], key, object)
    if (result !== undefined) results.push(result)
  }
  return results
}

function sift(object: unknown, callable: Callable): unknown {
  const result: Record<string, unknown> = {}
  for (const key of keysOf(object)) {
    const value = (object as Record<string, unknown>)[key]
    if (truth(callWith(callable, value, key, object))) setKey(result, key, value)
  }
  return Object.keys(result).length === 0 ? undefined : result
}

/** Stable merge sort: a comparator of JSONata only says whether two items are to be swapped. */
function sort(values: unknown[] | undefined, comparator?: Callable): unknown {
  if (values === undefined || values.length <= 1) return values
  if (comparator === undefined) {
    if (!values.every(isString) && !values.every(value => typeof value === 'number')) {
      throw new JsonataError('D3070')
    }
    return mergeSort(values, (a, b) => (a as number) > (b as number))
  }
  return mergeSort(values, (a, b) => Boolean(invoke(comparator, [a, b], null)))
}

function mergeSort(values: unknown[], isAfter: (a: unknown, b: unknown) => boolean): unknown[] {
  if (values.length <= 1) return values
  const middle = Math.floor(values.length / 2)
  const left = mergeSort(values.slice(0, middle), isAfter)
  const right = mergeSort(values.slice(middle), isAfter)
  const merged: unknown[] = []
  let l = 0
  let r = 0
  while (l < left.length && r < right.length) {
    spend(1)
    merged.push(isAfter(left[l], right[r]) ? right[r++] : left[l++])
  }
  while (l < left.length) merged.push(left[l++])
  while (r < right.length) merged.push(right[r++])
  return merged
}

function keys(value: unknown): unknown {
  const found = sequence()
  const seen = new Set<string>()
  const collect = (item: unknown) => {
    if (Array.isArray(item)) for (const inner of item) collect(inner)
    else for (const key of keysOf(item)) seen.add(key)
  }
  collect(value)
  for (const key of Object.keys(Object.fromEntries(Array.from(seen, key => [key, true])))) found.push(key)
  return found
}

function spread(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.reduce<unknown>((all, item) => append(all, spread(item)), sequence())
  }
  if (typeof value !== 'object' || value === null) return value
  const found = sequence()
  for (const [key, inner] of Object.entries(value)) {
    const object = {}
    setKey(object, key, inner)
    found.push(object)
  }
  return found
}

function merge(objects: unknown[] | undefined): unknown {
  if (objects === undefined) return undefined
  checkLength(objects.length, MAX_ITEMS)
  const result: Record<string, unknown> = {}
  for (const object of objects) {
    for (const key of keysOf(object)) setKey(result, key, (object as Record<string, unknown>)[key])
  }
  return result
}
