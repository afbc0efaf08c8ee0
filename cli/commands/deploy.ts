import { readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
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
    .description('put service files on a running node; a file that does not load changes nothing')
    .argument('<files...>', 'service files of a project, or of anywhere with --as')
    .option('--as <path>', 'path below services/ on the node (default: where the file is in its project)')
    .option('--remove', 'remove the service files instead')
    .option('--json', 'for programs')
    .action(deploy)
  examples(
    command,
    'signalbox deploy services/invoices/check.ts',
    'signalbox deploy /tmp/new.ts --as invoices/check.ts',
    'signalbox deploy --remove services/invoices/check.ts',
  )
}

async function deploy(files: string[], options: DeployOptions): Promise<void> {
  if (options.as !== undefined && files.length > 1)
    throw new SignalboxError('SIGNALBOX_USAGE', '--as goes with one file')
  const client = clientOf(options)
  const results: object[] = []
  for (const path of files) {
    const file = options.as ?? pathBelowServices(path, options.remove ?? false)
    if (options.remove) {
      await client.undeploy(file)
      results.push({ file, removed: true })
      if (!options.json) console.log(`${oneLine(file)} removed`)
      continue
    }
    const source = await read(path)
    const view = await client.deploy(file, source).catch((error: unknown) => {
      console.error(placeOf(error, path, source))
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

/** A file that is to be removed need not be there any more, nor a project around it. */
function pathBelowServices(path: string, remove: boolean): string {
  const file = resolve(path)
  const project = folderWith('signalbox.yaml', dirname(file))
  const below = project && relative(join(project.folder, 'services'), file)
  if (below !== undefined && below !== '' && below.split(sep)[0] !== '..') return below.split(sep).join('/')
  if (remove)
    return path
      .split(sep)
      .join('/')
      .replace(/^(\.\/)?services\//, '')
  const message = `${path} is not below services/ of a project: say with --as where it belongs there`
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
function placeOf(error: unknown, path: string, source: string): string {
  const details = error instanceof SignalboxError ? error.details : undefined
  const { line, in: other } = details ?? {}
  if (typeof line !== 'number') return `${path} is not deployed; what ran before goes on`
  const imported = typeof other === 'string' && !/(^|\/)_pending\./.test(other)
  const text = imported ? undefined : source.split('\n')[line - 1]
  const place = paint('bold', `${imported ? `services/${oneLine(other)}` : path}:${line}`)
  return text === undefined ? place : `${place}\n  ${line} | ${oneLine(text)}`
}
