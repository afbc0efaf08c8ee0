/** What the code of an expression is linked with, as `R`. */
import { checkLength, MAX_ITEMS } from './budget.ts'
import { applyTo, external, HOLE, invoke, partial, signed, TailCall } from './call.ts'
import { JsonataError } from './error.ts'
import { FAST, GUARDED, type LibraryFunction, SLOW } from './functions.ts'
import { constructed, settle, unwrap } from './sequence.ts'
import {
  at,
  contextItems,
  descendants,
  type Expression,
  filter,
  group,
  itemsOf,
  keepPath,
  lastName,
  lookup,
  nameItems,
  names,
  order,
  pathNames,
  step,
  wildcard,
} from './steps.ts'
import { indexTuples, tupleStep, tuples, untuple } from './tuples.ts'
import {
  append,
  arithmetic,
  type Callable,
  compare,
  concatenate,
  equal,
  includes,
  negate,
  range,
  setKey,
  truth,
  unequal,
} from './values.ts'

/** The value of a variable that has none yet. */
const UNBOUND = Symbol('unbound')

export const RUNTIME = {
  tuples,
  tupleStep,
  untuple,
  add,
  applyTo,
  arithmetic,
  at,
  bound,
  callLibrary,
  compare,
  concatenate,
  constructed,
  contextItems,
  descendants,
  equal,
  FAST,
  filter,
  group,
  grouped,
  GUARDED,
  HOLE,
  includes,
  indexTuples,
  invoke,
  invokePath,
  itemsOf,
  keepPath,
  keptNames,
  lastName,
  lookup,
  markKept,
  nameItems,
  names,
  negate,
  order,
  range,
  settle,
  signed,
  SLOW,
  step,
  TailCall,
  transform,
  truth,
  UNBOUND,
  unequal,
  unwrap,
  wildcard,
  partial: partialOf,
}

/** Adds a value to an array that is being constructed; arrays are spread. */
function add(array: unknown[], value: unknown): void {
  if (!Array.isArray(value)) array.push(value)
  else {
    checkLength(array.length + value.length, MAX_ITEMS)
    for (const item of value) array.push(item)
  }
}

/** What the values of an object constructor are evaluated with, when the context is an array. */
function grouped(context: readonly unknown[]): unknown {
  return context.reduce<unknown>((all, item) => append(all, item), undefined)
}

function keptNames(context: unknown, keys: readonly string[], at: number): unknown {
  if (typeof context !== 'object' || context === null) return undefined
  return settle(keepPath(pathNames(context, keys, at)), true)
}

function markKept(items: unknown[]): unknown[] {
  settle(items, true)
  return items
}

function bound(bindings: object | undefined, name: string): unknown {
  return bindings !== undefined && Object.hasOwn(bindings, name)
    ? external((bindings as Record<string, unknown>)[name])
    : undefined
}

function callLibrary(
  call: LibraryFunction,
  context: unknown,
  args: unknown[],
  position: number,
  token: string,
): unknown {
  try {
    return call(context, args)
  } catch (error) {
    // The functions of the package throw plain objects with a code.
    const thrown = error as { position?: number; token?: string }
    if (typeof thrown === 'object' && thrown !== null && !Object.isFrozen(thrown)) {
      thrown.position ??= position
      thrown.token ??= token
    }
    throw error
  }
}

/** A call by a name without `$`; `forgotten`: there is a function of that name. */
function invokePath(
  callable: unknown,
  args: unknown[],
  context: unknown,
  position: number,
  forgotten: boolean,
) {
  if (callable === undefined && forgotten) throw new JsonataError('T1005', undefined, position)
  return invoke(callable, args, context, position)
}

function partialOf(callable: unknown, args: unknown[], position: number, forgotten: boolean): unknown {
  if (callable === undefined && forgotten) throw new JsonataError('T1007', undefined, position)
  return partial(callable, args, position)
}

/** `|pattern|update,delete|`: a function that changes a copy. */
function transform(
  clone: LibraryFunction,
  pattern: Expression,
  update: Expression,
  deletion: Expression | undefined,
  position: number,
): Callable {
  const made: Callable = (object: unknown) => {
    if (object === undefined) return undefined
    const result = clone(undefined, [object])
    const found = pattern(result)
    for (const match of found === undefined ? [] : Array.isArray(found) ? found : [found]) {
      const changes = update(match)
      if (changes !== undefined) merge(match, changes, position)
      const names = deletion?.(match)
      if (names !== undefined) remove(match, names, position)
    }
    return result
  }
  made.arity = 1
  return made
}

function merge(target: unknown, changes: unknown, position: number): void {
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) {
    throw new JsonataError('T2011', changes, position)
  }
  if (typeof target !== 'object' || target === null) {
    throw new Error(`a transform cannot set properties of ${target === null ? 'null' : `a ${typeof target}`}`)
  }
  for (const [key, value] of Object.entries(changes)) {
    setKey(target as Record<string, unknown>, key, value, position)
  }
}

function remove(target: unknown, names: unknown, position: number): void {
  const list = Array.isArray(names) ? names : [names]
  if (list.some(name => typeof name !== 'string')) throw new JsonataError('T2012', names, position)
  if (typeof target !== 'object' || target === null) return
  for (const name of list) delete (target as Record<string, unknown>)[name]
}
