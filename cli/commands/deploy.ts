import { readFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import { type AdminFlags, folderWith } from '../admin-target.ts'
import { json, oneLine, paint } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface DeployOptions extends AdminFlags {
  as?: string
  remove?: boolean
  json?: boolean
}

/** `signalbox deploy` */
export function register(program: Command): void {
  const command = withNode(program.command('deploy'))
    .description('put service and route files on a running node; a file that does not load changes nothing')
    .argument('<files...>', 'files below services/ or routes/ of a project, or of anywhere with --as')
    .option(
      '--as <path>',
      'path on the node: below services/, or routes/... (default: where the file is in its project)',
    )
    .option('--remove', 'remove the files instead')
    .option('--json', 'for programs')
    .action(deploy)
  examples(
    command,
    'signalbox deploy services/invoices/check.ts',
    'signalbox deploy /tmp/new.ts --as invoices/check.ts',
    'signalbox deploy routes/invoices/intake.yaml',
    'signalbox deploy --remove services/invoices/check.ts',
  )
}

async function deploy(files: string[], options: DeployOptions): Promise<void> {
  if (options.as !== undefined && files.length > 1)
    throw new SignalboxError('SIGNALBOX_USAGE', '--as goes with one file')
  const client = clientOf(options)
  const results: object[] = []
  for (const path of files) {
    const { kind, file } =
      options.as === undefined ? placeOnNode(path, options.remove ?? false) : placeAs(options.as)
    if (options.remove) {
      await client.undeploy(file, kind)
      results.push({ file, removed: true })
      if (!options.json) console.log(`${oneLine(file)} removed`)
      continue
    }
    const source = await read(path)
    const view = await client.deploy(file, source, kind).catch((error: unknown) => {
      console.error(placeOf(error, path, source, kind))
      throw error
    })
    results.push(view)
    if (!options.json) {
      const { name, version } = view
      console.log(`${oneLine(view.file)} runs as ${oneLine(name)}, version ${oneLine(version).slice(0, 12)}`)
    }
  }
  if (options.json) console.log(json(results))
}

interface PlaceOnNode {
  kind: 'service' | 'route'
  /** Below services/ or routes/. */
  file: string
}

const FOLDERS = { services: 'service', routes: 'route' } as const

/** A path that begins with routes/ is that of a route. */
function placeAs(path: string): PlaceOnNode {
  const [, folder = 'services', file] = /^(?:\.\/)?(?:(services|routes)\/)?(.+)$/.exec(path) ?? []
  return { kind: FOLDERS[folder as keyof typeof FOLDERS], file: file ?? path }
}

/** A file that is to be removed need not be there any more, nor a project around it. */
function placeOnNode(path: string, remove: boolean): PlaceOnNode {
  const file = resolve(path)
  const project = folderWith('signalbox.yaml', dirname(file))
  const [folder, ...below] = project ? relative(project.folder, file).split(sep) : []
  if ((folder === 'services' || folder === 'routes') && below.length > 0) {
    return { kind: FOLDERS[folder], file: below.join('/') }
  }
  if (remove) return placeAs(path.split(sep).join('/'))
  const message = `${path} is not below services/ or routes/ of a project: say with --as where it belongs there`
  throw new SignalboxError('SIGNALBOX_USAGE', message)
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const message = `${path} cannot be read: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_USAGE', message, { cause })
  }
}

/** `path:line`, which editors and terminals make a link, and the line itself. */
function placeOf(error: unknown, path: string, source: string, kind: PlaceOnNode['kind']): string {
  const details = error instanceof SignalboxError ? error.details : undefined
  const { line, in: other } = details ?? {}
  if (typeof line !== 'number') return `${path} is not deployed; what ran before goes on`
  const imported = typeof other === 'string' && !/(^|\/)_pending\./.test(other)
  const text = imported ? undefined : source.split('\n')[line - 1]
  const place = paint('bold', `${imported ? `${kind}s/${oneLine(other)}` : path}:${line}`)
  return text === undefined ? place : `${place}\n  ${line} | ${oneLine(text)}`
}
