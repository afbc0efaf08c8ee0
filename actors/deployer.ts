/**
 * Hot deployment: a new version of a service or route file is loaded by every worker first, and only when all could load it
 * does any of them run it.
 */
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { UnitFiles } from './unit-files.ts'
import { hashOf, UNIT_FOLDERS, type UnitKind, type UnitView } from './unit-registry.ts'

/** A worker, as the deployer needs it. */
export interface DeployWorker {
  readonly state: 'starting' | 'ready' | 'draining' | 'gone'
  /** It was told to go. */
  readonly leaving: boolean
  request(verb: string, payload: unknown): Promise<unknown>
}

export interface DeployTarget {
  /** The workers that take messages now. */
  workers(): DeployWorker[]
  /**
   * Replaces all workers by fresh ones that must load these files (`services/a.ts`, `routes/b.yaml`), without losing a
   * message. Rejects, and leaves the old ones, when a fresh one cannot.
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
  kind: UnitKind
  file: string
  before: string | undefined
  after: string | undefined
  /** `ok` or the code of the error. */
  result: string
}

/** Modules cannot be unloaded: after this many deployments the workers are replaced by fresh ones. */
const DEPLOYMENTS_PER_WORKER = 50

/** A file of a kind, relative to the folder of its kind. */
interface Place {
  kind: UnitKind
  file: string
}

const KINDS = Object.keys(UNIT_FOLDERS) as UnitKind[]

export class Deployer {
  readonly #files: Readonly<Record<UnitKind, UnitFiles>>
  readonly #target: DeployTarget
  readonly #log: Logger
  /** Version that runs, by path below the folder of the project. */
  readonly #versions = new Map<string, string>()
  /** Those that run services: also the ones that have just started, and those that finish what they have. */
  #workers = new Set<DeployWorker>()
  #queue: Promise<unknown> = Promise.resolve()
  /** Runs beside the queue: a worker may take half a minute to drain, and deployments go on meanwhile. */
  #rolling: Promise<void> = Promise.resolve()
  /** A replacement of all workers that has not begun. */
  #nextRoll: Promise<void> | undefined
  #sinceRoll = 0

  constructor(root: string, target: DeployTarget, log: Logger) {
    this.#files = { service: new UnitFiles(root, 'service'), route: new UnitFiles(root, 'route') }
    this.#target = target
    this.#log = log
  }

  /** Learns what the workers have loaded when they started. */
  async start(): Promise<void> {
    const views = (await this.#oneWorker().request('units', undefined)) as UnitView[]
    for (const view of views) this.#versions.set(pathOf(view), view.version)
  }

  /**
   * Stores the source of a service or route file and deploys it. A source that does not load changes nothing: rejects
   * with SIGNALBOX_SERVICE_LOAD, SIGNALBOX_SERVICE_INVALID, SIGNALBOX_ROUTE_LOAD or SIGNALBOX_ROUTE_INVALID, with file
   * and line. Rejects with SIGNALBOX_USAGE for a file that would lie elsewhere than below `services/` (`routes/`), be it
   * by its name or by a link.
   */
  async deploy(file: string, source: string, kind: UnitKind = 'service'): Promise<DeployResult> {
    const files = this.#files[kind]
    files.checkName(file)
    return this.#serial(async () => {
      const attempt = await files.begin(file, source)
      try {
        const { path } = attempt
        await this.#oneWorker().request('prepareUnit', { kind, file, path, version: hashOf(source) })
        await attempt.putInPlace()
        return await this.#deploy({ kind, file })
      } catch (error) {
        await attempt.undo()
        throw error
      }
    })
  }

  /** Removes a service or route file and ends what it defines. Rejects with SIGNALBOX_NOT_FOUND, SIGNALBOX_USAGE. */
  async remove(file: string, kind: UnitKind = 'service'): Promise<void> {
    this.#files[kind].checkName(file)
    return this.#serial(async () => {
      await this.#files[kind].remove(file)
      await this.#remove({ kind, file })
    })
  }

  /**
   * Makes the workers run what the files say now. Resolves with what was changed. Failures are logged; the version
   * before goes on.
   */
  sync(): Promise<Deployed[]> {
    return this.#serial(async () => {
      const done: Deployed[] = []
      for (const kind of KINDS) {
        try {
          const files = await this.#files[kind].list()
          for (const file of this.#deployed(kind)) {
            if (files.includes(file)) continue
            const before = this.versionOf(file, kind)
            await this.#remove({ kind, file })
            done.push({ kind, file, before, after: undefined, result: 'ok' })
          }
          for (const file of files) {
            const changed = await this.#update({ kind, file })
            if (changed) done.push(changed)
          }
        } catch (error) {
          this.#report(`${UNIT_FOLDERS[kind]}/`, error)
        }
      }
      return done
    })
  }

  /** Files of a kind that are deployed. */
  #deployed(kind: UnitKind): string[] {
    const folder = `${UNIT_FOLDERS[kind]}/`
    return [...this.#versions.keys()]
      .filter(path => path.startsWith(folder))
      .map(path => path.slice(folder.length))
  }

  #versionOf({ kind, file }: Place): Promise<string> {
    return this.#files[kind].versionOf(file)
  }

  /** Deploys a file if it is not what runs. Failures are logged: it may be broken, or be gone again. */
  async #update(place: Place): Promise<Deployed | undefined> {
    const before = this.versionOf(place.file, place.kind)
    let after: string | undefined
    try {
      after = await this.#versionOf(place)
      if (before === after) return undefined
      await this.#deploy(place)
      return { ...place, before, after, result: 'ok' }
    } catch (error) {
      return { ...place, before, after, result: this.#report(pathOf(place), error) }
    }
  }

  /**
   * Something that services import has changed: only fresh workers see it. They load the services as they are now.
   * Resolves with `ok` or the code of the error.
   */
  async refresh(): Promise<string> {
    let result = 'ok'
    try {
      await this.#roll()
      this.#log.info({}, 'workers were replaced, so that services see what has changed beside them')
    } catch (error) {
      result = this.#report('a module beside the services', error)
    }
    await this.sync()
    return result
  }

  /** The version of a file that runs. */
  versionOf(file: string, kind: UnitKind = 'service'): string | undefined {
    return this.#versions.get(pathOf({ kind, file }))
  }

  /** Brings a worker that has just started to what the files say now: they may have changed while it did. */
  welcome(worker: DeployWorker): Promise<void> {
    return this.#serial(async () => {
      const views = (await worker.request('units', undefined)) as UnitView[]
      for (const kind of KINDS) await this.#bringUp(worker, kind, views)
      // It counts as ready a little later; what is deployed until then is for it as well.
      this.#workers.add(worker)
    })
  }

  async #bringUp(worker: DeployWorker, kind: UnitKind, views: readonly UnitView[]): Promise<void> {
    const has = new Map(views.filter(view => view.kind === kind).map(view => [view.file, view.version]))
    const files = await this.#files[kind].list()
    for (const file of has.keys()) {
      if (!files.includes(file)) await worker.request('removeUnit', { kind, file })
    }
    for (const file of files) {
      const place = { kind, file }
      const version = await this.#versionOf(place)
      if (has.get(file) === version || !this.#versions.has(pathOf(place))) continue
      try {
        await worker.request('prepareUnit', { ...place, version })
        await worker.request('commitUnit', { ...place, version })
      } catch (error) {
        // One that does not load must not keep the others from being what they should.
        if (worker.state === 'gone') throw error
        this.#report(pathOf(place), error)
      }
    }
  }

  async #deploy(place: Place): Promise<DeployResult> {
    const { kind, file } = place
    const version = await this.#versionOf(place)
    const { staying, leaving } = this.#all()
    const [first, ...others] = staying
    const prepare = (worker: DeployWorker) => askOf(worker, 'prepareUnit', { ...place, version })
    let name: unknown
    try {
      // One goes first, so that a file that takes a worker down takes no more than one.
      const names = [await prepare(first!), ...(await all(others.map(prepare)))]
      name = names.find(found => found !== undefined)
      if (name === undefined) throw noWorker()
    } catch (error) {
      await Promise.all(staying.map(worker => askOf(worker, 'abandonUnit', place)))
      throw error
    }
    await Promise.all(staying.map(worker => askOf(worker, 'commitUnit', { ...place, version })))
    for (const worker of leaving) {
      void this.#follow(prepare(worker).then(() => askOf(worker, 'commitUnit', { ...place, version })))
    }
    this.#versions.set(pathOf(place), version)
    this.#log.info({ [kind]: name, file, version }, `${kind} deployed`)
    if (++this.#sinceRoll >= DEPLOYMENTS_PER_WORKER) {
      this.#roll().catch(error => this.#log.warn({ err: error }, 'workers were not replaced by fresh ones'))
    }
    return { file, name: name as string, version }
  }

  async #remove(place: Place): Promise<void> {
    const { staying, leaving } = this.#all()
    this.#versions.delete(pathOf(place))
    const remove = (worker: DeployWorker) => askOf(worker, 'removeUnit', place)
    await Promise.all(staying.map(remove))
    for (const worker of leaving) void this.#follow(remove(worker))
    this.#log.info({ file: place.file }, `${place.kind} removed`)
  }

  /** What a worker does that is about to go: it may be too late for it, and nobody waits for it. */
  async #follow(request: Promise<unknown>): Promise<void> {
    try {
      await request
    } catch (error) {
      this.#log.debug({ err: error }, 'a worker that is about to go does not follow a deployment')
    }
  }

  /** All that run services. Throws SIGNALBOX_OVERLOADED when none takes messages. */
  #all(): { staying: DeployWorker[]; leaving: DeployWorker[] } {
    this.#oneWorker()
    const known = [...this.#target.workers(), ...this.#workers]
    this.#workers = new Set(known.filter(({ state }) => state !== 'gone'))
    const [staying = [], leaving = []] = [false, true].map(leaves =>
      [...this.#workers].filter(worker => worker.leaving === leaves),
    )
    return { staying, leaving }
  }

  #oneWorker(): DeployWorker {
    const worker = this.#target.workers()[0]
    if (!worker) throw noWorker()
    return worker
  }

  /** Replaces all workers; who asks while it waits for its turn gets the same. */
  #roll(): Promise<void> {
    this.#sinceRoll = 0
    this.#nextRoll ??= this.#rolling.then(() => {
      this.#nextRoll = undefined
      return this.#target.roll([...this.#versions.keys()])
    })
    this.#rolling = this.#nextRoll.catch(() => {})
    return this.#nextRoll
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
}

/** Below the folder of the project. */
function pathOf({ kind, file }: Place): string {
  return `${UNIT_FOLDERS[kind]}/${file}`
}

/**
 * Asks a worker something. Undefined when it dies or ends before it answers, other than while it loads a file: it is
 * replaced by one that loads what is in the files.
 */
async function askOf(worker: DeployWorker, verb: string, payload: unknown): Promise<unknown> {
  try {
    return await worker.request(verb, payload)
  } catch (thrown) {
    const { code } = thrown as SignalboxError
    const isBlameless = worker.leaving || verb !== 'prepareUnit'
    if (code === 'SIGNALBOX_WORKER_LOST' && isBlameless) return undefined
    throw thrown
  }
}

/** Like Promise.all, but nothing is under way any more when it rejects. */
async function all<T>(promises: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

function noWorker(): SignalboxError {
  return new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1000 })
}
