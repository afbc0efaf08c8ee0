/** Runs one test file in a process of its own, and kills it with all it started when it takes too long. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { EVENTS_VARIABLE, type RunnerEvent } from './events-reporter.ts'
import { type Tally, tally } from './tally.ts'

/** How to run a test file. */
export interface RunFileOptions {
  /** Where the events go; a file that does not exist yet, in a folder that does. */
  eventsPath: string
  /** Longest time for the whole file, in milliseconds. */
  timeoutMs: number
  /** Runs only tests whose name matches this regular expression. */
  only?: string | undefined
}

/** What became of a test file. */
export interface FileResult extends Tally {
  file: string
  durationMs: number
  /** What the file wrote to standard output and standard error. */
  output: string
}

interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
  timedOut: boolean
  output: string
}

const MAX_OUTPUT_CHARACTERS = 1_000_000

/** The process groups that are running, so that an interrupt can stop them. */
const running = new Set<number>()

/** Kills every test file that runs, with the processes it started. */
export function killRunning(): void {
  for (const pid of running) killGroup(pid)
}

/** Runs `file`. Never rejects: what went wrong is in the result, as a failed test with the name of the file. */
export async function runFile(file: string, options: RunFileOptions): Promise<FileResult> {
  const start = performance.now()
  const ending = await execute(file, options)
  const counted = tally(readEvents(options.eventsPath))
  const wrong = whatIsWrong(ending, counted, options)
  if (wrong !== undefined) counted.failed.push({ name: file, text: wrong })
  return { ...counted, file, durationMs: performance.now() - start, output: ending.output }
}

function execute(file: string, options: RunFileOptions): Promise<Ending> {
  const reporter = new URL('./events-reporter.ts', import.meta.url).href
  const pattern = options.only === undefined ? [] : [`--test-name-pattern=${options.only}`]
  // Nodes that the file starts keep their state beside its events: nothing is left, and no other file has it open.
  const state = { SIGNALBOX_STATE_DIR: `${options.eventsPath}.state` }
  const env: NodeJS.ProcessEnv = { ...process.env, ...state, [EVENTS_VARIABLE]: options.eventsPath }
  delete env.NODE_TEST_CONTEXT
  // A group of its own (detached): servers that the file started are killed with it.
  const child = spawn(process.execPath, [`--test-reporter=${reporter}`, ...pattern, file], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const { promise, resolve } = Promise.withResolvers<Ending>()
  const ending: Ending = { code: null, signal: null, timedOut: false, output: '' }
  const keep = (chunk: string) => {
    if (ending.output.length < MAX_OUTPUT_CHARACTERS) ending.output += chunk
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)
  const { pid } = child
  if (pid !== undefined) running.add(pid)
  const timer = setTimeout(() => {
    ending.timedOut = true
    if (pid !== undefined) killGroup(pid)
  }, options.timeoutMs)
  child.on('error', error => resolve({ ...ending, output: error.message }))
  // 'exit' and not 'close': a process that the file left behind holds the pipes open. It ends here, too.
  child.on('exit', (code, signal) => {
    if (pid !== undefined) killGroup(pid)
    Object.assign(ending, { code, signal })
  })
  child.on('close', () => {
    clearTimeout(timer)
    if (pid !== undefined) running.delete(pid)
    resolve(ending)
  })
  return promise
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // The group is gone already: that is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function readEvents(path: string): RunnerEvent[] {
  if (!existsSync(path)) return []
  // The last line may be cut off when the process was killed while it wrote.
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map(line => JSON.parse(line) as RunnerEvent)
}

function whatIsWrong(ending: Ending, counted: Tally, options: RunFileOptions): string | undefined {
  const during = counted.unfinished === undefined ? '' : ` during '${counted.unfinished}'`
  if (ending.timedOut) {
    const where = during || ': a test blocks its event loop, or an open handle keeps it alive after its tests'
    return `the file did not finish within ${options.timeoutMs} ms${where}`
  }
  if (ending.signal !== null) return `the process was killed by ${ending.signal}${during}`
  if (ending.code === null) return 'the process did not start'
  if (ending.code !== 0) {
    return counted.failed.length > 0
      ? undefined
      : `the process exited with code ${ending.code}${during}; see its output`
  }
  const tests = counted.passed + counted.failed.length + counted.skipped.length
  if (!counted.ended && (tests > 0 || during !== '')) {
    return `the process exited before its tests ended${during}`
  }
  if (tests === 0 && options.only === undefined)
    return 'no test was reported: the file defines none, or called process.exit'
  return undefined
}
