/** Operators and casts of JSONata on values. */
import { checkLength, MAX_ITEMS, MAX_TEXT } from './budget.ts'
import { JsonataError } from './error.ts'
import { asSequence } from './sequence.ts'

export type Callable = ((...args: unknown[]) => unknown) & {
  /** How many arguments it takes, where `length` does not say. */
  arity?: number
  /** Checks and completes the arguments; throws for wrong ones. */
  signature?: Signature
  /** For functions that also take the context. */
  native?: (context: unknown, args: unknown[]) => unknown
}

/** A signature as jsonata parses it. */
export interface Signature {
  validate(args: unknown[], context: unknown): unknown[]
}

export function isCallable(value: unknown): value is Callable {
  return typeof value === 'function'
}

export function arityOf(callable: Callable): number {
  return callable.arity ?? callable.length
}

/** Whether it is a number. Throws D1001 for an infinite one. */
export function isNumeric(value: unknown): value is number {
  if (typeof value !== 'number' || Number.isNaN(value)) return false
  if (!Number.isFinite(value)) throw new JsonataError('D1001', value)
  return true
}

export function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}

/** The effective boolean value; undefined counts as false. */
export function truth(value: unknown): boolean {
  switch (typeof value) {
    case 'boolean':
      return value
    case 'string':
      return value.length > 0
    case 'number':
      return isNumeric(value) && value !== 0
    case 'object':
      if (value === null) return false
      if (Array.isArray(value)) return value.length === 1 ? truth(value[0]) : value.some(truth)
      return Object.keys(value).length > 0
    default:
      return false
  }
}

type Arithmetic = '+' | '-' | '*' | '/' | '%'

export function arithmetic(left: unknown, right: unknown, operator: Arithmetic, position: number): unknown {
  if (left !== undefined && !isNumeric(left)) throw new JsonataError('T2001', left, position, operator)
  if (right !== undefined && !isNumeric(right)) throw new JsonataError('T2002', right, position, operator)
  if (left === undefined || right === undefined) return undefined
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return left / right
    case '%':
      return left % right
  }
}

export function negate(value: unknown, position: number): unknown {
  if (value === undefined) return undefined
  if (!isNumeric(value)) throw new JsonataError('D1002', value, position, '-')
  return -value
}

type Comparison = '<' | '<=' | '>' | '>='

export function compare(left: unknown, right: unknown, operator: Comparison, position: number): unknown {
  if (!isComparable(left) || !isComparable(right)) {
    const value = isComparable(left) && left !== undefined ? right : left
    throw new JsonataError('T2010', value, position, operator)
  }
  if (left === undefined || right === undefined) return undefined
  if (typeof left !== typeof right) throw new JsonataError('T2009', left, position, operator)
  switch (operator) {
    case '<':
      return left < right
    case '<=':
      return left <= right
    case '>':
      return left > right
    case '>=':
      return left >= right
  }
}

function isComparable(value: unknown): value is string | number | undefined {
  return value === undefined || typeof value === 'string' || typeof value === 'number'
}

export function equal(left: unknown, right: unknown): boolean {
  return left !== undefined && right !== undefined && isSame(left, right)
}

export function unequal(left: unknown, right: unknown): boolean {
  return left !== undefined && right !== undefined && !isSame(left, right)
}

/** Deep equality; the order of an object's keys does not count. */
export function isSame(left: unknown, right: unknown): boolean {
  if (left === right) return true
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, i) => isSame(item, right[i]))
  }
  const keys = Object.getOwnPropertyNames(left)
  if (keys.length !== Object.getOwnPropertyNames(right).length) return false
  return keys.every(
    key => Object.hasOwn(right, key) && isSame(Reflect.get(left, key), Reflect.get(right, key)),
  )
}

export function includes(left: unknown, right: unknown): boolean {
  if (left === undefined || right === undefined) return false
  return Array.isArray(right) ? right.includes(left) && !Number.isNaN(left) : right === left
}

export function concatenate(left: unknown, right: unknown): string {
  const text = (left === undefined ? '' : stringOf(left)) + (right === undefined ? '' : stringOf(right))
  if (text.length > MAX_TEXT) checkLength(text.length, MAX_TEXT)
  return text
}

export function stringOf(value: unknown, indent = 0): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw infinite(value)
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(15)))
  }
  if (typeof value === 'function') return ''
  return JSON.stringify(value, textValue, indent)
}

function infinite(value: number): JsonataError {
  return Object.assign(new JsonataError('D1001', value), { code: 'D3001' })
}

function textValue(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && isNumeric(value)) {
    return Number.isInteger(value) ? value : Number(value.toPrecision(15))
  }
  return typeof value === 'function' ? '' : value
}

export function range(from: unknown, to: unknown, position: number): unknown {
  if (from !== undefined && !Number.isInteger(from)) throw new JsonataError('T2003', from, position, '..')
  if (to !== undefined && !Number.isInteger(to)) throw new JsonataError('T2004', to, position, '..')
  if (from === undefined || to === undefined || (from as number) > (to as number)) return undefined
  const size = (to as number) - (from as number) + 1
  if (size > MAX_ITEMS) throw new JsonataError('D2014', size, position, '..')
  return asSequence(Array.from({ length: size }, (_, i) => (from as number) + i))
}

/** Both as one array. Undefined is left out. */
export function append(first: unknown, second: unknown): unknown {
  if (first === undefined) return second
  if (second === undefined) return first
  const left = Array.isArray(first) ? first : [first]
  const right = Array.isArray(second) ? second : [second]
  checkLength(left.length + right.length, MAX_ITEMS)
  return left.concat(right)
}

/** Sets an own property, whatever its name; a key that would change a prototype is refused. */
export function setKey(
  object: Record<string, unknown>,
  key: string,
  value: unknown,
  position?: number,
): void {
  if (key === '__proto__') throw new JsonataError('D1013', key, position)
  object[key] = value
}
