/** Where a service file does not load: file and line, for every way in which Node says so or does not. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import { siblingModule } from '../module-url.ts'

interface Place {
  file: string
  line?: number
}

/** What a syntax error may cost to find. */
const PARSE_TIMEOUT_MS = 10_000

/**
 * Parses, without running, a module and those it imports by relative paths, and dies of the first syntax error:
 * Node tells the line of a syntax error in an ES module in its last words alone.
 */
const PARSER = `
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { SourceTextModule } from 'node:vm'
const seen = new Set()
const parse = url => {
  if (seen.has(url)) return
  seen.add(url)
  const source = readFileSync(new URL(url), 'utf8')
  const code = /ts$/.test(url) ? stripTypeScriptTypes(source, { sourceUrl: url }) : source
  const module = new SourceTextModule(code, { identifier: url })
  for (const { specifier } of module.moduleRequests) {
    if (/^[.][.]?[/].*[.]m?[jt]s$/.test(specifier)) parse(new URL(specifier, url).href)
  }
}
parse(process.argv[1])
`

/** The SIGNALBOX_SERVICE_LOAD for what an import threw; `path` is what the file is called; `details` has the service's `file`, and `line` where known. */
export async function loadError(
  folder: string,
  file: string,
  cause: unknown,
  path = relative(folder, file),
): Promise<SignalboxError> {
  const message = cause instanceof Error ? cause.message : String(cause)
  const place = await placeOf(file, cause)
  const placed = place && (place.file === file ? path : relative(folder, place.file))
  const where = place && `${placed}${place.line === undefined ? '' : `:${place.line}`}`
  return new SignalboxError('SIGNALBOX_SERVICE_LOAD', `${where ?? path}: ${message}`, {
    cause,
    details: {
      file: path,
      ...(place?.line !== undefined && { line: place.line }),
      // It may be another file that the service imports.
      ...(place && place.file !== file && { in: relative(folder, place.file) }),
    },
  })
}

async function placeOf(file: string, cause: unknown): Promise<Place | undefined> {
  if (!(cause instanceof Error)) return undefined
  const stack = cause.stack ?? ''
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNSUPPORTED_DIR_IMPORT') return importOf(cause)
  return headOf(stack) ?? frameOf(stack, cause.message) ?? (await parserPlace(file, cause))
}

/** Before the message: `/path/file.ts:5`, then the line itself. */
function headOf(stack: string): Place | undefined {
  const head = /^(file:\/\/\/?.+|\/.+|[A-Za-z]:\\.+):(\d+)\r?\n/.exec(stack)
  return head ? { file: pathOf(head[1]!), line: Number(head[2]) } : undefined
}

const FRAME = /^\s+at (?:.*\()?(?:async )?((?:file:\/\/|\/|[A-Za-z]:\\)[^()]+?):(\d+):\d+\)?$/gm
/** Below this frame stands who loads the file, not what is in it. */
const LOADER = fileURLToPath(siblingModule(import.meta.url, './load'))

/** The first frame in a file that is not Node's own nor a dependency's. */
function frameOf(stack: string, message: string): Place | undefined {
  const frames = stack.slice(Math.max(0, stack.indexOf(message)) + message.length)
  for (const [, file, line] of frames.matchAll(FRAME)) {
    const path = pathOf(file!)
    if (path === LOADER) return undefined
    if (!path.includes(`${sep}node_modules${sep}`)) return { file: path, line: Number(line) }
  }
  return undefined
}

/** The line of the import that leads nowhere. */
async function importOf(cause: Error): Promise<Place | undefined> {
  const [, missing, importer] =
    /'(.+)' (?:is not supported )?(?:resolving ES modules )?imported from (.+)$/.exec(cause.message) ?? []
  if (missing === undefined || importer === undefined) return undefined
  const file = pathOf(importer)
  const lines = (await readFile(file, 'utf8')).split('\n')
  const index = lines.findIndex(line => {
    return Array.from(line.matchAll(/(['"])(.+?)\1/g)).some(([, , specifier]) =>
      leadsTo(specifier!, file, missing),
    )
  })
  return index < 0 ? { file } : { file, line: index + 1 }
}

function leadsTo(specifier: string, file: string, missing: string): boolean {
  if (specifier === missing || specifier.startsWith(`${missing}/`)) return true
  return specifier.startsWith('.') && resolve(file, '..', specifier) === pathOf(missing)
}

function parserPlace(file: string, cause: Error): Promise<Place | undefined> {
  if (!(cause instanceof SyntaxError)) return Promise.resolve(undefined)
  const args = ['--no-warnings', '--experimental-vm-modules', '--input-type=module', '--eval', PARSER]
  const options = { timeout: PARSE_TIMEOUT_MS, env: { ...process.env, NODE_OPTIONS: '' } }
  return new Promise(found => {
    execFile(process.execPath, [...args, '--', pathToFileURL(file).href], options, (_, __, stderr) => {
      found(headOf(stderr))
    })
  })
}

function pathOf(place: string): string {
  return place.startsWith('file:') ? fileURLToPath(place) : place
}
