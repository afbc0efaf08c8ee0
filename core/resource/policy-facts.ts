/** What the security policy wants to know of resources and settings. */
import type { PolicyFacts } from '../security/policy.ts'
import { isReference } from '../security/references.ts'
import { plainTextSecrets } from '../security/secret-paths.ts'
import { filePointers } from './file-paths.ts'
import { step } from './option-values.ts'
import { idOf, type Resource, type ResourceKinds } from './resource.ts'

/** A resource, with its options as the transport will see them as far as they are known. */
export interface EffectiveResource {
  resource: Resource
  options: unknown
}

type Environment = Readonly<Record<string, string | undefined>>

/** What is kept as a hash is no secret that opens anything by itself. */
const HASH = /hash$/i

/** The facts of resources: secrets that are written down, and TLS checks that are off. */
export function factsOfResources(
  resources: readonly EffectiveResource[],
  kinds: ResourceKinds,
): Required<Pick<PolicyFacts, 'plainTextSecrets' | 'disabledTlsChecks'>> {
  return {
    plainTextSecrets: resources.flatMap(({ resource }) => secretsIn(resource, kinds)),
    disabledTlsChecks: resources.flatMap(({ resource, options }) => uncheckedIn(resource, options)),
  }
}

/** The facts of the settings, as they were written. `admin`: where the admin API listens. */
export function factsOfSettings(
  settings: Readonly<Record<string, unknown>>,
  admin: PolicyFacts['admin'],
  environment: Environment = process.env,
): PolicyFacts {
  const secretKey = (settings.network as { secretKey?: unknown } | undefined)?.secretKey
  const isWritten = typeof secretKey === 'string' && secretKey !== '' && !isReference(secretKey)
  return {
    plainTextSecrets: isWritten ? ['signalbox.yaml /network/secretKey'] : [],
    // Switches verification off for all TLS of the process that does not ask for it by itself.
    disabledTlsChecks:
      environment.NODE_TLS_REJECT_UNAUTHORIZED === '0'
        ? ['environment variable NODE_TLS_REJECT_UNAUTHORIZED']
        : [],
    admin,
  }
}

/** All facts together. */
export function joinFacts(...all: readonly PolicyFacts[]): PolicyFacts {
  return {
    plainTextSecrets: all.flatMap(facts => facts.plainTextSecrets ?? []),
    disabledTlsChecks: all.flatMap(facts => facts.disabledTlsChecks ?? []),
    admin: all.find(facts => facts.admin)?.admin,
    codeDeployment: all.flatMap(facts => facts.codeDeployment ?? []),
  }
}

function secretsIn(resource: Resource, kinds: ResourceKinds): string[] {
  const schema = kinds.schemaOf(resource.kind, resource.type)
  if (!schema) return []
  // The path of a file stands in the place of the secret itself.
  const files = new Set(filePointers(schema, resource.options))
  return plainTextSecrets(schema, resource.options)
    .filter(pointer => !files.has(pointer) && !HASH.test(pointer))
    .map(pointer => `${idOf(resource)} /options${pointer}`)
}

function uncheckedIn(resource: Resource, options: unknown): string[] {
  const found: string[] = []
  const walk = (value: unknown, pointer: string): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      const place = `${pointer}/${step(key)}`
      if (key === 'rejectUnauthorized' && inner === false) found.push(`${idOf(resource)} ${place}`)
      else walk(inner, place)
    }
  }
  walk(options, '/options')
  return found
}
