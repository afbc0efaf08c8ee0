/** Checks of the project: its file and its services. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { siblingModule } from '../../core/module-url.ts'
import { loadProject } from '../project.ts'
import type { Check } from './check.ts'

const LOAD_TIMEOUT_MS = 30_000

export function projectParses(root: string): Check {
  return {
    id: 'project',
    title: 'signalbox.yaml',
    run: async () => {
      const problem = await loadProject(root).then(
        () => undefined,
        (error: Error) => error.message,
      )
      return {
        status: problem === undefined ? 'ok' : 'fail',
        detail: problem ?? 'valid',
        why: 'A node does not start from a file that is not valid.',
        fix: 'Mend the lines named; `signalbox init` writes a file that your editor can check.',
      }
    },
  }
}

/** What load-services.ts prints. */
export interface LoadReport {
  services: string[]
  errors: string[]
}

/** Loads the services in a process of its own, so that one that hangs or exits takes nothing with it. */
export function servicesLoad(root: string, timeoutMs: number = LOAD_TIMEOUT_MS): Check {
  return {
    id: 'services',
    title: 'services',
    run: async () => {
      const { services, errors } = await loadReport(root, timeoutMs)
      return {
        status: errors.length > 0 ? 'fail' : 'ok',
        detail: errors.length > 0 ? errors.join('; ') : `${services.length} load`,
        why: 'A service that does not load is not there when it is called.',
        fix: 'Mend the file at the line named, then `signalbox deploy FILE`.',
      }
    },
  }
}

function loadReport(root: string, timeoutMs: number): Promise<LoadReport> {
  const script = fileURLToPath(siblingModule(import.meta.url, './load-services'))
  return new Promise(resolve => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, cwd: root }
    execFile(process.execPath, ['--no-warnings', script, root], options, (error, stdout) => {
      // Services may print; the report is the last line.
      const last = stdout.trimEnd().split('\n').at(-1)
      try {
        resolve(JSON.parse(last!) as LoadReport)
      } catch {
        const why = error?.killed ? `within ${timeoutMs} ms` : `(exit code ${error?.code ?? 0})`
        resolve({ services: [], errors: [`a file in services/ hangs or ends the process: no report ${why}`] })
      }
    })
  })
}
