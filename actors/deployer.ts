/**
 * Hot deployment: a new version of a service file is loaded by every worker first, and only when all could load it
 * does any of them run it.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import { findServices, isServiceFile } from '../core/service/load.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { ServiceView } from './service-registry.ts'

/** The workers, as the deployer needs them. */
export interface DeployTarget {
  /** Asks every worker that runs; rejects when one of them fails. */
  all(verb: string, payload: unknown): Promise<unknown[]>
  /** Asks one worker. */
  one(verb: string, payload: unknown): Promise<unknown>
  /** Replaces all workers one after the other by fresh ones, without losing a message. */
  roll(): Promise<void>
}

export interface DeployResult {
  file: string
  name: string
  version: string
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
    for (const file of await this.#files()) this.#versions.set(file, await this.#versionOf(file))
  }

  /**
   * Stores the source of a service file and deploys it. A source that does not load changes nothing: rejects with
   * SIGNALBOX_SERVICE_LOAD or SIGNALBOX_SERVICE_INVALID, with file and line.
   */
  deploy(file: string, source: string): Promise<DeployResult> {
    const path = this.#pathOf(file)
    return this.#serial(async () => {
      await mkdir(dirname(path), { recursive: true })
      // Beside the real one, so that what it imports is found; the name keeps it from being taken for a service.
      const pending = join(dirname(path), `_pending.${path.split(sep).at(-1)}`)
      await writeFile(pending, source)
      try {
        await this.#target.one('tryService', { file, pending: this.#relative(pending), version: hash(source) })
        await rename(pending, path)
      } catch (error) {
        await rm(pending, { force: true })
        throw error
      }
      return this.#deploy(file)
    })
  }

  /** Removes a service file and ends its service. Rejects with SIGNALBOX_NOT_FOUND. */
  remove(file: string): Promise<void> {
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

  /** Makes the workers run what the files say now. Failures are logged; the version before goes on. */
  sync(): Promise<void> {
    return this.#serial(async () => {
      const files = await this.#files()
      for (const file of [...this.#versions.keys()]) if (!files.includes(file)) await this.#remove(file)
      for (const file of files) {
        if (this.#versions.get(file) === (await this.#versionOf(file))) continue
        await this.#deploy(file).catch(error => this.#report(file, error))
      }
    })
  }

  /** Something that services import has changed: only fresh workers see it. */
  refresh(): Promise<void> {
    return this.#serial(async () => {
      try {
        await this.#roll()
        this.#log.info({}, 'workers were replaced, so that services see what has changed beside them')
      } catch (error) {
        this.#report('a module beside the services', error)
      }
    })
  }

  /** Brings a worker that has just started to what the others run. */
  async welcome(request: (verb: string, payload: unknown) => Promise<unknown>): Promise<void> {
    const views = (await request('services', undefined)) as ServiceView[]
    const has = new Map(views.map(view => [view.file, view.version]))
    for (const [file, version] of this.#versions) {
      if (has.get(file) === version) continue
      await request('prepareService', { file, version })
      await request('commitService', { file, version })
    }
  }

  async #deploy(file: string): Promise<DeployResult> {
    const version = await this.#versionOf(file)
    let names: string[]
    try {
      names = (await this.#target.all('prepareService', { file, version })) as string[]
    } catch (error) {
      await this.#target.all('abandonService', { file })
      throw error
    }
    await this.#target.all('commitService', { file, version })
    this.#versions.set(file, version)
    this.#log.info({ service: names[0], file, version }, 'service deployed')
    await this.#rollWhenDue()
    return { file, name: names[0]!, version }
  }

  async #remove(file: string): Promise<void> {
    this.#versions.delete(file)
    await this.#target.all('removeService', { file })
    this.#log.info({ file }, 'service removed')
  }

  async #rollWhenDue(): Promise<void> {
    if (++this.#sinceRoll >= DEPLOYMENTS_PER_WORKER) await this.#roll()
  }

  async #roll(): Promise<void> {
    this.#sinceRoll = 0
    await this.#target.roll()
  }

  #report(file: string, thrown: unknown): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_LOAD')
    this.#log.error({ file, code: error.code, details: error.details }, `not deployed: ${error.message}`)
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

  async #versionOf(file: string): Promise<string> {
    return hash(await readFile(join(this.#folder, file)))
  }

  #relative(path: string): string {
    return path.slice(this.#folder.length + 1)
  }

  /** Where a service file belongs. Throws SIGNALBOX_USAGE for a name that leads elsewhere or is no service file. */
  #pathOf(file: string): string {
    const path = normalize(file)
    const outside = isAbsolute(path) || path.split(/[\\/]/).includes('..') || /[\0-\x1f\\:]/.test(file)
    if (outside || file.length > 200 || !isServiceFile(path)) {
      const message = `'${file.slice(0, 200)}' is no name of a service file: a path below services/ that ends in .ts, .mts, .js or .mjs`
      throw new SignalboxError('SIGNALBOX_USAGE', message)
    }
    return join(this.#root, 'services', path)
  }
}

function hash(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 12)
}
