/** The kinds of security definitions, by type. A new kind is one file and one line here. */
import { systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { nearest, parseOptions } from '../schema.ts'
import { apiKey } from './api-key.ts'
import { basic } from './basic.ts'
import type { SecurityContext, SecurityDefinition, SecurityDefinitionType } from './definition.ts'
import { jwt } from './jwt.ts'
import { mtls } from './mtls.ts'

const KINDS: readonly SecurityDefinitionType[] = [
  apiKey,
  basic,
  jwt,
  mtls,
] as unknown as SecurityDefinitionType[]

/** All kinds, by type. */
export const SECURITY_TYPES: ReadonlyMap<string, SecurityDefinitionType> = new Map(
  KINDS.map(kind => [kind.type, kind]),
)

/**
 * Makes a security definition of a type from its options; references in them are resolved already.
 * Throws SIGNALBOX_OPTIONS_INVALID with all problems; values of secrets are not in the message.
 */
export function createSecurityDefinition(
  name: string,
  type: string,
  options: unknown,
  context: SecurityContext = { clock: systemClock },
): SecurityDefinition {
  const kind = SECURITY_TYPES.get(type)
  if (kind === undefined) {
    const known = [...SECURITY_TYPES.keys()]
    const near = nearest(type, known)
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `security definition ${name}: there is no type '${type}'; ${near ? `did you mean '${near}'?` : `use one of ${known.join(', ')}`}`,
    )
  }
  return kind.create(name, parseOptions(kind.options, options, `security definition ${name}`), context)
}
