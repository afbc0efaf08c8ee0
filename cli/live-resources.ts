/**
 * The resources of a running node: kept in the store as they were written, run by the workers with their secrets
 * filled in. A change is tried on one worker first; when that fails nothing has changed.
 */

import type { ChangeView } from '../actors/admin/operator.ts'
import type { DeployWorker } from '../actors/deployer.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import { diff } from '../core/resource/diff.ts'
import { withFilePaths } from '../core/resource/file-paths.ts'
import { resolveOptions } from '../core/resource/option-values.ts'
import type { EffectiveResource } from '../core/resource/policy-facts.ts'
import { idOf, type Resource, type ResourceKinds, secretsOf } from '../core/resource/resource.ts'
import type { ReferenceSources } from '../core/security/references.ts'
import type { Change, Store, StoreRecord } from '../core/store/store.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { withPort } from './ports.ts'
import type { BootConfig } from './worker-boot.ts'

const COLLECTION = 'resources'

export interface LiveResourcesOptions {
  store: Store
  kinds: ResourceKinds
  sources: ReferenceSources
  /** Folder of the project: files in options are relative to it. */
  root: string
  /** Throws when the security policy refuses resources that are to be run. */
  enforce(resources: readonly EffectiveResource[]): void
  /** The workers that run now. */
  workers: () => DeployWorker[]
  log: Logger
}

/** One step of a change on a worker, and what takes it back. */
interface Step {
  verb: string
  payload: unknown
  undo: { verb: string; payload: unknown } | undefined
}

export class LiveResources {
  readonly #options: LiveResourcesOptions
  readonly #records = new Map<string, StoreRecord<Resource>>()
  #queue: Promise<unknown> = Promise.resolve()
  #current: BootConfig | undefined

  constructor(options: LiveResourcesOptions) {
    this.#options = options
  }

  /** Reads what the store has. */
  async load(): Promise<void> {
    for (const record of await this.#options.store.list<Resource>(COLLECTION))
      this.#records.set(record.key, record)
  }

  /** What a worker is started with now. */
  get current(): BootConfig | undefined {
    return this.#current
  }

  /** The workers run this from the start on. */
  begin(config: BootConfig): void {
    this.#current = config
  }

  /** Makes the store have exactly these, before any worker runs. */
  async seed(wanted: readonly Resource[]): Promise<ChangeView[]> {
    const changes = this.diff(wanted)
    await this.#store(changes, wanted, new Map())
    return changes
  }

  list(): StoreRecord<Resource>[] {
    return [...this.#records.values()]
  }

  get(id: string): StoreRecord<Resource> {
    const record = this.#records.get(id)
    if (record) return record
    throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no resource ${id}`, { details: { id } })
  }

  /** What would change if these were all. */
  diff(wanted: readonly Resource[]): ChangeView[] {
    return diff(this.#resources(), wanted, secretsOf(this.#options.kinds))
  }

  /** Resources with the options that workers would get. */
  effective(resources: readonly Resource[]): Promise<EffectiveResource[]> {
    return Promise.all(
      resources.map(async resource => ({ resource, options: (await this.#resolved(resource)).options })),
    )
  }

  /** What the resources say that a worker is started with. */
  async bootConfig(): Promise<BootConfig> {
    const { root } = this.#options
    const of = (kind: string) => this.#resources().filter(resource => resource.kind === kind)
    return {
      root,
      security: await Promise.all(of('security').map(resource => this.#resolved(resource))),
      connections: await Promise.all(of('connection').map(resource => this.#resolved(resource))),
      channels: await Promise.all(of('channel').map(resource => this.#resolved(resource))),
    }
  }

  /**
   * Makes the node run exactly these. Rejects with SIGNALBOX_POLICY_REFUSED, or with the error of the first that does
   * not start; everything is as it was before then.
   */
  apply(
    wanted: readonly Resource[],
    ifRevisions: ReadonlyMap<string, number> = new Map(),
  ): Promise<ChangeView[]> {
    const result = this.#queue.then(() => this.#apply(wanted, ifRevisions))
    this.#queue = result.catch(() => {})
    return result
  }

  /** All resources with one of them put in or taken out. */
  with(resource: Resource): Resource[] {
    return [...this.#resources().filter(other => idOf(other) !== idOf(resource)), resource]
  }

  without(id: string): Resource[] {
    return this.#resources().filter(other => idOf(other) !== id)
  }

  async #apply(wanted: readonly Resource[], ifRevisions: ReadonlyMap<string, number>): Promise<ChangeView[]> {
    const changes = this.diff(wanted)
    const changed = wanted.filter(resource => changes.some(({ id }) => id === idOf(resource)))
    this.#options.enforce(await this.effective(changed))
    const steps = await this.#steps(changes, wanted)
    await this.#run(steps)
    try {
      await this.#store(changes, wanted, ifRevisions)
    } catch (error) {
      await this.#undo(steps, this.#options.workers())
      throw error
    }
    await this.#refresh(steps)
    return changes
  }

  /** What workers that start from now on are given: ports that were chosen stay. */
  async #refresh(steps: readonly Step[]): Promise<void> {
    const before = this.#current!
    const next = await this.bootConfig()
    const put = new Map(
      steps
        .filter(({ verb }) => verb === 'putChannel')
        .map(({ payload }) => {
          const channel = payload as EndpointConfig
          return [channel.name, channel]
        }),
    )
    const old = new Map(before.channels.map(channel => [channel.name, channel]))
    this.#current = {
      ...next,
      channels: next.channels.map(({ name }, i) => put.get(name) ?? old.get(name) ?? next.channels[i]!),
    }
  }

  /** Definitions and connections come before the channels that need them, and go after them. */
  async #steps(changes: readonly ChangeView[], wanted: readonly Resource[]): Promise<Step[]> {
    const steps: Step[] = []
    const after = new Map(wanted.map(resource => [idOf(resource), resource]))
    const changed = (kind: string) => changes.filter(({ id }) => id.startsWith(`${kind}/`))
    if (changed('security').length > 0) steps.push(await this.#securityStep(wanted))
    for (const kind of ['connection', 'channel'] as const) {
      for (const { id, action } of changed(kind)) {
        const before = this.#records.get(id)?.value
        steps.push(await this.#endpointStep(kind, action === 'delete' ? undefined : after.get(id), before))
      }
    }
    return steps
  }

  async #securityStep(wanted: readonly Resource[]): Promise<Step> {
    const configs = (resources: readonly Resource[]) =>
      Promise.all(
        resources.filter(({ kind }) => kind === 'security').map(resource => this.#resolved(resource)),
      )
    return {
      verb: 'putSecurity',
      payload: await configs(wanted),
      undo: { verb: 'putSecurity', payload: await configs(this.#resources()) },
    }
  }

  async #endpointStep(
    kind: 'channel' | 'connection',
    wanted: Resource | undefined,
    before: Resource | undefined,
  ): Promise<Step> {
    const [put, remove] =
      kind === 'channel' ? ['putChannel', 'removeChannel'] : ['putConnection', 'removeConnection']
    const restore = before
      ? { verb: put, payload: await this.#resolved(before) }
      : { verb: remove, payload: wanted!.name }
    const running = this.#current?.channels.find(({ name }) => name === wanted?.name)
    return wanted
      ? { verb: put, payload: await withPortOf(await this.#resolved(wanted), kind, running), undo: restore }
      : { verb: remove, payload: before!.name, undo: restore }
  }

  /** One worker goes first; the others follow only when it could do all. */
  async #run(steps: readonly Step[]): Promise<void> {
    const [first, ...others] = this.#options.workers()
    if (!first)
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1_000 })
    const done: Step[] = []
    try {
      for (const step of steps) {
        await first.request(step.verb, step.payload)
        done.push(step)
      }
      await Promise.all(others.map(worker => runAll(worker, steps)))
    } catch (thrown) {
      await this.#undo(done, [first, ...others])
      throw toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    }
  }

  async #undo(steps: readonly Step[], workers: readonly DeployWorker[]): Promise<void> {
    const back = steps.toReversed().flatMap(({ undo }) => undo ?? [])
    for (const worker of workers) {
      await runAll(worker, back).catch(error =>
        this.#options.log.error({ err: error }, 'a change could not be taken back; the worker is replaced'),
      )
    }
  }

  async #store(
    changes: readonly ChangeView[],
    wanted: readonly Resource[],
    ifRevisions: ReadonlyMap<string, number>,
  ): Promise<void> {
    const after = new Map(wanted.map(resource => [idOf(resource), resource]))
    const steps = changes.map(({ id }): Change => {
      const ifRevision = ifRevisions.get(id)
      const guard = ifRevision === undefined ? {} : { ifRevision }
      const value = after.get(id)
      return value
        ? { type: 'put', collection: COLLECTION, key: id, value, ...guard }
        : { type: 'delete', collection: COLLECTION, key: id, ...guard }
    })
    if (steps.length === 0) return
    const outcomes = await this.#options.store.transact(steps)
    outcomes.forEach((outcome, i) => {
      if (outcome.type === 'put')
        this.#records.set(outcome.record.key, outcome.record as StoreRecord<Resource>)
      else this.#records.delete(changes[i]!.id)
    })
  }

  #resources(): Resource[] {
    return Array.from(this.#records.values(), ({ value }) => value)
  }

  /** What a worker runs: references replaced, defaults filled in. */
  async #resolved({ kind, type, name, options, security }: Resource): Promise<EndpointConfig> {
    const { kinds, sources, root } = this.#options
    const schema = kinds.schemaOf(kind, type)!
    const complete = await resolveOptions(schema, options, `options of ${kind} ${name}`, sources)
    return { name, type, options: withFilePaths(schema, complete, root), ...(security && { security }) }
  }
}

async function runAll(
  worker: DeployWorker,
  steps: readonly { verb: string; payload: unknown }[],
): Promise<void> {
  for (const { verb, payload } of steps) await worker.request(verb, payload)
}

/** A channel on any free port keeps the one it has; a new one gets the same in all workers. */
async function withPortOf(
  config: EndpointConfig,
  kind: string,
  running: EndpointConfig | undefined,
): Promise<EndpointConfig> {
  const options = config.options as { port?: number }
  if (kind !== 'channel' || options.port !== 0) return config
  const port = (running?.options as { port?: number } | undefined)?.port
  return port === undefined ? withPort(config) : { ...config, options: { ...options, port } }
}
