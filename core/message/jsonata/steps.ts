/** What paths do: steps, filters, groups, orders. */
import { spend } from './budget.ts'
import { JsonataError } from './error.ts'
import { isConstructed, isSequence, sequence, settle, unwrap } from './sequence.ts'
import { append, isNumeric, isSame, keysOf, setKey, truth } from './values.ts'

export type Expression = (context: unknown) => unknown

/** The value of an object's own property; of an array, those of its items as a sequence. */
export function lookup(input: unknown, key: string): unknown {
  if (typeof input !== 'object' || input === null) return undefined
  if (!Array.isArray(input)) {
    return Object.hasOwn(input, key) ? (input as Record<string, unknown>)[key] : undefined
  }
  spend(input.length)
  const found = sequence()
  for (const item of input) {
    const value = lookup(item, key)
    if (value === undefined) continue
    if (Array.isArray(value)) for (const inner of value) found.push(inner)
    else found.push(value)
  }
  return found
}

/** The names of a path from `at` on, as a value. */
export function names(context: unknown, keys: readonly string[], at: number): unknown {
  if (typeof context !== 'object' || context === null) return undefined
  return settle(nameSequence(context, keys, at, true))
}

/** The same as the sequence at the end of a path. */
export function pathNames(context: unknown, keys: readonly string[], at: number): unknown[] {
  return nameSequence(context, keys, at, true)
}

/** The same as a sequence, for steps that follow. */
export function nameItems(context: unknown, keys: readonly string[], at: number): unknown[] {
  if (typeof context !== 'object' || context === null) return sequence()
  return nameSequence(context, keys, at, false)
}

function nameSequence(context: unknown, keys: readonly string[], at: number, complete: boolean): unknown[] {
  let items = itemsOf(context)
  for (let i = at; i < keys.length; i++) {
    const key = keys[i]!
    items = step(items, item => settle(lookup(item, key)), complete && i === keys.length - 1)
    if (items.length === 0) break
  }
  return items
}

/** A value as the sequence that the next step goes over. */
export function itemsOf(value: unknown): unknown[] {
  if (Array.isArray(value) && !isConstructed(value)) return value
  const items = sequence()
  if (value !== undefined) items.push(value)
  return items
}

/** The context as the first sequence of a path. */
export function contextItems(context: unknown): unknown[] {
  return Array.isArray(context) ? context : [context]
}

/** The last value of a path of names, which was found without going over a sequence. */
export function lastName(value: unknown, keep: boolean): unknown {
  if (Array.isArray(value)) {
    if (!isSequence(value) || value.length !== 1) return value
    return keep ? value : value[0]
  }
  if (!keep || value === undefined) return value
  const kept = sequence()
  kept.push(value)
  return settle(kept, true)
}

/** Evaluates a step for each item and makes one sequence of the results. */
export function step(items: unknown[], expression: Expression, last: boolean): unknown[] {
  if (items.length === 0 && isConstructed(items)) return items
  spend(items.length)
  const results = sequence()
  let count = 0
  let only: unknown[] | undefined
  for (let i = 0; i < items.length; i++) {
    const result = expression(items[i])
    if (result === undefined) continue
    count++
    if (!Array.isArray(result)) results.push(result)
    else {
      if (count === 1) only = result
      if (isConstructed(result)) results.push(result)
      else for (const item of result) results.push(item)
    }
  }
  return last && count === 1 && only !== undefined && !isSequence(only) ? only : results
}

/** The end of a path that keeps its array. */
export function keepPath(result: unknown[]): unknown[] {
  if (!isConstructed(result)) return result
  const outer = sequence()
  outer.push(result)
  return outer
}

/** The item at a position; a negative one counts from the end. */
export function at(input: unknown, position: number): unknown[] {
  const items = Array.isArray(input) ? input : [input]
  const index = Math.floor(position)
  const item = items[index < 0 ? items.length + index : index]
  if (Array.isArray(item)) return item
  const found = sequence()
  if (item !== undefined) found.push(item)
  return found
}

/** The items for which the predicate holds, or whose positions it gives. */
export function filter(input: unknown, predicate: Expression): unknown[] {
  const items = Array.isArray(input) ? input : [input]
  spend(items.length)
  const found = sequence()
  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    const result = predicate(item)
    if (result === true) found.push(item)
    else if (isNumeric(result)) pushAt(found, items, i, result)
    else if (Array.isArray(result) && result.every(isNumeric)) {
      for (const position of result) pushAt(found, items, i, position)
    } else if (truth(result)) found.push(item)
  }
  return found
}

function pushAt(found: unknown[], items: readonly unknown[], i: number, position: number): void {
  const index = Math.floor(position)
  if ((index < 0 ? items.length + index : index) === i) found.push(items[i])
}

export function wildcard(context: unknown): unknown {
  const input = unwrap(context)
  let found: unknown = sequence()
  if (typeof input !== 'object' || input === null) return found
  for (const key of Object.keys(input)) {
    const value = (input as Record<string, unknown>)[key]
    if (Array.isArray(value)) found = append(found, value.flat(Number.POSITIVE_INFINITY))
    else (found as unknown[]).push(value)
  }
  return found
}

export function descendants(context: unknown): unknown {
  if (context === undefined) return undefined
  const found = sequence()
  collect(context, found)
  return found.length === 1 ? found[0] : found
}

function collect(input: unknown, found: unknown[]): void {
  spend(1)
  if (Array.isArray(input)) {
    for (const item of input) collect(item, found)
    return
  }
  found.push(input)
  for (const key of keysOf(input)) collect((input as Record<string, unknown>)[key], found)
}

/** A key and a value of an object constructor. */
export type Pair = readonly [key: Expression, value: Expression]

/** An object whose keys are computed for each item; items with the same key are put together. */
export function group(input: unknown, pairs: readonly Pair[], position: number): Record<string, unknown> {
  const items: readonly unknown[] = Array.isArray(input) && input.length > 0 ? input : [onlyItem(input)]
  const groups = new Map<string, { data: unknown; pair: number }>()
  spend(items.length)
  for (const item of items) {
    for (let i = 0; i < pairs.length; i++) {
      const key = pairs[i]![0](item)
      if (key === undefined) continue
      if (typeof key !== 'string') throw new JsonataError('T1003', key, position)
      const entry = groups.get(key)
      if (entry === undefined) groups.set(key, { data: item, pair: i })
      else if (entry.pair !== i) throw new JsonataError('D1009', key, position)
      else entry.data = append(entry.data, item)
    }
  }
  const result: Record<string, unknown> = {}
  for (const [key, { data, pair }] of groups) {
    if (key === '_jsonata_lambda' || key === '_jsonata_function')
      throw new JsonataError('D1013', key, position)
    const value = pairs[pair]![1](data)
    if (value !== undefined) setKey(result, key, value, position)
  }
  return result
}

function onlyItem(input: unknown): unknown {
  return Array.isArray(input) ? undefined : input
}

/** One term of order-by. */
export interface Term {
  expression: Expression
  descending: boolean
}

/** Puts the items in order. What has no value for a term comes last. */
export function order(items: unknown[], terms: readonly Term[], position: number): unknown[] {
  if (items.length <= 1) return items
  spend(items.length * terms.length)
  const entries = items.map(item => ({ item, keys: [] as unknown[] }))
  const key = (entry: { item: unknown; keys: unknown[] }, i: number) => {
    if (i >= entry.keys.length) entry.keys.push(terms[i]!.expression(entry.item))
    return entry.keys[i]
  }
  entries.sort((a, b) => {
    for (let i = 0; i < terms.length; i++) {
      const compared = compareKeys(key(a, i), key(b, i), terms[i]!.descending, position)
      if (compared !== 0) return compared
    }
    return 0
  })
  return entries.map(({ item }) => item)
}

function compareKeys(a: unknown, b: unknown, descending: boolean, position: number): number {
  if (a === undefined) return b === undefined ? 0 : 1
  if (b === undefined) return -1
  for (const value of [a, b]) {
    if (typeof value !== 'string' && typeof value !== 'number')
      throw new JsonataError('T2008', value, position)
  }
  if (typeof a !== typeof b) throw new JsonataError('T2007', a, position)
  if (a === b) return 0
  return (a as number) < (b as number) === descending ? 1 : -1
}

/** The items without those that equal an earlier one. */
export function distinct(input: unknown): unknown {
  if (!Array.isArray(input) || input.length <= 1) return input
  const found: unknown[] = isSequence(input) ? sequence() : []
  const primitives = new Set<unknown>()
  const others: unknown[] = []
  for (const item of input) {
    if (typeof item !== 'object' || item === null) {
      if (primitives.has(item) && !Number.isNaN(item)) continue
      primitives.add(item)
    } else {
      spend(others.length)
      if (others.some(other => isSame(other, item))) continue
      others.push(item)
    }
    found.push(item)
  }
  return found
}
