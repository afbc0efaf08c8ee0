/** The units of code of a worker, services or routes: loaded from their files, replaced and removed while it runs. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { type ErrorCode, SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { LoadOptions } from '../core/service/load.ts'
import type { Placement, WorkerContext } from '../core/worker/worker-context.ts'

/** A version of a file: the hash of its content. */
export type UnitVersion = string

export type UnitKind = 'service' | 'route'

/** Where the files of each kind lie, below the folder of the project. */
export const UNIT_FOLDERS: Readonly<Record<UnitKind, string>> = { service: 'services', route: 'routes' }

/** What is known of a unit that runs; its kind says what more. */
export interface UnitView {
  kind: UnitKind
  name: string
  file: string
  version: UnitVersion
  description?: string
}

/** A unit as its file defines it. */
interface Loaded {
  name: string
  file: string
}

/** A version of a unit, running or ready to. */
export interface PreparedUnit {
  placement: Placement
  /** Plain data for those who operate the bus. */
  view: Record<string, unknown>
  /** It runs from now on. */
  begin?(): void
  /** Another version runs from now on, or none. */
  end?(): void
}

/** How units of one kind come from files to actors. */
export interface UnitSource<L extends Loaded> {
  kind: UnitKind
  /** Code of what is wrong with a file that loads. */
  invalid: ErrorCode
  load(folder: string, file: string, options: LoadOptions): Promise<L>
  loadAll(
    folder: string,
    versionOf: (path: string) => Promise<UnitVersion>,
  ): Promise<{ units: L[]; errors: SignalboxError[] }>
  /** Everything that can be wrong with a version is found here: what follows must not fail. */
  prepare(loaded: L): PreparedUnit | Promise<PreparedUnit>
}

interface Unit extends PreparedUnit {
  name: string
  version: UnitVersion
}

export class UnitRegistry<L extends Loaded = Loaded> {
  readonly #worker: WorkerContext
  readonly #source: UnitSource<L>
  readonly #folder: string
  /** By file, relative to the folder. */
  readonly #running = new Map<string, Unit>()
  readonly #prepared = new Map<string, Unit>()

  /** `root`: the folder of the project. */
  constructor(worker: WorkerContext, source: UnitSource<L>, root: string) {
    this.#worker = worker
    this.#source = source
    this.#folder = join(root, UNIT_FOLDERS[source.kind])
  }

  /** What runs, as plain data. */
  list(): UnitView[] {
    const { kind } = this.#source
    return Array.from(this.#running, ([file, { name, version, view }]) => ({
      kind,
      name,
      file,
      version,
      ...view,
    }))
  }

  /** Loads everything there is, at the start; what does not load is in the errors. */
  async start(): Promise<SignalboxError[]> {
    const versions = new Map<string, UnitVersion>()
    const { units, errors } = await this.#source.loadAll(this.#folder, async path => {
      const version = await versionOf(path)
      versions.set(relative(this.#folder, path), version)
      return version
    })
    for (const unit of units) {
      try {
        const { file } = unit
        this.#prepared.set(file, await this.#prepare(unit, versions.get(file)!))
        this.commit(file, versions.get(file)!)
      } catch (error) {
        errors.push(toSignalboxError(error, this.#source.invalid))
      }
    }
    return errors
  }

  /**
   * Loads a version of a file without running it; `path` is where it lies, if not in its place yet. Returns its
   * name. Throws SIGNALBOX_SERVICE_LOAD, SIGNALBOX_SERVICE_INVALID, SIGNALBOX_ROUTE_LOAD, SIGNALBOX_ROUTE_INVALID.
   */
  async prepare(file: string, version: UnitVersion, path = file): Promise<string> {
    const loaded = await this.#source.load(this.#folder, join(this.#folder, path), { version, as: file })
    this.#refuseTwin(loaded)
    const prepared = await this.#prepare(loaded, version)
    if (path === file) this.#prepared.set(file, prepared)
    return loaded.name
  }

  async #prepare(loaded: L, version: UnitVersion): Promise<Unit> {
    return { ...(await this.#source.prepare(loaded)), name: loaded.name, version }
  }

  /** Runs what was prepared: calls from now on go to it, those under way finish on what ran before. */
  commit(file: string, version: UnitVersion): void {
    const prepared = this.#prepared.get(file)
    if (prepared?.version !== version) {
      throw new SignalboxError('SIGNALBOX_CONFLICT', `version ${version} of ${file} was not prepared here`)
    }
    this.#prepared.delete(file)
    const before = this.#running.get(file)
    const { name, placement } = prepared
    this.#running.set(file, prepared)
    this.#worker.declareOrReplace(this.#address(name), placement)
    prepared.begin?.()
    before?.end?.()
    if (before && before.name !== name) this.#retire(before.name)
  }

  abandon(file: string): void {
    this.#prepared.delete(file)
  }

  /** Ends the unit of a file; calls under way finish. */
  remove(file: string): void {
    const running = this.#running.get(file)
    if (!running) return
    this.#running.delete(file)
    running.end?.()
    this.#retire(running.name)
  }

  #address(name: string): string {
    return `${this.#source.kind}/${name}`
  }

  #retire(name: string): void {
    const { kind } = this.#source
    this.#worker
      .retire(this.#address(name))
      .catch(error => this.#worker.log.error({ [kind]: name, err: error }, `${kind} did not end`))
  }

  #refuseTwin({ name, file }: L): void {
    const { kind, invalid } = this.#source
    for (const [other, running] of this.#running) {
      if (other === file || running.name !== name) continue
      const message = `${file} and ${other} both define the ${kind} ${name}`
      throw new SignalboxError(invalid, message, { details: { file, other } })
    }
  }
}

/** The version of a file as it is now. */
export async function versionOf(path: string): Promise<UnitVersion> {
  return hashOf(await readFile(path))
}

/** The version that a content is. */
export function hashOf(content: string | Buffer): UnitVersion {
  return createHash('sha256').update(content).digest('hex').slice(0, 12)
}
