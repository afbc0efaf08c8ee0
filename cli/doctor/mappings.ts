/** Checks of the mappings of a project. */
import { siblingModule } from '../../core/module-url.ts'
import type { Check, Finding } from './check.ts'
import { childReport, LOAD_TIMEOUT_MS } from './child-report.ts'

/** What load-mappings.ts prints. */
export interface MappingReport {
  mappings: { file: string; error?: string; fallback?: string | undefined }[]
}

/** Every file in `mappings/` loads, and which JSONata expressions are left to the slow jsonata package. */
export function mappings(root: string, timeoutMs: number = LOAD_TIMEOUT_MS): Check {
  return {
    id: 'mappings',
    title: 'mappings',
    run: async () => {
      const script = siblingModule(import.meta.url, './load-mappings')
      const report = await childReport<MappingReport>(script, root, timeoutMs)
      if (typeof report === 'string') return invalid([`a file in mappings/ ${report}`])
      const broken = report.mappings.filter(({ error }) => error !== undefined)
      if (broken.length > 0) return invalid(broken.map(({ file, error }) => `${file}: ${error}`))
      const slow = report.mappings.filter(({ fallback }) => fallback !== undefined)
      if (slow.length > 0) return uncompiled(slow.map(({ file, fallback }) => `${file}: ${fallback}`))
      return fine(report.mappings.length)
    },
  }
}

function fine(count: number): Finding {
  return {
    status: 'ok',
    detail: `${count} compile`,
    why: 'A compiled mapping runs near the speed of code written by hand.',
    fix: 'Nothing to mend.',
  }
}

function invalid(broken: readonly string[]): Finding {
  return {
    status: 'fail',
    detail: broken.join('; '),
    why: 'A route or service that uses such a mapping does not start.',
    fix: 'Mend the files at the places named.',
  }
}

function uncompiled(slow: readonly string[]): Finding {
  return {
    status: 'warn',
    detail: `left to the jsonata package: ${slow.join('; ')}`,
    why: 'What is not compiled to JavaScript runs some hundred times slower.',
    fix: 'Write the expression without what is named, or as a declared mapping, if it runs often.',
  }
}
