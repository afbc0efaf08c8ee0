/** What operators do to this node: the admin API's other half. Every change is in the chain of acts. */
import { targets } from '../actors/admin/acts.ts'
import type { KeptOperator } from '../actors/admin/kept-operator.ts'
import type {
  Actor,
  ApplyResult,
  AuditView,
  DeployView,
  HealthView,
  NodeView,
  Operator,
  RecordView,
  ReplayResult,
  ResourceView,
  ServiceView,
  Tail,
  TailEvent,
  TailFilter,
  TrailView,
  WantedResource,
  WorkerView,
} from '../actors/admin/operator.ts'
import type { Deployer } from '../actors/deployer.ts'
import type { UnitKind } from '../actors/unit-registry.ts'
import type { AuditPage } from '../core/audit/audit-log.ts'
import type { AuditQuery } from '../core/audit/query.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Node } from '../core/node.ts'
import { writeProjectFile } from '../core/resource/project-file.ts'
import type { ResourceKinds } from '../core/resource/resource.ts'
import { nearest } from '../core/schema.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { KEEPER_SLOT } from '../core/worker/keeper-slot.ts'
import { Acts, doerOf } from './acts.ts'
import { channelApi } from './channel-api.ts'
import { KeeperOperator } from './kept-operator.ts'
import type { LiveResources } from './live-resources.ts'
import type { PolicyGuard } from './policy.ts'
import { ResourceChanges, viewOf } from './resource-changes.ts'
import type { State } from './state.ts'

export interface OperatorParts {
  node: Node
  name: string
  version: string
  settings: Record<string, unknown>
  deployer: Deployer
  resources: LiveResources
  guard: PolicyGuard
  kinds: ResourceKinds
  state: State
  telemetry: {
    metrics(): Promise<string>
    tail(filter: TailFilter, listener: (event: TailEvent) => void): () => void
  }
  log: Logger
}

export class BusOperator implements Operator {
  readonly log: Logger
  readonly kept: KeptOperator
  readonly #parts: OperatorParts
  readonly #acts: Acts
  readonly #changes: ResourceChanges
  readonly #startedAt = Date.now()
  /** Set when the node begins to stop. */
  draining = false

  constructor(parts: OperatorParts) {
    this.#parts = parts
    this.#acts = new Acts(parts.state.acts)
    this.#changes = new ResourceChanges({ ...parts, acts: this.#acts })
    const { node, resources } = parts
    this.kept = new KeeperOperator({ keeper: () => node.host.keeper, resources, acts: this.#acts })
    this.log = parts.log
  }

  denied(actor: Actor, permission: string, target: string): Promise<void> {
    return this.#acts.record({ ...doerOf(actor), what: permission, target, result: 'denied' })
  }

  async node(): Promise<NodeView> {
    const { node, name, version } = this.#parts
    const view = await node.inspect()
    const workers = view.workers.map(worker => ({
      ...worker,
      role: worker.slot === KEEPER_SLOT ? 'keeper' : 'worker',
    })) as WorkerView[]
    return { ...view, name, version, startedAt: this.#startedAt, workers }
  }

  async live(): Promise<HealthView> {
    const workers = this.#parts.node.host.workers
    const alive = workers.some(({ state }) => state !== 'gone')
    return alive ? { ok: true, reasons: [] } : { ok: false, reasons: ['no worker is alive'] }
  }

  async ready(): Promise<HealthView> {
    const reasons: string[] = []
    if (this.draining) reasons.push('the node is stopping')
    if (!this.#parts.node.host.workers.some(({ state }) => state === 'ready'))
      reasons.push('no worker is ready')
    else reasons.push(...(await this.#closedChannels()))
    return { ok: reasons.length === 0, reasons }
  }

  metrics(): Promise<string> {
    return this.#parts.telemetry.metrics()
  }

  scale(actor: Actor, workers: number): Promise<{ workers: number }> {
    const before = this.#parts.node.host.workers.length
    const objects = { before, after: workers }
    return this.#acts.run(doerOf(actor), 'node.scale', targets.workers, objects, async () => {
      await this.#parts.node.scale(workers)
      return { workers: this.#parts.node.host.workers.length }
    })
  }

  async services(): Promise<ServiceView[]> {
    return (await this.#parts.node.host.any().request('services', undefined)) as ServiceView[]
  }

  invoke(actor: Actor, service: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    // Neither what goes in nor what comes out is recorded: messages hold what is nobody's business.
    return this.#acts.run(doerOf(actor), 'service.invoke', targets.service(service), {}, () =>
      this.#invoke(service, payload, timeoutMs),
    )
  }

  async #invoke(service: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    try {
      return await this.#parts.node.invoke(service, payload, timeoutMs)
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      if (error.code !== 'SIGNALBOX_ADDRESS_UNKNOWN') throw error
      const [name, ...key] = service.split('#')
      const names = (await this.services()).map(view => view.name)
      if (names.includes(name!)) throw error
      const near = nearest(name!, names)
      const hint = near ? `; did you mean '${[near, ...key].join('#')}'?` : ''
      throw new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `there is no service '${service}'${hint}`)
    }
  }

  deploy(actor: Actor, file: string, source: string): Promise<DeployView> {
    return this.#deploy(actor, 'service', file, source)
  }

  undeploy(actor: Actor, file: string): Promise<void> {
    return this.#undeploy(actor, 'service', file)
  }

  deployRoute(actor: Actor, file: string, source: string): Promise<DeployView> {
    return this.#deploy(actor, 'route', file, source)
  }

  undeployRoute(actor: Actor, file: string): Promise<void> {
    return this.#undeploy(actor, 'route', file)
  }

  #deploy(actor: Actor, kind: UnitKind, file: string, source: string): Promise<DeployView> {
    const { deployer, guard } = this.#parts
    const target = targets.unitFile(kind, file)
    const before = versionOf(file, deployer.versionOf(file, kind))
    const objects = (after: DeployView | undefined) => ({ before, after: after ?? { file } })
    return this.#acts.run(doerOf(actor), 'service.deploy', target, objects, async () => {
      guard.enforceCode(target)
      return deployer.deploy(file, source, kind)
    })
  }

  #undeploy(actor: Actor, kind: UnitKind, file: string): Promise<void> {
    const { deployer, guard } = this.#parts
    const target = targets.unitFile(kind, file)
    const before = versionOf(file, deployer.versionOf(file, kind))
    return this.#acts.run(doerOf(actor), 'service.deploy', target, { before }, async () => {
      guard.enforceCode(target)
      await deployer.remove(file, kind)
    })
  }

  async resources(kind?: string): Promise<ResourceView[]> {
    const records = this.#parts.resources
      .list()
      .filter(({ value }) => kind === undefined || value.kind === kind)
    return records.map(record => viewOf(record))
  }

  async resource(id: string): Promise<ResourceView> {
    return viewOf(this.#parts.resources.get(id))
  }

  put(actor: Actor, wanted: WantedResource, ifRevision?: number): Promise<ResourceView> {
    return this.#changes.put(doerOf(actor), wanted, ifRevision)
  }

  remove(actor: Actor, id: string, ifRevision?: number): Promise<void> {
    return this.#changes.remove(doerOf(actor), id, ifRevision)
  }

  async ping(id: string): Promise<{ ok: boolean; error?: string }> {
    this.#parts.resources.get(id)
    try {
      await this.#parts.node.ask(id, undefined, 10_000)
      return { ok: true }
    } catch (thrown) {
      const { code, message } = toSignalboxError(thrown, 'SIGNALBOX_NOT_CONNECTED')
      return { ok: false, error: `${code}: ${message}` }
    }
  }

  async diff(yaml: string): Promise<ApplyResult> {
    return this.#changes.diff(yaml)
  }

  apply(actor: Actor, yaml: string, ifEtag?: string): Promise<ApplyResult> {
    return this.#changes.apply(doerOf(actor), yaml, ifEtag)
  }

  async export(): Promise<string> {
    const resources = this.#parts.resources.list().map(({ value }) => value)
    return writeProjectFile(this.#parts.settings, resources)
  }

  async secrets(): Promise<{ name: string; changedAt: number }[]> {
    const records = await this.#parts.state.store.list('secrets')
    return records.map(({ key, changedAt }) => ({ name: key, changedAt }))
  }

  async setSecret(actor: Actor, name: string, value: string): Promise<void> {
    const { vault } = this.#parts.state
    const objects = { before: { exists: await vault.has(name) }, after: { exists: true } }
    await this.#acts.run(doerOf(actor), 'secret.write', targets.secret(name), objects, () =>
      vault.put(name, value),
    )
  }

  async removeSecret(actor: Actor, name: string): Promise<void> {
    const { vault } = this.#parts.state
    const exists = await vault.has(name)
    const objects = { before: { exists }, after: { exists: false } }
    await this.#acts.run(doerOf(actor), 'secret.write', targets.secret(name), objects, async () => {
      if (!exists) throw new SignalboxError('SIGNALBOX_SECRET_UNKNOWN', `there is no secret '${name}'`)
      await vault.delete(name)
    })
  }

  async openapi(): Promise<unknown> {
    const { name, version, resources } = this.#parts
    return channelApi({
      info: { title: name, version },
      channels: resources.current!.channels,
      security: resources.list().flatMap(({ value }) => (value.kind === 'security' ? value : [])),
      services: await this.services(),
      endpoints: await this.#endpoints(),
    })
  }

  tail(actor: Actor, filter: TailFilter): Promise<Tail> {
    const open: Tail = listener => this.#parts.telemetry.tail(filter, listener)
    // To watch messages pass is an act, too.
    return this.#acts.run(doerOf(actor), 'message.read', targets.tail, { after: filter }, async () => open)
  }

  messages(query: AuditQuery): Promise<AuditPage> {
    return this.#keeper('auditSearch', query) as Promise<AuditPage>
  }

  trail(cid: string): Promise<TrailView> {
    return this.#keeper('auditTrail', cid) as Promise<TrailView>
  }

  messageBody(actor: Actor, id: string): Promise<RecordView> {
    const read = () => this.#keeper('auditRecord', id) as Promise<RecordView>
    return this.#acts.run(doerOf(actor), 'message.read', targets.recorded(id), {}, read)
  }

  replay(actor: Actor, id: string, timeoutMs: number): Promise<ReplayResult> {
    const objects = (result: ReplayResult | undefined) => (result ? { after: result } : {})
    return this.#acts.run(doerOf(actor), 'message.replay', targets.recorded(id), objects, async () => {
      return (await this.#keeper('auditReplay', { id, timeoutMs })) as ReplayResult
    })
  }

  async #keeper(verb: string, payload: unknown): Promise<unknown> {
    const keeper = await this.#parts.node.host.startKeeper()
    return keeper.request(verb, payload)
  }

  async audit(after: number, limit: number): Promise<AuditView[]> {
    const entries: AuditView[] = []
    const page = await this.#parts.state.store.list<AuditEntry>('acts', { after: pad(after), limit })
    for (const { value } of page) entries.push({ ...value, at: Date.parse(value.at) })
    return entries
  }

  async verifyAudit(): Promise<{ brokenAt: number | undefined; entries: number }> {
    const report = await this.#parts.state.acts.verify()
    return report.ok
      ? { brokenAt: undefined, entries: report.entries }
      : { brokenAt: report.seq, entries: report.seq }
  }

  /** Where the channels listen, by address. */
  async #endpoints(): Promise<Map<string, string>> {
    const { workers } = await this.#parts.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
    return new Map(actors.flatMap(({ address, endpoint }) => (endpoint ? [[address, endpoint]] : [])))
  }

  async #closedChannels(): Promise<string[]> {
    const { workers } = await this.#parts.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; connection?: string }[])
    const closed = actors.filter(
      ({ address, connection }) => address.startsWith('channel/') && connection !== 'open',
    )
    return [...new Set(closed.map(({ address, connection }) => `${address} is ${connection}`))]
  }
}

function versionOf(file: string, version: string | undefined): { file: string; version: string } | undefined {
  return version === undefined ? undefined : { file, version }
}

type AuditEntry = Omit<AuditView, 'at'> & { at: string }

function pad(seq: number): string {
  return String(seq).padStart(12, '0')
}
