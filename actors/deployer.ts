/**
 * Hot deployment: a new version of a service file is loaded by every worker first, and only when all could load it
 * does any of them run it.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import { findServices, isServiceFile } from '../core/service/load.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { hashOf, type ServiceView, versionOf } from './service-registry.ts'

/** A worker, as the deployer needs it. */
export interface DeployWorker {
  request(verb: string, payload: unknown): Promise<unknown>
}

export interface DeployTarget {
  /** The workers that run now. */
  workers(): DeployWorker[]
  /**
   * Replaces all workers by fresh ones that must load these files, without losing a message. Rejects, and leaves the
   * old ones, when a fresh one cannot.
   */
  roll(files: string[]): Promise<void>
}

export interface DeployResult {
  file: string
  name: string
  version: string
}

/** What came of a file that was found changed. Versions are undefined where the file was or is not there. */
export interface Deployed {
  file: string
  before: string | undefined
  after: string | undefined
  /** `ok` or the code of the error. */
  result: string
}

/** Modules cannot be unloaded: after this many deployments the workers are replaced by fresh ones. */
const DEPLOYMENTS_PER_WORKER = 50

export class Deployer {
  readonly #root: string
  readonly #folder: string
  readonly #target: DeployTarget
  readonly #log: Logger
  /** Version that runs, by file. */
  readonly #versions = new Map<string, string>()
  #queue: Promise<unknown> = Promise.resolve()
  #sinceRoll = 0

  constructor(root: string, target: DeployTarget, log: Logger) {
    this.#root = root
    this.#folder = join(root, 'services')
    this.#target = target
    this.#log = log
  }

  /** Learns what the workers have loaded when they started. */
  async start(): Promise<void> {
    const views = (await this.#oneWorker().request('services', undefined)) as ServiceView[]
    for (const { file, version } of views) this.#versions.set(file, version)
  }

  /**
   * Stores the source of a service file and deploys it. A source that does not load changes nothing: rejects with
   * SIGNALBOX_SERVICE_LOAD or SIGNALBOX_SERVICE_INVALID, with file and line.
   */
  async deploy(file: string, source: string): Promise<DeployResult> {
    const path = this.#pathOf(file)
    return this.#serial(async () => {
      await mkdir(dirname(path), { recursive: true })
      // Beside the real one, so that what it imports is found; the name keeps it from being taken for a service.
      const pending = join(dirname(path), `_pending.${path.split(sep).at(-1)}`)
      await writeFile(pending, source)
      try {
        const attempt = { file, path: this.#relative(pending), version: hashOf(source) }
        await this.#oneWorker().request('prepareService', attempt)
        await rename(pending, path)
      } catch (error) {
        await rm(pending, { force: true })
        throw error
      }
      return this.#deploy(file)
    })
  }

  /** Removes a service file and ends its service. Rejects with SIGNALBOX_NOT_FOUND. */
  async remove(file: string): Promise<void> {
    const path = this.#pathOf(file)
    return this.#serial(async () => {
      try {
        await rm(path)
      } catch (cause) {
        throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no service file ${file}`, { cause })
      }
      await this.#remove(file)
    })
  }

  /**
   * Makes the workers run what the files say now. Resolves with what was changed. Failures are logged; the version
   * before goes on.
   */
  sync(): Promise<Deployed[]> {
    return this.#serial(async () => {
      const done: Deployed[] = []
      const files = await this.#files()
      for (const [file, before] of [...this.#versions]) {
        if (files.includes(file)) continue
        await this.#remove(file)
        done.push({ file, before, after: undefined, result: 'ok' })
      }
      for (const file of files) {
        const [before, after] = [this.#versions.get(file), await this.#versionOf(file)]
        if (before === after) continue
        const result = await this.#deploy(file).then(
          () => 'ok',
          error => this.#report(file, error),
        )
        done.push({ file, before, after, result })
      }
      return done
    })
  }

  /** Something that services import has changed: only fresh workers see it. Resolves with `ok` or the code of the error. */
  refresh(): Promise<string> {
    return this.#serial(async () => {
      try {
        await this.#roll()
        this.#log.info({}, 'workers were replaced, so that services see what has changed beside them')
        return 'ok'
      } catch (error) {
        return this.#report('a module beside the services', error)
      }
    })
  }

  /** The version of a file that runs. */
  versionOf(file: string): string | undefined {
    return this.#versions.get(file)
  }

  /** Brings a worker that has just started to what the files say now: they may have changed while it did. */
  async welcome(worker: DeployWorker): Promise<void> {
    const views = (await worker.request('services', undefined)) as ServiceView[]
    const has = new Map(views.map(view => [view.file, view.version]))
    const files = await this.#files()
    for (const file of has.keys()) if (!files.includes(file)) await worker.request('removeService', { file })
    for (const file of files) {
      const version = await this.#versionOf(file)
      if (has.get(file) === version || !this.#versions.has(file)) continue
      await worker.request('prepareService', { file, version })
      await worker.request('commitService', { file, version })
    }
  }

  async #deploy(file: string): Promise<DeployResult> {
    const version = await this.#versionOf(file)
    const workers = this.#target.workers()
    let name: unknown
    try {
      // One goes first, so that a file that takes a worker down takes no more than one.
      for (const worker of workers) name = await worker.request('prepareService', { file, version })
    } catch (error) {
      await Promise.all(workers.map(worker => settled(worker.request('abandonService', { file }))))
      throw error
    }
    await Promise.all(workers.map(worker => settled(worker.request('commitService', { file, version }))))
    this.#versions.set(file, version)
    this.#log.info({ service: name, file, version }, 'service deployed')
    if (++this.#sinceRoll >= DEPLOYMENTS_PER_WORKER) await this.#roll()
    return { file, name: name as string, version }
  }

  async #remove(file: string): Promise<void> {
    this.#versions.delete(file)
    const workers = this.#target.workers()
    await Promise.all(workers.map(worker => settled(worker.request('removeService', { file }))))
    this.#log.info({ file }, 'service removed')
  }

  #oneWorker(): DeployWorker {
    const worker = this.#target.workers()[0]
    if (!worker)
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1000 })
    return worker
  }

  async #roll(): Promise<void> {
    this.#sinceRoll = 0
    await this.#target.roll([...this.#versions.keys()])
  }

  /** Logs a failure; returns its code. */
  #report(file: string, thrown: unknown): string {
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_LOAD')
    this.#log.error({ file, code: error.code, details: error.details }, `not deployed: ${error.message}`)
    return error.code
  }

  /** One deployment after the other. */
  #serial<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {})
    return result
  }

  async #files(): Promise<string[]> {
    return (await findServices(this.#folder)).map(path => this.#relative(path))
  }

  #versionOf(file: string): Promise<string> {
    return versionOf(join(this.#folder, file))
  }

  #relative(path: string): string {
    return path.slice(this.#folder.length + 1)
  }

  /** Where a service file belongs. Throws SIGNALBOX_USAGE for a name that leads elsewhere or is no service file. */
  #pathOf(file: string): string {
    const path = normalize(file)
    const outside = isAbsolute(path) || path.split(/[\\/]/).includes('..') || /[\p{Cc}\\:]/u.test(file)
    if (outside || file.length > 200 || !isServiceFile(path)) {
      const message = `'${file.slice(0, 200)}' is no name of a service file: a path below services/ that ends in .ts, .mts, .js or .mjs`
      throw new SignalboxError('SIGNALBOX_USAGE', message)
    }
    return join(this.#root, 'services', path)
  }
}

/** A worker that dies meanwhile is replaced by one that loads what is in the files. */
async function settled(request: Promise<unknown>): Promise<void> {
  await request.catch((error: SignalboxError) => {
    if (error.code !== 'SIGNALBOX_WORKER_LOST') throw error
  })
}
