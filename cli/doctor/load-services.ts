/** Loads the services of a project and prints which did and which did not, as one line of JSON. */
import { join } from 'node:path'
import { loadServices } from '../../core/service/load.ts'
import type { LoadReport } from './project.ts'

const { services, errors } = await loadServices(join(process.argv[2]!, 'services'))
const report: LoadReport = {
  services: services.map(({ name }) => name),
  errors: errors.map(({ message }) => message),
}
process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0))
