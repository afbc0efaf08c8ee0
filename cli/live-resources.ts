/**
 * The resources of a running node: kept in the store as they were written, run by the workers with their secrets
 * filled in. A change is tried on one worker first; when that fails nothing has changed.
 */

import { createHash } from 'node:crypto'
import type { ChangeView } from '../actors/admin/operator.ts'
import type { DeployWorker } from '../actors/deployer.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import type { SubscriptionResource } from '../actors/messages/options.ts'
import type { AuditSettings } from '../core/audit/policy.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import { diff } from '../core/resource/diff.ts'
import { withFilePaths } from '../core/resource/file-paths.ts'
import { resolveOptions } from '../core/resource/option-values.ts'
import type { EffectiveResource } from '../core/resource/policy-facts.ts'
import {
  idOf,
  RESOURCE_KINDS,
  type Resource,
  type ResourceKind,
  type ResourceKinds,
  secretsOf,
} from '../core/resource/resource.ts'
import type { ReferenceSources } from '../core/security/references.ts'
import type { Change, Store, StoreRecord } from '../core/store/store.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { KeeperConfig } from './keeper-boot.ts'
import { consumerOf, consumersOf, isKept, type KeptKind, keeperConfig } from './kept.ts'
import { withPort } from './ports.ts'
import type { BootConfig } from './worker-boot.ts'

const COLLECTION = 'resources'
const ETAG_CHARS = 22

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
  /** Starts the keeper, unless it runs. */
  keeper: () => Promise<DeployWorker>
  /** Where the keeper keeps everything. */
  keptFolder: string
  /** What of messages is recorded. */
  audit: AuditSettings
  log: Logger
}

type Wanted = readonly Resource[] | (() => readonly Resource[])

/** What must be as it was when somebody decided on a change. */
export interface Expected {
  /** Revisions by id; 0: there is none. */
  revisions?: ReadonlyMap<string, number> | undefined
  /** The {@link LiveResources.etag} of everything. */
  etag?: string | undefined
}

/** One step of a change on a worker, and what takes it back. */
interface Step {
  /** Every worker does it, or the keeper alone. */
  on: 'workers' | 'keeper'
  verb: string
  payload: unknown
  undo: { verb: string; payload: unknown } | undefined
}

type Action = Pick<Step, 'on' | 'verb' | 'payload'>

export class LiveResources {
  readonly #options: LiveResourcesOptions
  readonly #records = new Map<string, StoreRecord<Resource>>()
  #queue: Promise<unknown> = Promise.resolve()
  #current: BootConfig | undefined
  #keeper: KeeperConfig | undefined

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

  /** What the keeper is started with now. */
  get keeper(): KeeperConfig | undefined {
    return this.#keeper
  }

  /** Whether there is anything that workers send to from their start on. */
  get keepsMessages(): boolean {
    return this.#resources().some(({ kind }) => isKept(kind) && kind !== 'schedule')
  }

  /** The workers run this from the start on. */
  begin(config: BootConfig): void {
    this.#current = config
  }

  /** Makes the store have exactly these, before any worker runs. */
  async seed(wanted: readonly Resource[]): Promise<ChangeView[]> {
    const changes = this.diff(wanted)
    await this.#store(changes, wanted)
    return changes
  }

  /**
   * Names the state of all resources: it is another after any change, also when something was removed, or removed and
   * made again, because no revision is used twice.
   */
  get etag(): string {
    const hash = createHash('sha256')
    for (const [id, { revision }] of [...this.#records].sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`${id}@${revision}\n`)
    }
    return hash.digest('base64url').slice(0, ETAG_CHARS)
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
    const complete: Partial<Record<ResourceKind, EndpointConfig[]>> = {}
    for (const resource of this.#resources()) {
      complete[resource.kind] = [...(complete[resource.kind] ?? []), await this.#resolved(resource)]
    }
    const { audit, keptFolder } = this.#options
    this.#keeper = { ...keeperConfig(keptFolder, complete), audit }
    const { security = [], connection = [], channel = [] } = complete
    const consumers = consumersOf(complete)
    const endpoints = { connections: connection, channels: channel }
    return { root, keepsState: true, security, ...endpoints, consumers, audit }
  }

  /**
   * Makes the node run exactly these. Rejects with SIGNALBOX_POLICY_REFUSED, or with the error of the first that does
   * not start; everything is as it was before then. Rejects with SIGNALBOX_STORE_CONFLICT, before anything is tried, when
   * something is not as expected. A function is asked for what is wanted when its turn has come, so that what others
   * changed meanwhile stays.
   */
  apply(wanted: Wanted, expected: Expected = {}): Promise<ChangeView[]> {
    const result = this.#queue.then(() => this.#apply(wanted, expected))
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

  async #apply(asked: Wanted, expected: Expected): Promise<ChangeView[]> {
    this.#expect(expected)
    const wanted = typeof asked === 'function' ? asked() : asked
    const changes = this.diff(wanted)
    const changed = wanted.filter(resource => changes.some(({ id }) => id === idOf(resource)))
    this.#options.enforce(await this.effective(changed))
    const steps = await this.#steps(changes, wanted)
    await this.#run(steps)
    try {
      await this.#store(changes, wanted)
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
    for (const kind of RESOURCE_KINDS) {
      if (kind === 'security') continue
      for (const { id, action } of changed(kind)) {
        const before = this.#records.get(id)?.value
        const next = action === 'delete' ? undefined : after.get(id)
        if (isKept(kind)) steps.push(...(await this.#keptSteps(kind, next, before)))
        else steps.push(await this.#endpointStep(kind, next, before))
      }
    }
    // What others need comes before them, and goes after them.
    const removals = steps.filter(({ verb }) => verb.startsWith('remove'))
    return [...steps.filter(({ verb }) => !verb.startsWith('remove')), ...removals.reverse()]
  }

  /** The keeper opens a queue before the workers consume from it. */
  async #keptSteps(
    kind: KeptKind,
    wanted: Resource | undefined,
    before: Resource | undefined,
  ): Promise<Step[]> {
    const [next, old] = await Promise.all([
      wanted && this.#resolved(wanted),
      before && this.#resolved(before),
    ])
    const steps: Step[] = []
    if (next && old && kind === 'subscription' && topicOf(next) !== topicOf(old)) {
      steps.push({ on: 'keeper', ...removeKept(kind, old), undo: putKept(kind, old) })
    }
    steps.push({
      on: 'keeper',
      ...(next ? putKept(kind, next) : removeKept(kind, old!)),
      undo: old && topicOf(old) === topicOf(next ?? old) ? putKept(kind, old) : removeKept(kind, next!),
    })
    const consumer = next && consumerOf(kind, next)
    const oldConsumer = old && consumerOf(kind, old)
    if (!consumer && !oldConsumer) return steps
    const put = (payload: unknown) => ({ verb: 'putConsumer', payload })
    const remove = (payload: unknown) => ({ verb: 'removeConsumer', payload })
    steps.push({
      on: 'workers',
      ...(consumer ? put(consumer) : remove(oldConsumer)),
      undo: oldConsumer ? put(oldConsumer) : remove(consumer),
    })
    return steps
  }

  async #securityStep(wanted: readonly Resource[]): Promise<Step> {
    const configs = (resources: readonly Resource[]) =>
      Promise.all(
        resources.filter(({ kind }) => kind === 'security').map(resource => this.#resolved(resource)),
      )
    return {
      on: 'workers',
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
      ? {
          on: 'workers',
          verb: put,
          payload: await withPortOf(await this.#resolved(wanted), kind, running),
          undo: restore,
        }
      : { on: 'workers', verb: remove, payload: before!.name, undo: restore }
  }

  /** One worker goes first; the others follow only when it could do all. */
  async #run(steps: readonly Step[]): Promise<void> {
    const [first, ...others] = this.#options.workers()
    if (!first)
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1_000 })
    const done: Step[] = []
    try {
      for (const step of steps) {
        const worker = step.on === 'keeper' ? await this.#options.keeper() : first
        await worker.request(step.verb, step.payload)
        done.push(step)
      }
      await Promise.all(others.map(worker => runAll(worker, ofWorkers(steps))))
    } catch (thrown) {
      await this.#undo(done, [first, ...others])
      throw toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    }
  }

  async #undo(steps: readonly Step[], workers: readonly DeployWorker[]): Promise<void> {
    const back = steps.toReversed().flatMap(({ on, undo }): Action[] => (undo ? [{ on, ...undo }] : []))
    const failed = (error: unknown) =>
      this.#options.log.error({ err: error }, 'a change could not be taken back; the worker is replaced')
    for (const worker of workers) await runAll(worker, ofWorkers(back)).catch(failed)
    const kept = back.filter(({ on }) => on === 'keeper')
    if (kept.length > 0) await runAll(await this.#options.keeper(), kept).catch(failed)
  }

  #expect({ revisions = new Map(), etag }: Expected): void {
    const conflicts = Array.from(revisions, ([id, wanted]) => ({
      id,
      wanted,
      revision: this.#records.get(id)?.revision ?? 0,
    })).filter(({ wanted, revision }) => wanted !== revision)
    if (conflicts.length > 0) {
      const list = conflicts.map(({ id, revision }) => (revision ? `${id} is ${revision}` : `${id} is gone`))
      const message = `the revision is not the one that was expected: ${list.join(', ')}`
      throw new SignalboxError('SIGNALBOX_STORE_CONFLICT', message, { details: { conflicts } })
    }
    if (etag === undefined || etag === this.etag) return
    const message = 'somebody else has changed resources since the difference was made; nothing was applied'
    const fix = 'Look at the difference again (`signalbox diff`), then apply it.'
    throw new SignalboxError('SIGNALBOX_STORE_CONFLICT', message, { details: { etag: this.etag, fix } })
  }

  async #store(changes: readonly ChangeView[], wanted: readonly Resource[]): Promise<void> {
    const after = new Map(wanted.map(resource => [idOf(resource), resource]))
    const steps = changes.map(({ id }): Change => {
      // Somebody beside this node may have written: what it has seen last must be what is there.
      const guard = { ifRevision: this.#records.get(id)?.revision ?? 0 }
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

async function runAll(worker: DeployWorker, steps: readonly Action[]): Promise<void> {
  for (const { verb, payload } of steps) await worker.request(verb, payload)
}

function ofWorkers<T extends Action>(steps: readonly T[]): T[] {
  return steps.filter(({ on }) => on === 'workers')
}

function putKept(kind: KeptKind, config: EndpointConfig): { verb: string; payload: unknown } {
  const verbs = {
    queue: 'putQueue',
    topic: 'putTopic',
    subscription: 'putSubscription',
    schedule: 'putSchedule',
  }
  const verb = verbs[kind]
  return { verb, payload: config }
}

function removeKept(kind: KeptKind, { name, options }: EndpointConfig): { verb: string; payload: unknown } {
  if (kind === 'schedule') return { verb: 'removeSchedule', payload: name }
  if (kind !== 'subscription') return { verb: 'removeLog', payload: { kind, name } }
  return { verb: 'removeSubscription', payload: { name, topic: topicOf({ options }) } }
}

/** Undefined for what is no subscription. */
function topicOf({ options }: { options: unknown }): string | undefined {
  return (options as Partial<SubscriptionResource>).topic
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
