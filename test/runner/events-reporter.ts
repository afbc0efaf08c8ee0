/**
 * A node:test reporter that appends each event as a line of JSON to the file named in SIGNALBOX_TEST_EVENTS.
 * It writes synchronously, so that what a test file reported is kept when the file crashes or is killed.
 */
import { appendFileSync } from 'node:fs'
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/** The environment variable that names the file of events. */
export const EVENTS_VARIABLE = 'SIGNALBOX_TEST_EVENTS'

/** The part of a node:test event that the runner needs. */
export interface RunnerEvent {
  /**
   * `begin` and `done` come at once, `start`, `pass` and `fail` in the order in which the tests are written;
   * `note` is a remark of Node or of a test; `end` says that all tests of the file have ended.
   */
  type: 'begin' | 'done' | 'start' | 'pass' | 'fail' | 'note' | 'end'
  name: string
  nesting: number
  isSuite: boolean
  /** The reason given, or true. */
  skip: string | boolean
  /** Why a test failed, in Node's words, e.g. `subtestsFailed`. */
  failureType: string
  /** The error in full, for people. */
  error: string
}

/** What Node adds up at the end of a file; the runner counts for itself. */
const STATISTICS = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/

/** Consumes the events of one test file; prints nothing. */
export default async function* record(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path = process.env[EVENTS_VARIABLE]
  if (path === undefined) throw new Error(`${EVENTS_VARIABLE} is not set: it names the file of events`)
  for await (const event of source) {
    const line = toRunnerEvent(event)
    if (line !== undefined) appendFileSync(path, `${JSON.stringify(line)}\n`)
  }
  yield ''
}

function toRunnerEvent(event: TestEvent): RunnerEvent | undefined {
  const blank = { isSuite: false, skip: false, failureType: '', error: '' }
  switch (event.type) {
    case 'test:dequeue':
    case 'test:complete':
    case 'test:start': {
      const type = ({ 'test:dequeue': 'begin', 'test:complete': 'done', 'test:start': 'start' } as const)[
        event.type
      ]
      return { ...blank, type, name: event.data.name, nesting: event.data.nesting }
    }
    case 'test:diagnostic': {
      const { message, nesting } = event.data
      return STATISTICS.test(message) ? undefined : { ...blank, type: 'note', name: message, nesting }
    }
    case 'test:pass':
    case 'test:fail': {
      const { name, nesting, details, skip } = event.data
      const isSuite = details.type === 'suite'
      const common = { ...blank, name, nesting, isSuite, skip: skip ?? false }
      if (event.type === 'test:pass') return { ...common, type: 'pass' }
      const { error } = event.data.details
      const failureType = (error as { failureType?: string }).failureType ?? ''
      return { ...common, type: 'fail', failureType, error: inspect(error.cause ?? error) }
    }
    case 'test:summary':
      return { ...blank, type: 'end', name: '', nesting: 0 }
    default:
      return undefined
  }
}
