/** The JSON Schema of signalbox.yaml that editors use, with the options of every transport. */
import { projectFileSchema } from '../../core/resource/project-schema.ts'
import { TelemetryOptions } from '../../core/telemetry/options.ts'
import { resourceKinds } from '../resource-kinds.ts'

/** Its name in the published package; projects that `signalbox init` made refer to it. */
export const SCHEMA_FILE = 'signalbox.schema.json'

/** The schema of this program's signalbox.yaml. */
export function ownSchema(): Record<string, unknown> {
  return projectFileSchema(resourceKinds, { telemetry: TelemetryOptions })
}
