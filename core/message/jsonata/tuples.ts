/** Paths with `@`, `#` and `%`: items that carry variables. */
import { spend } from './budget.ts'
import { sequence } from './sequence.ts'

/** The item is `@`, the variables have their names; there is no prototype to hit. */
type Tuple = Record<string, unknown>

function tupleOf(item: unknown, variables?: Tuple): Tuple {
  const tuple: Tuple = Object.assign(Object.create(null), variables)
  tuple['@'] = item
  return tuple
}

export function tuples(items: readonly unknown[]): Tuple[] {
  return items.map(item => tupleOf(item))
}

export function untuple(list: readonly Tuple[]): unknown[] {
  const items = sequence()
  for (const tuple of list) items.push(tuple['@'])
  return items
}

/**
 * Evaluates a step for each tuple. `focus` names the results and leaves the item as it was, `index` names their
 * positions, `ancestor` the item they came from.
 */
export function tupleStep(
  list: readonly Tuple[],
  expression: (tuple: Tuple) => unknown,
  focus: string | undefined,
  index: string | undefined,
  ancestor: string | undefined,
): Tuple[] {
  spend(list.length)
  const found: Tuple[] = []
  for (const from of list) {
    const result = expression(from)
    if (result === undefined) continue
    const items: readonly unknown[] = Array.isArray(result) ? result : [result]
    spend(items.length)
    for (let i = 0; i < items.length; i++) {
      const tuple = tupleOf(focus === undefined ? items[i] : from['@'], from)
      if (focus !== undefined) tuple[focus] = items[i]
      if (index !== undefined) tuple[index] = i
      if (ancestor !== undefined) tuple[ancestor] = from['@']
      found.push(tuple)
    }
  }
  return found
}

/** Gives each tuple its position. */
export function indexTuples(list: Tuple[], name: string): Tuple[] {
  list.forEach((tuple, i) => {
    tuple[name] = i
  })
  return list
}
