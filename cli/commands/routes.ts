import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { ActorView } from '../../actors/admin/operator.ts'
import { SignalboxError } from '../../core/errors.ts'
import { type LoadedRoute, loadRoutes } from '../../core/route/load.ts'
import { mermaid } from '../../core/route/mermaid.ts'
import { plainRoute } from '../../core/route/plain.ts'
import { nearest } from '../../core/schema.ts'
import { type AdminFlags, folderWith } from '../admin-target.ts'
import { type Column, json, table } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface RoutesOptions extends AdminFlags {
  dir?: string
  mermaid?: boolean
  counts?: boolean
  json?: boolean
}

/** `signalbox routes` */
export function register(program: Command): void {
  const command = withNode(program.command('routes'))
    .description('show the routes of a project, as a table or as a diagram')
    .argument('[name]', 'only this route')
    .option('--dir <folder>', 'folder of the project (default: the one around here)')
    .option('--mermaid', 'as a Mermaid flowchart')
    .option('--counts', 'of the running node: how often each step was begun and has failed')
    .option('--json', 'for programs')
    .action(async (name: string | undefined, options: RoutesOptions) => {
      if (options.counts) await showCounts(name, options)
      else await showFiles(name, options)
    })
  examples(
    command,
    'signalbox routes',
    'signalbox routes --mermaid invoices.intake > intake.mmd',
    'signalbox routes --counts',
  )
}

const COLUMNS: Column<LoadedRoute>[] = [
  { title: 'ROUTE', value: ({ name }) => name },
  { title: 'FILE', value: ({ file }) => file },
  { title: 'STEPS', value: ({ route }) => route.steps.map(({ kind }) => kind).join(', ') },
  { title: 'DESCRIPTION', value: ({ route }) => route.settings.description },
]

async function showFiles(name: string | undefined, options: RoutesOptions): Promise<void> {
  const folder =
    options.dir === undefined ? folderWith('signalbox.yaml', process.cwd())?.folder : resolve(options.dir)
  if (folder === undefined) {
    throw new SignalboxError('SIGNALBOX_USAGE', 'there is no project around here: say with --dir where it is')
  }
  const { routes, errors } = await loadRoutes(join(folder, 'routes'))
  // A diagram on standard output must be one.
  for (const error of errors) console.error(error.message)
  if (errors.length > 0) process.exitCode = 1
  const shown = name === undefined ? routes : [routeNamed(name, routes)]
  if (options.mermaid) process.stdout.write(mermaid(shown))
  else if (options.json) {
    console.log(json(shown.map(({ name, file, route }) => ({ name, file, ...plainRoute(route) }))))
  } else if (shown.length === 0) console.log('no route is there; put one into routes/')
  else console.log(table(COLUMNS, shown))
}

function routeNamed(name: string, routes: readonly LoadedRoute[]): LoadedRoute {
  const found = routes.find(route => route.name === name)
  if (found) return found
  const near = nearest(
    name,
    routes.map(route => route.name),
  )
  const hint = near ? `; did you mean '${near}'?` : ''
  throw new SignalboxError('SIGNALBOX_USAGE', `there is no route '${name}'${hint}`)
}

interface StepLine {
  route: string
  step: string
  begun: number
  failed: number
}

const STEP_COLUMNS: Column<StepLine>[] = [
  { title: 'ROUTE', value: ({ route }) => route },
  { title: 'STEP', value: ({ step }) => step },
  { title: 'BEGUN', value: ({ begun }) => begun },
  { title: 'FAILED', value: ({ failed }) => failed },
]

/** Sums over the workers, in the order of the steps. */
async function showCounts(name: string | undefined, options: RoutesOptions): Promise<void> {
  const { workers } = await clientOf(options).node()
  const lines = new Map<string, StepLine>()
  for (const actor of workers.flatMap(({ actors }) => actors)) {
    const route = /^route\/(.+)$/.exec(actor.address)?.[1]
    if (route === undefined || (name !== undefined && route !== name)) continue
    for (const { id, begun, failed = 0 } of stepsOf(actor)) {
      const line = lines.get(`${route} ${id}`) ?? { route, step: id, begun: 0, failed: 0 }
      line.begun += begun
      line.failed += failed
      lines.set(`${route} ${id}`, line)
    }
  }
  const all = [...lines.values()]
  if (options.json) console.log(json(all))
  else if (all.length === 0) console.log(name === undefined ? 'no route runs' : `route ${name} does not run`)
  else console.log(table(STEP_COLUMNS, all))
}

function stepsOf(actor: ActorView): { id: string; begun: number; failed?: number }[] {
  return Array.isArray(actor.steps) ? (actor.steps as { id: string; begun: number; failed?: number }[]) : []
}
