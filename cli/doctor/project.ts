/** Checks of the project: its file and its services. */
import { siblingModule } from '../../core/module-url.ts'
import { loadProject } from '../project.ts'
import type { Check } from './check.ts'
import { childReport, LOAD_TIMEOUT_MS } from './child-report.ts'

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
      const script = siblingModule(import.meta.url, './load-services')
      const report = await childReport<LoadReport>(script, root, timeoutMs)
      const { services, errors } =
        typeof report === 'string' ? { services: [], errors: [`a file in services/ ${report}`] } : report
      return {
        status: errors.length > 0 ? 'fail' : 'ok',
        detail: errors.length > 0 ? errors.join('; ') : `${services.length} load`,
        why: 'A service that does not load is not there when it is called.',
        fix: 'Mend the file at the line named, then `signalbox deploy FILE`.',
      }
    },
  }
}
