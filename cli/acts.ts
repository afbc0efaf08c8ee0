/** Records what people and files do to a node in the chain of administrative acts. */
import type { Actor } from '../actors/admin/operator.ts'
import { toSignalboxError } from '../core/errors.ts'
import { step } from '../core/resource/option-values.ts'
import { idOf, type Resource, type ResourceKinds, secretsOf } from '../core/resource/resource.ts'
import type { Act, AuditChain } from '../core/security/chain.ts'

/** What an act is about. `before` and `after` never hold the value of a secret. */
export type Objects = Pick<Act, 'before' | 'after' | 'secretPointers'>

/** Who did something: a token, the file system, the start of the node. */
export type Doer = Pick<Act, 'who' | 'remoteAddress'>

/** The name of an actor in the chain. */
export function doerOf({ name, remoteAddress }: Actor): Doer {
  return { who: `admin-token/${name}`, ...(remoteAddress !== undefined && { remoteAddress }) }
}

export class Acts {
  readonly #chain: AuditChain

  constructor(chain: AuditChain) {
    this.#chain = chain
  }

  /** Does something and records it, whether it succeeds or not. `objects` may depend on what came of it. */
  async run<T>(
    doer: Doer,
    what: string,
    target: string,
    objects: Objects | ((value: T | undefined) => Objects),
    run: () => Promise<T>,
  ): Promise<T> {
    const about = (value: T | undefined) => (typeof objects === 'function' ? objects(value) : objects)
    const record = (result: string, value: T | undefined) =>
      this.record({ ...doer, what, target, ...about(value), result })
    let value: T
    try {
      value = await run()
    } catch (thrown) {
      await record(toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED').code, undefined)
      throw thrown
    }
    await record('ok', value)
    return value
  }

  /** Records what was done, or refused. Resolves when it is on disk. */
  async record(act: Act): Promise<void> {
    await this.#chain.append(act)
  }
}

/** One resource before and after; its secrets are masked. */
export function objectsOf(
  kinds: ResourceKinds,
  before: Resource | undefined,
  after: Resource | undefined,
): Objects {
  const secrets = secretsOf(kinds)
  const pointers = [before, after].flatMap(resource => (resource ? secrets(resource) : []))
  return { before, after, secretPointers: pointers.map(pointer => `/options${pointer}`) }
}

/** Several resources before and after, by their ids; their secrets are masked. */
export function objectsOfAll(
  kinds: ResourceKinds,
  ids: readonly string[],
  current: readonly Resource[],
  wanted: readonly Resource[],
): Objects {
  const secrets = secretsOf(kinds)
  const named = (resources: readonly Resource[]) =>
    Object.fromEntries(resources.filter(one => ids.includes(idOf(one))).map(one => [idOf(one), one] as const))
  const [before, after] = [named(current), named(wanted)]
  const secretPointers = [...Object.values(before), ...Object.values(after)].flatMap(resource =>
    secrets(resource).map(pointer => `/${step(idOf(resource))}/options${pointer}`),
  )
  return { before, after, secretPointers }
}
