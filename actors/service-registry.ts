/** The services of a worker: loaded from their files, replaced and removed while it runs. */
import { join } from 'node:path'
import type { ActorSystem } from '../core/actor/index.ts'
import { SignalboxError } from '../core/errors.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { type LoadedService, loadService } from '../core/service/load.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import type { WorkerContext } from '../core/worker/worker-context.ts'
import { servicePlacement } from './service-host.ts'

/** A version of a service file: its content's hash, or `start` for what a worker found when it began. */
export type ServiceVersion = string

/** What is known of a service that runs. */
export interface ServiceView {
  name: string
  file: string
  version: ServiceVersion
  description?: string
}

interface Running {
  name: string
  version: ServiceVersion
  description: string | undefined
}

interface Prepared extends Running {
  runner: ServiceRunner
}

export class ServiceRegistry {
  readonly #worker: WorkerContext
  readonly #system: ActorSystem
  readonly #ports: ServicePorts
  readonly #folder: string
  /** By file, relative to the folder. */
  readonly #running = new Map<string, Running>()
  readonly #prepared = new Map<string, Prepared>()

  constructor(worker: WorkerContext, ports: ServicePorts, folder: string) {
    this.#worker = worker
    this.#system = worker.system
    this.#ports = ports
    this.#folder = folder
  }

  list(): ServiceView[] {
    return Array.from(this.#running, ([file, { name, version, description }]) => ({
      name,
      file,
      version,
      ...(description && { description }),
    }))
  }

  /** The class of a running service, for its schemas. */
  runnerOf(name: string): ServiceRunner | undefined {
    return this.#runners.get(name)
  }

  readonly #runners = new Map<string, ServiceRunner>()

  /** Loads a version of a file without running it. Throws SIGNALBOX_SERVICE_LOAD, SIGNALBOX_SERVICE_INVALID. */
  async prepare(file: string, version: ServiceVersion): Promise<string> {
    const loaded = await loadService(this.#folder, join(this.#folder, file), version)
    this.#refuseTwin(loaded)
    const { name, type } = loaded
    const runner = new ServiceRunner(name, type, this.#ports)
    this.#prepared.set(file, { name, version, description: type.description, runner })
    return name
  }

  /** Runs what was prepared: calls from now on go to it, those under way finish on what ran before. */
  commit(file: string, version: ServiceVersion): void {
    const prepared = this.#prepared.get(file)
    if (prepared?.version !== version) {
      throw new SignalboxError('SIGNALBOX_CONFLICT', `version ${version} of ${file} was not prepared here`)
    }
    this.#prepared.delete(file)
    const before = this.#running.get(file)
    const { name, runner, description } = prepared
    this.#running.set(file, { name, version, description })
    this.#runners.set(name, runner)
    this.#worker.declareOrReplace(`service/${name}`, servicePlacement(this.#system, runner))
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
    this.#runners.delete(name)
    this.#worker
      .retire(`service/${name}`)
      .catch(error => this.#worker.log.error({ service: name, err: error }, 'service did not end'))
  }

  #refuseTwin({ name, file }: LoadedService): void {
    for (const [other, running] of this.#running) {
      if (other === file || running.name !== name) continue
      throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', `${file} and ${other} both define the service ${name}`, {
        details: { file, other },
      })
    }
  }
}
