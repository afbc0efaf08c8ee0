/** Runs one benchmark and tells the process that started this one. */
import type { FromChild } from './run.ts'

const name = process.argv[2]!
try {
  const { run } = await import(`./${name}.ts`)
  report({ rows: await run() })
} catch (error) {
  report({ error: (error as Error).stack ?? String(error) })
}

/** Peers leave timers behind: this process ends when the figures have gone out. */
function report(message: FromChild): void {
  process.send!(message, () => process.exit())
}
