/** Runs a script that loads files of a project in a process of its own: one that hangs or exits takes nothing with it. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const LOAD_TIMEOUT_MS = 30_000

/** The JSON that the script prints as its last line, or what happened instead: `hangs or ends the process: ...`. */
export function childReport<T extends object>(
  script: URL,
  root: string,
  timeoutMs: number,
): Promise<T | string> {
  return new Promise(resolve => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, cwd: root }
    const args = ['--no-warnings', fileURLToPath(script), root]
    execFile(process.execPath, args, options, (error, stdout) => {
      // The files may print; the report is the last line.
      const last = stdout.trimEnd().split('\n').at(-1)
      try {
        resolve(JSON.parse(last!) as T)
      } catch {
        const why = error?.killed ? `within ${timeoutMs} ms` : `(exit code ${error?.code ?? 0})`
        resolve(`hangs or ends the process: no report ${why}`)
      }
    })
  })
}
