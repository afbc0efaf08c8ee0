/** The types of resources that this program knows: those of its transports, of its security definitions, and what is kept on disk. */
import { DURABLE_OPTIONS } from '../actors/messages/options.ts'
import { SCHEDULE_TYPES } from '../actors/schedules/options.ts'
import { ONLY_TYPE, type ResourceKinds } from '../core/resource/resource.ts'
import { SECURITY_TYPES } from '../core/security/definitions.ts'
import { transports } from '../transports/index.ts'

export const resourceKinds: ResourceKinds = {
  schemaOf(kind, type) {
    if (kind === 'security') return SECURITY_TYPES.get(type)?.options
    if (kind === 'schedule') return SCHEDULE_TYPES.get(type)
    if (kind !== 'channel' && kind !== 'connection') {
      return type === ONLY_TYPE[kind] ? DURABLE_OPTIONS[kind] : undefined
    }
    return transports.find(({ name }) => name === type)?.[kind]?.options
  },
  types(kind) {
    if (kind === 'security') return [...SECURITY_TYPES.keys()]
    if (kind === 'schedule') return [...SCHEDULE_TYPES.keys()]
    if (kind !== 'channel' && kind !== 'connection') return [ONLY_TYPE[kind]!]
    return transports.filter(transport => transport[kind]).map(({ name }) => name)
  },
}
