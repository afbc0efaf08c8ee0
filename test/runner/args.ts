/** The command line of the test runner. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'

const USAGE = `Usage: npm test -- [PATH...] [--only PATTERN] [--timeout-ms N] [--concurrency N]

  PATH             runs only test files whose path contains it
  --only PATTERN   runs only tests whose name matches the regular expression
  --timeout-ms N   longest time for one file (default 180000)
  --concurrency N  how many files run at the same time (default: the number of processors, at least 2)`

/** What to run, and how. */
export interface RunnerArgs {
  paths: string[]
  only: string | undefined
  timeoutMs: number
  concurrency: number
}

/** Parses `argv` (without node and script). Throws an Error whose message says what is wrong and how to call it. */
export function parseRunnerArgs(argv: string[]): RunnerArgs {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        'timeout-ms': { type: 'string', default: '180000' },
        concurrency: { type: 'string', default: String(Math.max(2, availableParallelism())) },
      },
    })
    if (values.only !== undefined) new RegExp(values.only)
    return {
      paths: positionals,
      only: values.only,
      timeoutMs: positive(values['timeout-ms'], '--timeout-ms'),
      concurrency: positive(values.concurrency, '--concurrency'),
    }
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error })
  }
}

function positive(text: string, option: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${option} must be a whole number above 0`)
  return value
}
