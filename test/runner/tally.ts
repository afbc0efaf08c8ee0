/** Counts the leaf tests of one file from its events: a test that only groups others is not counted. */
import type { RunnerEvent } from './events-reporter.ts'

/** A test that did not simply pass. */
export interface TestNote {
  /** Names of its suites and its own, joined by ` > `. */
  name: string
  /** The error of a failed test, the reason of a skipped one. */
  text: string
}

/** The leaf tests of one file. */
export interface Tally {
  passed: number
  failed: TestNote[]
  skipped: TestNote[]
  /** Remarks of Node or of the tests, e.g. about an error after the end of a test. */
  notes: string[]
  /** The innermost test that was under way when the events stopped, if they stopped early. */
  unfinished: string | undefined
  /** Whether the file ran to its end. */
  ended: boolean
}

/** Counts. Node reports the start of a parent before its children, and its result after theirs. */
export function tally(events: readonly RunnerEvent[]): Tally {
  const result: Tally = { passed: 0, failed: [], skipped: [], notes: [], unfinished: undefined, ended: false }
  const names: string[] = []
  const children: number[] = []
  for (const event of events) {
    const { nesting, type } = event
    if (type === 'end') result.ended = true
    if (type === 'note') result.notes.push(event.name)
    if (type !== 'start' && type !== 'pass' && type !== 'fail') continue
    names.length = nesting
    names[nesting] = event.name
    if (type === 'start') continue
    const isParent = (children[nesting + 1] ?? 0) > 0
    children[nesting + 1] = 0
    children[nesting] = (children[nesting] ?? 0) + 1
    count(result, event, names.join(' > '), event.isSuite || isParent)
  }
  if (!result.ended) result.unfinished = lastUnfinished(events)
  return result
}

function lastUnfinished(events: readonly RunnerEvent[]): string | undefined {
  const open: RunnerEvent[] = []
  for (const event of events) {
    if (event.type === 'begin') open.push(event)
    if (event.type !== 'done') continue
    const begun = open.findLastIndex(({ name, nesting }) => name === event.name && nesting === event.nesting)
    if (begun >= 0) open.splice(begun, 1)
  }
  return open.at(-1)?.name
}

function count(result: Tally, event: RunnerEvent, name: string, isGroup: boolean): void {
  if (event.type === 'fail') {
    // A group that failed because of its children is already counted there; one with a failed hook is not.
    if (event.failureType !== 'subtestsFailed') result.failed.push({ name, text: event.error })
    return
  }
  if (event.skip !== false) {
    result.skipped.push({ name, text: typeof event.skip === 'string' ? event.skip : 'no reason given' })
  } else if (!isGroup) {
    result.passed++
  }
}
