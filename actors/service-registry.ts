/** The services of a worker: loaded from their files, replaced and removed while it runs. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { ActorSystem } from '../core/actor/index.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { type LoadedService, loadService, loadServices } from '../core/service/load.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import type { Placement, WorkerContext } from '../core/worker/worker-context.ts'
import { servicePlacement } from './service-host.ts'

/** A version of a service file: the hash of its content. */
export type ServiceVersion = string

/** What is known of a service that runs. */
export interface ServiceView {
  name: string
  file: string
  version: ServiceVersion
  description?: string
  /** JSON Schemas, where the service declares them. */
  input?: unknown
  output?: unknown
}

/** A version of a service, running or ready to. */
interface Prepared {
  name: string
  version: ServiceVersion
  runner: ServiceRunner
  placement: Placement
}

const PLACEMENTS = ['everyWorker', 'singleton', 'keyed']
const BALANCES = ['localFirst', 'roundRobin', 'leastBusy']

export class ServiceRegistry {
  readonly #worker: WorkerContext
  readonly #system: ActorSystem
  readonly #ports: ServicePorts
  readonly #folder: string
  /** By file, relative to the folder. */
  readonly #running = new Map<string, Prepared>()
  readonly #prepared = new Map<string, Prepared>()

  constructor(worker: WorkerContext, ports: ServicePorts, folder: string) {
    this.#worker = worker
    this.#system = worker.system
    this.#ports = ports
    this.#folder = folder
  }

  /** What runs, with its schemas as plain data. */
  list(): ServiceView[] {
    return Array.from(this.#running, ([file, { name, version, runner }]) => {
      const { description, input, output } = runner.type
      return {
        name,
        file,
        version,
        ...(description && { description }),
        ...(input && { input: JSON.parse(JSON.stringify(input)) as unknown }),
        ...(output && { output: JSON.parse(JSON.stringify(output)) as unknown }),
      }
    })
  }

  /** Loads everything there is, at the start; what does not load is in the errors. */
  async start(): Promise<SignalboxError[]> {
    const versions = new Map<string, ServiceVersion>()
    const { services, errors } = await loadServices(this.#folder, async path => {
      const version = await versionOf(path)
      versions.set(relative(this.#folder, path), version)
      return version
    })
    for (const service of services) {
      try {
        const { file } = service
        this.#prepared.set(file, this.#prepare(service, versions.get(file)!))
        this.commit(file, versions.get(file)!)
      } catch (error) {
        errors.push(toSignalboxError(error, 'SIGNALBOX_SERVICE_INVALID'))
      }
    }
    return errors
  }

  /**
   * Loads a version of a file without running it; `path` is where it lies, if not in its place yet. Returns its
   * name. Throws SIGNALBOX_SERVICE_LOAD, SIGNALBOX_SERVICE_INVALID.
   */
  async prepare(file: string, version: ServiceVersion, path = file): Promise<string> {
    const loaded = await loadService(this.#folder, join(this.#folder, path), { version, as: file })
    this.#refuseTwin(loaded)
    const prepared = this.#prepare(loaded, version)
    if (path === file) this.#prepared.set(file, prepared)
    return loaded.name
  }

  /** Everything that can be wrong with a version is found here: a commit must not fail. */
  #prepare({ name, type, file }: LoadedService, version: ServiceVersion): Prepared {
    checkSetting(file, 'placement', type.placement, PLACEMENTS)
    checkSetting(file, 'balance', type.balance, BALANCES)
    const runner = new ServiceRunner(name, type, this.#ports)
    return { name, version, runner, placement: servicePlacement(this.#system, runner) }
  }

  /** Runs what was prepared: calls from now on go to it, those under way finish on what ran before. */
  commit(file: string, version: ServiceVersion): void {
    const prepared = this.#prepared.get(file)
    if (prepared?.version !== version) {
      throw new SignalboxError('SIGNALBOX_CONFLICT', `version ${version} of ${file} was not prepared here`)
    }
    this.#prepared.delete(file)
    const before = this.#running.get(file)
    const { name, placement } = prepared
    this.#running.set(file, prepared)
    this.#worker.declareOrReplace(`service/${name}`, placement)
    if (before && before.name !== name) this.#end(before.name)
  }

  abandon(file: string): void {
    this.#prepared.delete(file)
  }

  /** Ends the service of a file; calls under way finish. */
  remove(file: string): void {
    const running = this.#running.get(file)
    if (!running) return
    this.#running.delete(file)
    this.#end(running.name)
  }

  #end(name: string): void {
    this.#worker
      .retire(`service/${name}`)
      .catch(error => this.#worker.log.error({ service: name, err: error }, 'service did not end'))
  }

  #refuseTwin({ name, file }: LoadedService): void {
    for (const [other, running] of this.#running) {
      if (other === file || running.name !== name) continue
      throw new SignalboxError(
        'SIGNALBOX_SERVICE_INVALID',
        `${file} and ${other} both define the service ${name}`,
        {
          details: { file, other },
        },
      )
    }
  }
}

/** Throws SIGNALBOX_SERVICE_INVALID for a value that is none of those there are; absent is fine. */
function checkSetting(file: string, setting: string, value: unknown, known: string[]): void {
  if (value === undefined || known.includes(value as string)) return
  const message = `${file}: ${setting} is one of ${known.join(', ')}, not '${String(value)}'`
  throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', message, { details: { file } })
}

/** The version of a file as it is now. */
export async function versionOf(path: string): Promise<ServiceVersion> {
  return hashOf(await readFile(path))
}

/** The version that a content is. */
export function hashOf(content: string | Buffer): ServiceVersion {
  return createHash('sha256').update(content).digest('hex').slice(0, 12)
}
