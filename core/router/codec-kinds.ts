/** What a non-plain object is on the wire. Decided once for each prototype. */
import { EventEmitter } from 'node:events'
import { SignalboxError } from '../errors.ts'
import { BYTES } from './codec-format.ts'

export type ObjectKind =
  | { is: 'fields' | 'nullObject' | 'map' | 'set' | 'date' | 'regexp' | 'error' | 'busError' }
  | { is: 'bytes'; kind: number }
  | { is: 'refused'; reason: string }

const NULL_OBJECT: ObjectKind = { is: 'nullObject' }
const FIELDS: ObjectKind = { is: 'fields' }

const kinds = new WeakMap<object, ObjectKind>([
  [Object.prototype, FIELDS],
  [Map.prototype, { is: 'map' }],
  [Set.prototype, { is: 'set' }],
  [Date.prototype, { is: 'date' }],
  [RegExp.prototype, { is: 'regexp' }],
  [Error.prototype, { is: 'error' }],
  [SignalboxError.prototype, { is: 'busError' }],
  [EventEmitter.prototype, { is: 'refused', reason: 'a stream or another event emitter' }],
  ...[Number, String, Boolean].map(
    kind => [kind.prototype, { is: 'refused', reason: `a boxed ${kind.name}` }] as [object, ObjectKind],
  ),
  ...BYTES.map((kind, index) => [kind.prototype, { is: 'bytes', kind: index }] as [object, ObjectKind]),
])

/**
 * The kind of an object that is no array. A subclass travels as what it extends; an instance of any other class as
 * a plain object of its own enumerable fields. A class of the platform, which keeps its data in internal slots
 * where no field shows it (Promise, WeakMap, URL, Response, generators...), is refused: they all carry a
 * `Symbol.toStringTag`.
 */
export function kindOf(value: object): ObjectKind {
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === null) return NULL_OBJECT
  const known = kinds.get(prototype)
  if (known !== undefined) return known
  const found = classify(prototype)
  kinds.set(prototype, found)
  return found
}

function classify(prototype: object): ObjectKind {
  for (let up: object | null = prototype; up !== null; up = Object.getPrototypeOf(up)) {
    const known = kinds.get(up)
    if (known !== undefined && known !== FIELDS) return known
  }
  const tag: unknown = Reflect.get(prototype, Symbol.toStringTag)
  return typeof tag === 'string' ? { is: 'refused', reason: `a ${tag} object` } : FIELDS
}
