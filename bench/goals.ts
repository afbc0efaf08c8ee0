/** Whether a figure reaches its goal. A goal is text that people read; this reads it too. */
import type { BenchRow } from './row.ts'

export type Verdict = 'met' | 'missed'

/** How a figure stands beside another one: above 1 is better than it. */
export interface Comparison {
  name: string
  value: number
  ratio: number
}

const UNITS: Record<string, number> = { k: 1e3, M: 1e6 }
/** `at least 4 M/s`, `at most 1,024 bytes`, `200,000`. */
const ABSOLUTE = /^(at least |at most |under )?([\d.,]+) ?([kM])?(\/s| ?\w+)?$/
/** `at least 1.8x comedy`, `at most 1.2x postMessage`, `0.3 of JSON.parse`. */
const RELATIVE = /^(at least |at most |under )?([\d.]+)(?:x| of) (.+)$/

/** Less of these is better. */
const LESS_IS_BETTER = /^(ns|us|ms|s|bytes|KiB|MiB)\b/

export function lessIsBetter({ unit }: BenchRow): boolean {
  return LESS_IS_BETTER.test(unit)
}

/** The figure beside its limit and its peers. */
export function comparisons(row: BenchRow): Comparison[] {
  const others = Object.entries(row.peers ?? {})
  if (row.limit !== undefined) others.unshift(['limit', row.limit])
  return others.map(([name, value]) => {
    return { name, value, ratio: lessIsBetter(row) ? value / row.value : row.value / value }
  })
}

/** Undefined for a row without a goal. Throws an Error for a goal it cannot read: nobody could tell if it is met. */
export function verdict(row: BenchRow): Verdict | undefined {
  if (row.goal === undefined) return undefined
  const clauses = row.goal.split(/; |, /)
  return clauses.every(clause => holds(clause.trim(), row)) ? 'met' : 'missed'
}

function holds(clause: string, row: BenchRow): boolean {
  const relative = RELATIVE.exec(clause)
  if (relative) {
    const [, direction, factor, name] = relative
    const peer = Object.keys(row.peers ?? {}).find(peer => name === peer || name!.endsWith(` ${peer}`))
    // The limit has no name of its own in a row.
    const other = peer === undefined ? row.limit : row.peers![peer]
    if (other === undefined) throw new Error(`${row.name}: there is nothing to compare with for '${clause}'`)
    return compare(row.value / other, direction, Number(factor))
  }
  const absolute = ABSOLUTE.exec(clause)
  if (!absolute) throw new Error(`${row.name}: '${clause}' is no goal that can be checked`)
  const [, direction, number, scale] = absolute
  return compare(row.value, direction, Number(number!.replaceAll(',', '')) * (scale ? UNITS[scale]! : 1))
}

function compare(value: number, direction: string | undefined, goal: number): boolean {
  return direction === undefined || direction === 'at least ' ? value >= goal : value <= goal
}
