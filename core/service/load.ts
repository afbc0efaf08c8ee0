/** Finds and loads the service files of a project. */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import { loadError } from './load-error.ts'
import { isServiceClass, type ServiceClass } from './service.ts'

const SERVICE_FILE = /\.(?:ts|mts|js|mjs)$/
const NO_SERVICE = /\.test\.|\.d\.m?ts$/
const LOAD_TIMEOUT_MS = 10_000
const SERVICE_NAME = /^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/

/** Paths of the service files below a folder, sorted; tests, declarations, `_private` and hidden ones left out. */
export function findServices(folder: string): Promise<string[]> {
  return findFiles(folder, isServiceFile)
}

/** Paths of the files below a folder whose path there is wanted, sorted; none when there is no folder. */
export async function findFiles(folder: string, isWanted: (path: string) => boolean): Promise<string[]> {
  let entries: import('node:fs').Dirent[]
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cause
  }
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => isWanted(relative(folder, file)))
    .sort()
}

/** A service as its file defines it. */
export interface LoadedService {
  name: string
  type: ServiceClass
  file: string
}

export interface LoadOptions {
  /** Loads the file anew for each version; modules it imports stay as they are. */
  version?: string
  /** Path below the folder that gives the service its name. Default: that of the file. */
  as?: string
  /** A file that waits longer in a top-level await does not load. Default 10,000 ms. */
  timeoutMs?: number
}

/** Whether a path can be that of a service file, by its name. */
export function isServiceFile(path: string): boolean {
  return SERVICE_FILE.test(path) && !NO_SERVICE.test(path) && !isHidden(path)
}

/** Whether a path leads through what is `_private`, hidden or installed. */
export function isHidden(path: string): boolean {
  return path.split(sep).some(part => /^[._]/.test(part) || part === 'node_modules')
}

/**
 * Loads one file. Throws SIGNALBOX_SERVICE_LOAD with file and line when it does not load, and
 * SIGNALBOX_SERVICE_INVALID when its default export is no service.
 */
export async function loadService(
  folder: string,
  file: string,
  options: LoadOptions = {},
): Promise<LoadedService> {
  const path = options.as ?? relative(folder, file)
  const type = await defaultExport(folder, file, options)
  if (!isServiceClass(type)) {
    throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', `${path} has no service as its default export`, {
      details: { file: path },
    })
  }
  const name = type.serviceName ?? path.replace(SERVICE_FILE, '').split(sep).join('.')
  if (typeof name !== 'string' || !SERVICE_NAME.test(name)) {
    throw new SignalboxError(
      'SIGNALBOX_SERVICE_INVALID',
      `'${name}' (${path}) is no service name: letters, digits, dashes and underscores, in parts divided by dots`,
      { details: { file: path } },
    )
  }
  return { name, type, file: path }
}

/** The default export of a file. Throws SIGNALBOX_SERVICE_LOAD with file and line when it does not load. */
export async function defaultExport(folder: string, file: string, options: LoadOptions): Promise<unknown> {
  const url = pathToFileURL(file)
  if (options.version !== undefined) url.searchParams.set('version', options.version)
  try {
    const loading = import(url.href) as Promise<{ default?: unknown }>
    return (await inTime(loading, options.timeoutMs ?? LOAD_TIMEOUT_MS)).default
  } catch (cause) {
    throw await loadError(folder, file, cause, options.as ?? relative(folder, file))
  }
}

/** Nothing ends a top-level await that waits for ever; nobody has to wait for it. */
async function inTime<T>(loading: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const message = `it has not loaded within ${timeoutMs} ms: a top-level await does not come to its end`
  const timer = setTimeout(() => late.reject(new Error(message)), timeoutMs)
  try {
    return await Promise.race([loading, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** The services of a project, and why others are not among them. */
export interface LoadedServices {
  services: LoadedService[]
  /** One for each file that did not load, is no service, or has the name of another. */
  errors: SignalboxError[]
}

/**
 * Loads all service files below a folder. A broken one does not keep the others from running; of two with the
 * same name neither runs, since which of them was meant cannot be known.
 */
export async function loadServices(
  folder: string,
  versionOf: (file: string) => Promise<string | undefined> = async () => undefined,
): Promise<LoadedServices> {
  const load = (file: string, version: string | undefined) =>
    loadService(folder, file, version === undefined ? {} : { version })
  const { loaded, errors } = await loadEach(await findServices(folder), load, versionOf)
  const { units, twins } = withoutTwins('service', loaded)
  return { services: units, errors: [...errors, ...twins] }
}

/** Loads files one after the other; each that does not load gives an error. */
export async function loadEach<T>(
  files: readonly string[],
  load: (file: string, version: string | undefined) => Promise<T>,
  versionOf: (file: string) => Promise<string | undefined>,
): Promise<{ loaded: T[]; errors: SignalboxError[] }> {
  const loaded: T[] = []
  const errors: SignalboxError[] = []
  for (const file of files) {
    try {
      loaded.push(await load(file, await versionOf(file)))
    } catch (error) {
      errors.push(toSignalboxError(error, 'SIGNALBOX_SERVICE_LOAD'))
    }
  }
  return { loaded, errors }
}

/** Leaves out all that have the same name, with an error for each name. */
export function withoutTwins<T extends { name: string; file: string }>(
  kind: 'service' | 'route',
  loaded: readonly T[],
): { units: T[]; twins: SignalboxError[] } {
  const units: T[] = []
  const twins: SignalboxError[] = []
  for (const [name, same] of Map.groupBy(loaded, ({ name }) => name)) {
    const files = same.map(({ file }) => file)
    if (same.length === 1) units.push(same[0]!)
    else twins.push(sameName(kind, name, files))
  }
  return { units, twins }
}

function sameName(kind: 'service' | 'route', name: string, files: string[]): SignalboxError {
  const code = kind === 'service' ? 'SIGNALBOX_SERVICE_INVALID' : 'SIGNALBOX_ROUTE_INVALID'
  const message = `${kind} ${name} is defined by ${files.join(' and by ')}; give one of them another name`
  return new SignalboxError(code, message, { details: { name, files } })
}
