/** Loads the mappings of a project and prints what became of each file, as one line of JSON. */
import { join } from 'node:path'
import { loadMappings } from '../../core/message/map/load.ts'
import type { MappingReport } from './mappings.ts'

const files = await loadMappings(join(process.argv[2]!, 'mappings'))
const report: MappingReport = {
  mappings: files.map(result =>
    'error' in result
      ? { file: result.file, error: result.error.message }
      : { file: result.file, fallback: result.mapping.fallback },
  ),
}
process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0))
