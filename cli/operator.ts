/** What operators do to this node: the admin API's other half. Every change is in the chain of acts. */
import {
  type ChannelApi,
  type ChannelRoute,
  channelOpenapi,
  type SecurityDefinition,
} from '../actors/admin/channel-openapi.ts'
import type {
  Actor,
  ApplyResult,
  AuditView,
  DeployView,
  HealthView,
  NodeView,
  Operator,
  ResourceView,
  ServiceView,
  TailEvent,
  TailFilter,
  WorkerView,
} from '../actors/admin/operator.ts'
import type { Deployer } from '../actors/deployer.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Node } from '../core/node.ts'
import { renderDiff } from '../core/resource/diff.ts'
import { parseProjectFile, writeProjectFile } from '../core/resource/project-file.ts'
import { checkResource, idOf, type Resource, type ResourceKinds } from '../core/resource/resource.ts'
import { nearest } from '../core/schema.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { TelemetryOptions } from '../core/telemetry/options.ts'
import type { LiveResources } from './live-resources.ts'
import type { State } from './state.ts'

export interface OperatorParts {
  node: Node
  name: string
  version: string
  settings: Record<string, unknown>
  deployer: Deployer
  resources: LiveResources
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
  readonly #parts: OperatorParts
  readonly #startedAt = Date.now()
  /** Set when the node begins to stop. */
  draining = false

  constructor(parts: OperatorParts) {
    this.#parts = parts
    this.log = parts.log
  }

  async node(): Promise<NodeView> {
    const { node, name, version } = this.#parts
    const view = await node.inspect()
    const workers = view.workers as unknown as WorkerView[]
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
    return this.#act(actor, 'node.scale', 'workers', { before, after: workers }, async () => {
      await this.#parts.node.scale(workers)
      return { workers: this.#parts.node.host.workers.length }
    })
  }

  async services(): Promise<ServiceView[]> {
    return (await this.#parts.node.host.any().request('services', undefined)) as ServiceView[]
  }

  async invoke(_actor: Actor, service: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    try {
      return await this.#parts.node.invoke(service, payload, timeoutMs)
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      if (error.code !== 'SIGNALBOX_ADDRESS_UNKNOWN') throw error
      const names = (await this.services()).map(({ name }) => name)
      const near = nearest(service, names)
      const hint = near ? `; did you mean '${near}'?` : ''
      throw new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `there is no service '${service}'${hint}`)
    }
  }

  deploy(actor: Actor, file: string, source: string): Promise<DeployView> {
    return this.#act(actor, 'service.deploy', `service-file/${file}`, { after: { file } }, () =>
      this.#parts.deployer.deploy(file, source),
    )
  }

  undeploy(actor: Actor, file: string): Promise<void> {
    return this.#act(actor, 'service.deploy', `service-file/${file}`, { before: { file } }, () =>
      this.#parts.deployer.remove(file),
    )
  }

  deployRoute(actor: Actor, file: string, source: string): Promise<DeployView> {
    return this.#act(actor, 'service.deploy', `route-file/${file}`, { after: { file } }, () =>
      this.#parts.deployer.deploy(file, source, 'route'),
    )
  }

  undeployRoute(actor: Actor, file: string): Promise<void> {
    return this.#act(actor, 'service.deploy', `route-file/${file}`, { before: { file } }, () =>
      this.#parts.deployer.remove(file, 'route'),
    )
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

  async put(actor: Actor, resource: Resource, ifRevision?: number): Promise<ResourceView> {
    const { resources, kinds } = this.#parts
    const wanted = resources.with(resource)
    const securityNames = wanted.filter(({ kind }) => kind === 'security').map(({ name }) => name)
    checkResource(resource, kinds, { securityNames })
    const id = idOf(resource)
    const before = resources.list().find(({ key }) => key === id)?.value
    const guard = ifRevision === undefined ? undefined : new Map([[id, ifRevision]])
    return this.#act(actor, 'resource.write', id, { before, after: resource }, async () => {
      await resources.apply(wanted, guard)
      return viewOf(resources.get(id))
    })
  }

  async remove(actor: Actor, id: string, ifRevision?: number): Promise<void> {
    const { resources } = this.#parts
    const before = resources.get(id).value
    const guard = ifRevision === undefined ? undefined : new Map([[id, ifRevision]])
    await this.#act(actor, 'resource.write', id, { before }, () =>
      resources.apply(resources.without(id), guard),
    )
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
    const changes = this.#parts.resources.diff(this.#parse(yaml))
    return { changes, text: renderDiff(changes) }
  }

  async apply(actor: Actor, yaml: string): Promise<ApplyResult> {
    const wanted = this.#parse(yaml)
    const planned = this.#parts.resources.diff(wanted)
    const changes = await this.#act(actor, 'resource.write', 'signalbox.yaml', { after: planned }, () =>
      this.#parts.resources.apply(wanted),
    )
    return { changes, text: renderDiff(changes) }
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
    await this.#act(actor, 'secret.write', `secret/${name}`, {}, () =>
      this.#parts.state.vault.put(name, value),
    )
  }

  async removeSecret(actor: Actor, name: string): Promise<void> {
    await this.#act(actor, 'secret.write', `secret/${name}`, {}, async () => {
      if (!(await this.#parts.state.vault.has(name))) {
        throw new SignalboxError('SIGNALBOX_SECRET_UNKNOWN', `there is no secret '${name}'`)
      }
      await this.#parts.state.store.delete('secrets', name)
    })
  }

  async openapi(): Promise<unknown> {
    const { name, version, resources } = this.#parts
    const all = resources.list().map(({ value }) => value)
    const definitions = all.filter(({ kind }) => kind === 'security')
    const endpoints = await this.#endpoints()
    return channelOpenapi({
      info: { title: name, version },
      channels: resources
        .current!.channels.filter(({ type }) => type === 'http')
        .map(channel => apiOf(channel, endpoints)),
      securityDefinitions: Object.fromEntries(
        definitions.map(definition => [definition.name, openapiSecurity(definition)]),
      ),
      services: await this.services(),
    })
  }

  tail(filter: TailFilter, listener: (event: TailEvent) => void): () => void {
    return this.#parts.telemetry.tail(filter, listener)
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

  #parse(yaml: string): Resource[] {
    return parseProjectFile(yaml, 'signalbox.yaml', this.#parts.kinds, { telemetry: TelemetryOptions })
      .resources
  }

  /** Does something and records it, whether it succeeds or not. */
  async #act<T>(
    actor: Actor,
    what: string,
    target: string,
    objects: { before?: unknown; after?: unknown },
    run: () => Promise<T>,
  ): Promise<T> {
    const record = (result: string) =>
      this.#parts.state.acts.append({ who: `admin-token/${actor.name}`, what, target, ...objects, result })
    try {
      const value = await run()
      await record('ok')
      return value
    } catch (thrown) {
      await record(toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED').code)
      throw thrown
    }
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

interface HttpOptions {
  routes: (ChannelRoute & { target?: string })[]
}

function apiOf(channel: EndpointConfig, endpoints: ReadonlyMap<string, string>): ChannelApi {
  const { name, type, options, security } = channel
  const routes = (options as HttpOptions).routes.map(route => ({
    ...route,
    service: route.service ?? /^service\/(.+)$/.exec(route.target ?? '')?.[1],
    security: route.security ?? security,
  }))
  return { name, endpoint: endpoints.get(`channel/${type}/${name}`) ?? 'http://localhost', routes }
}

/** A security definition in the words of OpenAPI. */
function openapiSecurity({ type, options }: Resource): SecurityDefinition {
  switch (type) {
    case 'apiKey':
      return { type: 'apiKey', in: 'header', name: (options as { header?: string }).header ?? 'x-api-key' }
    case 'basic':
      return { type: 'basic' }
    case 'jwt':
      return { type: 'bearer', format: 'JWT' }
    default:
      return { type: 'mutualTLS' }
  }
}

type AuditEntry = Omit<AuditView, 'at'> & { at: string }

function viewOf({
  value,
  revision,
  changedAt,
}: {
  value: Resource
  revision: number
  changedAt: number
}): ResourceView {
  return { ...value, revision, changedAt }
}

function pad(seq: number): string {
  return String(seq).padStart(12, '0')
}
