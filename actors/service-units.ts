/** Services as units of code. */
import type { ActorSystem } from '../core/actor/index.ts'
import { SignalboxError } from '../core/errors.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { type LoadedService, loadService, loadServices } from '../core/service/load.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { servicePlacement } from './service-host.ts'
import type { UnitSource, UnitView } from './unit-registry.ts'

/** What is known of a service that runs. */
export interface ServiceView extends UnitView {
  /** JSON Schemas, where the service declares them. */
  input?: unknown
  output?: unknown
}

const PLACEMENTS = ['everyWorker', 'singleton', 'keyed']
const BALANCES = ['localFirst', 'roundRobin', 'leastBusy']

export function serviceUnits(system: ActorSystem, ports: ServicePorts): UnitSource<LoadedService> {
  return {
    kind: 'service',
    invalid: 'SIGNALBOX_SERVICE_INVALID',
    load: loadService,
    loadAll: async (folder, versionOf) => {
      const { services, errors } = await loadServices(folder, versionOf)
      return { units: services, errors }
    },
    prepare({ name, type, file }) {
      checkSetting(file, 'placement', type.placement, PLACEMENTS)
      checkSetting(file, 'balance', type.balance, BALANCES)
      const runner = new ServiceRunner(name, type, ports)
      const { description, input, output } = type
      const view = {
        ...(description && { description }),
        ...(input && { input: JSON.parse(JSON.stringify(input)) as unknown }),
        ...(output && { output: JSON.parse(JSON.stringify(output)) as unknown }),
      }
      return { placement: servicePlacement(system, runner), view }
    },
  }
}

/** Throws SIGNALBOX_SERVICE_INVALID for a value that is none of those there are; absent is fine. */
function checkSetting(file: string, setting: string, value: unknown, known: string[]): void {
  if (value === undefined || known.includes(value as string)) return
  const message = `${file}: ${setting} is one of ${known.join(', ')}, not '${String(value)}'`
  throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', message, { details: { file } })
}
