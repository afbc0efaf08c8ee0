/** Finds and loads the service files of a project. */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import { isServiceClass, type ServiceClass } from './service.ts'

const SERVICE_FILE = /\.(?:ts|mts|js|mjs)$/
const NO_SERVICE = /\.test\.|\.d\.m?ts$/
const SERVICE_NAME = /^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/

/** Paths of the service files below a folder, sorted; tests, declarations, `_private` and hidden ones left out. */
export async function findServices(folder: string): Promise<string[]> {
  let entries: import('node:fs').Dirent[]
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cause
  }
  return entries
    .filter(entry => entry.isFile() && SERVICE_FILE.test(entry.name) && !NO_SERVICE.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .filter(
      file =>
        !relative(folder, file)
          .split(sep)
          .some(part => /^[._]/.test(part) || part === 'node_modules'),
    )
    .sort()
}

/** A service as its file defines it. */
export interface LoadedService {
  name: string
  type: ServiceClass
  file: string
}

/**
 * Loads one file. Throws SIGNALBOX_SERVICE_LOAD with file and line when it does not load, and
 * SIGNALBOX_SERVICE_INVALID when its default export is no service.
 */
export async function loadService(folder: string, file: string): Promise<LoadedService> {
  const path = relative(folder, file)
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(file).href)
  } catch (cause) {
    throw loadError(path, cause)
  }
  const type = module.default
  if (!isServiceClass(type)) {
    throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', `${path} has no service as its default export`, {
      details: { file: path },
    })
  }
  const name = type.serviceName ?? path.replace(SERVICE_FILE, '').split(sep).join('.')
  if (!SERVICE_NAME.test(name)) {
    throw new SignalboxError(
      'SIGNALBOX_SERVICE_INVALID',
      `'${name}' (${path}) is no service name: letters, digits, dashes and underscores, in parts divided by dots`,
      { details: { file: path } },
    )
  }
  return { name, type, file: path }
}

function loadError(path: string, cause: unknown): SignalboxError {
  const error = cause as Error
  const line = /:(\d+)(?::\d+)?(?:\)?$|\n)/m.exec(error.stack ?? '')?.[1]
  const place = line ? `${path}:${line}` : path
  return new SignalboxError('SIGNALBOX_SERVICE_LOAD', `${place}: ${error.message}`, {
    cause,
    details: { file: path, ...(line && { line: Number(line) }) },
  })
}
