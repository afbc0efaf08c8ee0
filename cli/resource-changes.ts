/** Changes of resources that operators ask for: checked, held to the policy, run and recorded. */
import { targets } from '../actors/admin/acts.ts'
import type { ApplyResult, ResourceView, WantedResource } from '../actors/admin/operator.ts'
import { SignalboxError } from '../core/errors.ts'
import { changesBetween, renderDiff } from '../core/resource/diff.ts'
import { danglingText } from '../core/resource/named-resources.ts'
import { type ParsedProjectFile, parseProjectFile } from '../core/resource/project-file.ts'
import {
  checkResource,
  idOf,
  type Resource,
  type ResourceKind,
  type ResourceKinds,
  securityNamesOf,
} from '../core/resource/resource.ts'
import type { StoreRecord } from '../core/store/store.ts'
import { TelemetryOptions } from '../core/telemetry/options.ts'
import { type Acts, type Doer, objectsOf, objectsOfAll } from './acts.ts'
import type { Expected, LiveResources } from './live-resources.ts'
import type { PolicyGuard } from './policy.ts'

export interface ResourceChangesParts {
  resources: LiveResources
  guard: PolicyGuard
  kinds: ResourceKinds
  acts: Acts
}

export class ResourceChanges {
  readonly #parts: ResourceChangesParts

  constructor(parts: ResourceChangesParts) {
    this.#parts = parts
  }

  /** Creates or changes one. Rejects with SIGNALBOX_CONFLICT when its name is taken by one of another type. */
  async put(doer: Doer, wanted: WantedResource, ifRevision?: number): Promise<ResourceView> {
    const { resources, kinds } = this.#parts
    const id = idOf(wanted as Resource)
    const before = resources.list().find(({ key }) => key === id)?.value
    const resource = resourceOf(wanted, before)
    const objects = objectsOf(kinds, before, resource)
    return this.#parts.acts.run(doer, 'resource.write', id, objects, async () => {
      const wanted = () => {
        const all = resources.with(resource)
        const securityNames = all.filter(({ kind }) => kind === 'security').map(({ name }) => name)
        checkResource(resource, kinds, { securityNames })
        this.#refuseTwin(resource)
        const dangling = danglingText(all, kinds)
        if (dangling) throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', dangling)
        return all
      }
      await resources.apply(wanted, expected(id, ifRevision))
      return viewOf(resources.get(id))
    })
  }

  /** Removes one. Rejects with SIGNALBOX_CONFLICT for a security definition that a channel still names. */
  async remove(doer: Doer, id: string, ifRevision?: number): Promise<void> {
    const { resources, kinds } = this.#parts
    const before = resources.list().find(({ key }) => key === id)?.value
    const objects = objectsOf(kinds, before, undefined)
    await this.#parts.acts.run(doer, 'resource.write', id, objects, async () => {
      const wanted = () => {
        const { value } = resources.get(id)
        const others = resources.without(id)
        if (value.kind === 'security') refuseWhenNamed(value.name, others)
        const dangling = danglingText(others, kinds)
        if (dangling) throw new SignalboxError('SIGNALBOX_CONFLICT', `${id} is still named: ${dangling}`)
        return others
      }
      await resources.apply(wanted, expected(id, ifRevision))
    })
  }

  /** Channels, connections and definitions are called by their names alone. */
  #refuseTwin({ kind, type, name }: Resource): void {
    const twin = this.#parts.resources
      .list()
      .find(({ value }) => value.kind === kind && value.name === name && value.type !== type)
    if (!twin) return
    throw new SignalboxError('SIGNALBOX_CONFLICT', `there is a ${kind} named ${name} already: ${twin.key}`, {
      details: { id: twin.key, fix: `Choose another name, or remove ${twin.key} first.` },
    })
  }

  /** What applying this file would change. */
  diff(yaml: string): ApplyResult {
    const { resources } = this.#parts
    const changes = resources.diff(this.#parse(yaml).resources)
    return { changes, text: renderDiff(changes), etag: resources.etag }
  }

  /**
   * Makes the node run what this file says. Rejects with SIGNALBOX_STORE_CONFLICT when `ifEtag`, that of a difference,
   * is not that of what runs.
   */
  async apply(doer: Doer, yaml: string, ifEtag?: string): Promise<ApplyResult> {
    const { resources, guard, kinds } = this.#parts
    const before = resources.list().map(({ value }) => value)
    let wanted: Resource[] = before
    const objects = () => {
      const ids = changesBetween(before, wanted).map(({ id }) => id)
      return objectsOfAll(kinds, ids, before, wanted)
    }
    const changes = await this.#parts.acts.run(doer, 'resource.write', targets.file, objects, async () => {
      const file = this.#parse(yaml)
      wanted = file.resources
      guard.enforceSettings(file.settings, file.effective.admin)
      return resources.apply(wanted, { etag: ifEtag })
    })
    return { changes, text: renderDiff(changes), etag: resources.etag }
  }

  #parse(yaml: string): ParsedProjectFile {
    return parseProjectFile(yaml, 'signalbox.yaml', this.#parts.kinds, { telemetry: TelemetryOptions })
  }
}

/** A resource as the admin API shows it. */
export function viewOf({ value, revision, changedAt }: StoreRecord<Resource>): ResourceView {
  return { ...value, revision, changedAt }
}

/** What is to be stored; security that is not spoken of stays. */
function resourceOf({ kind, security, ...rest }: WantedResource, before: Resource | undefined): Resource {
  const names = security ?? before?.security ?? []
  return { ...rest, kind: kind as ResourceKind, ...(names.length > 0 && { security: [...names] }) }
}

function expected(id: string, ifRevision: number | undefined): Expected {
  return ifRevision === undefined ? {} : { revisions: new Map([[id, ifRevision]]) }
}

/** A channel that names a definition which is not there lets nobody in. */
function refuseWhenNamed(name: string, others: readonly Resource[]): void {
  const channels = others.filter(other => other.kind === 'channel' && securityNamesOf(other).includes(name))
  if (channels.length === 0) return
  const ids = channels.map(idOf)
  const message = `the security definition ${name} is named by ${ids.join(', ')}`
  throw new SignalboxError('SIGNALBOX_CONFLICT', message, {
    details: { channels: ids, fix: `Take ${name} out of the security of these channels first.` },
  })
}
