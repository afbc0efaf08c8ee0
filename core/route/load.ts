/** Finds and loads the route files of a project. */
import { readFile, stat } from 'node:fs/promises'
import { relative, sep } from 'node:path'
import { SignalboxError } from '../errors.ts'
import {
  defaultExport,
  findFiles,
  isHidden,
  type LoadOptions,
  loadEach,
  withoutTwins,
} from '../service/load.ts'
import { type CheckedRoute, checkRoute } from './check.ts'
import { RouteBuilder } from './route.ts'
import { type Locate, parseRoute } from './yaml.ts'

const ROUTE_FILE = /\.(?:ts|mts|js|mjs|yaml|yml)$/
const NO_ROUTE = /\.test\.|\.d\.m?ts$/
const ROUTE_NAME = /^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/
const MAX_BYTES = 4 * 1024 * 1024

/** A route as its file defines it. */
export interface LoadedRoute {
  name: string
  route: CheckedRoute
  file: string
  /** The place of a JSON pointer in a YAML file; undefined for others. */
  locate: Locate | undefined
}

/** Whether a path can be that of a route file, by its name. */
export function isRouteFile(path: string): boolean {
  return ROUTE_FILE.test(path) && !NO_ROUTE.test(path) && !isHidden(path)
}

/** Paths of the route files below a folder, sorted. */
export function findRoutes(folder: string): Promise<string[]> {
  return findFiles(folder, isRouteFile)
}

/**
 * Loads one file. Throws SIGNALBOX_ROUTE_LOAD when it does not load, and SIGNALBOX_ROUTE_INVALID with everything that
 * is wrong; details `file`, and `line` where it is known.
 */
export async function loadRoute(
  folder: string,
  file: string,
  options: LoadOptions = {},
): Promise<LoadedRoute> {
  const path = options.as ?? relative(folder, file)
  const { route, locate } = /\.ya?ml$/.test(file)
    ? await loadYaml(file, path)
    : { route: await loadModule(folder, file, path, options), locate: undefined }
  const name = route.settings.name ?? path.replace(ROUTE_FILE, '').split(sep).join('.')
  if (ROUTE_NAME.test(name)) return { name, route, file: path, locate }
  throw new SignalboxError(
    'SIGNALBOX_ROUTE_INVALID',
    `'${name}' (${path}) is no name of a route: letters, digits, dashes and underscores, in parts divided by dots`,
    { details: { file: path } },
  )
}

/** The routes of a folder, and why others are not among them. */
export async function loadRoutes(
  folder: string,
  versionOf: (file: string) => Promise<string | undefined> = async () => undefined,
): Promise<{ routes: LoadedRoute[]; errors: SignalboxError[] }> {
  const load = (file: string, version: string | undefined) =>
    loadRoute(folder, file, version === undefined ? {} : { version })
  const { loaded, errors } = await loadEach(await findRoutes(folder), load, versionOf)
  const { units, twins } = withoutTwins('route', loaded)
  return { routes: units, errors: [...errors, ...twins] }
}

async function loadYaml(file: string, path: string) {
  let text: string
  try {
    const { size } = await stat(file)
    if (size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_ROUTE_LOAD', `${path}: ${(cause as Error).message}`, {
      cause,
      details: { file: path },
    })
  }
  return parseRoute(text, path)
}

async function loadModule(
  folder: string,
  file: string,
  path: string,
  options: LoadOptions,
): Promise<CheckedRoute> {
  let exported: unknown
  try {
    exported = await defaultExport(folder, file, options)
  } catch (thrown) {
    const { message, details, cause } = thrown as SignalboxError
    throw new SignalboxError('SIGNALBOX_ROUTE_LOAD', message, { cause, ...(details && { details }) })
  }
  const definition = exported instanceof RouteBuilder ? exported.definition() : exported
  if (typeof definition !== 'object' || definition === null) {
    const message = `${path} has no route as its default export: export default route('...')...`
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', message, { details: { file: path } })
  }
  return checkRoute(definition, path)
}

/** The same error with file, line and column of a step that does not compile. */
export function placed(error: SignalboxError, { file, locate }: LoadedRoute): SignalboxError {
  const { pointer } = error.details ?? {}
  const place = locate && typeof pointer === 'string' ? locate(pointer) : undefined
  const where = place ? `${file}:${place.line}` : file
  return new SignalboxError(error.code, `${where}: ${error.message}`, {
    cause: error,
    details: { ...error.details, file, ...place },
  })
}
