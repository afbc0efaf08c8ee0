/** The types of resources that this program knows: those of its transports, and of its security definitions. */
import type { ResourceKinds } from '../core/resource/resource.ts'
import { SECURITY_TYPES } from '../core/security/definitions.ts'
import { transports } from '../transports/index.ts'

export const resourceKinds: ResourceKinds = {
  schemaOf(kind, type) {
    if (kind === 'security') return SECURITY_TYPES.get(type)?.options
    return transports.find(({ name }) => name === type)?.[kind]?.options
  },
  types(kind) {
    if (kind === 'security') return [...SECURITY_TYPES.keys()]
    return transports.filter(transport => transport[kind]).map(({ name }) => name)
  },
}
