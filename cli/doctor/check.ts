/** A check of `signalbox doctor`: a value, so that a new one is a function and a line in index.ts. */

export interface Finding {
  status: 'ok' | 'warn' | 'fail'
  /** What was found. */
  detail: string
  /** Why it matters. */
  why: string
  /** The command, or the edit, that mends it. */
  fix: string
}

export interface Check {
  /** For programs; stable. */
  id: string
  title: string
  run(): Promise<Finding>
}

/** What a check found, with its name. */
export interface Result extends Finding {
  id: string
  title: string
}

/** Runs the checks one after the other: some measure. A check that throws has failed. */
export async function runChecks(checks: readonly Check[]): Promise<Result[]> {
  const results: Result[] = []
  for (const { id, title, run } of checks) results.push({ id, title, ...(await run().catch(broken)) })
  return results
}

function broken(error: unknown): Finding {
  return {
    status: 'fail',
    detail: `the check itself failed: ${(error as Error).message}`,
    why: 'What it looks at may be in order or not.',
    fix: 'Mend what the message says, and run `signalbox doctor` again.',
  }
}
