import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { findRoutes, loadRoute } from '../../core/route/load.ts'
import { routeTests } from '../../core/route/test-file.ts'
import { findFiles } from '../../core/service/load.ts'
import { folderWith } from '../admin-target.ts'
import { oneLine, paint } from '../output.ts'
import { examples } from './shared.ts'

const YAML_TEST = /\.test\.ya?ml$/
const CODE_TEST = /\.test\.(?:ts|mts|js|mjs)$/

/** `signalbox test` */
export function register(program: Command): void {
  const command = program
    .command('test')
    .description('run the tests beside routes and services: NAME.test.yaml and NAME.test.ts')
    .argument('[dir]', 'folder of the project (default: the one around here)')
    .action(test)
  examples(command, 'signalbox test', 'signalbox test examples/invoice-hub')
}

async function test(dir: string | undefined): Promise<void> {
  const root = dir === undefined ? folderWith('signalbox.yaml', process.cwd())?.folder : resolve(dir)
  if (root === undefined) {
    throw new SignalboxError('SIGNALBOX_USAGE', 'there is no project around here: say where it is')
  }
  const files = await filesOf(root)
  const yaml = files.filter(file => YAML_TEST.test(file))
  const code = files.filter(file => CODE_TEST.test(file))
  if (files.length === 0) {
    console.log('there are no tests: put NAME.test.yaml or NAME.test.ts beside routes/NAME or services/NAME')
    return
  }
  let failed = 0
  for (const file of yaml) failed += await runYaml(root, file)
  if (code.length > 0 && !(await runCode(root, code))) failed++
  if (failed > 0) process.exitCode = 1
}

async function filesOf(root: string): Promise<string[]> {
  const isTest = (path: string) =>
    (YAML_TEST.test(path) || CODE_TEST.test(path)) && !/(?:^|[\\/])node_modules[\\/]/.test(path)
  const folders = await Promise.all(['routes', 'services'].map(name => findFiles(join(root, name), isTest)))
  return folders.flat()
}

/** Runs the tests in a file; how many have failed. A file that is none counts as one. */
async function runYaml(root: string, path: string): Promise<number> {
  const file = relative(root, path)
  let failed = 0
  try {
    const route = await routeOf(root, path)
    const tests = await routeTests(await readFile(path, 'utf8'), file, route, root)
    for (const { name, run } of tests) {
      try {
        await run()
        console.log(`${paint('green', '✔')} ${file}: ${oneLine(name)}`)
      } catch (error) {
        failed++
        console.log(`${paint('red', '✖')} ${file}: ${oneLine(name)}\n${indented((error as Error).message)}`)
      }
    }
  } catch (thrown) {
    failed++
    const { message } = toSignalboxError(thrown, 'SIGNALBOX_ROUTE_INVALID')
    console.log(`${paint('red', '✖')} ${file}\n${indented(message)}`)
  }
  return failed
}

/** The route that a test stands beside: the same name, whatever it is written in. */
async function routeOf(root: string, path: string) {
  const folder = join(root, 'routes')
  const base = path.replace(YAML_TEST, '')
  const found = (await findRoutes(folder)).find(file => file.replace(/\.[a-z]+$/, '') === base)
  if (!found)
    throw new SignalboxError('SIGNALBOX_USAGE', `there is no route ${relative(root, base)} beside it`)
  return (await loadRoute(folder, found)).route
}

/** Runs tests in code with node:test, in a process of their own; whether all passed. */
async function runCode(root: string, files: readonly string[]): Promise<boolean> {
  const env = { ...process.env }
  delete env.NODE_TEST_CONTEXT
  const child = spawn(process.execPath, ['--test', ...files], { cwd: root, stdio: 'inherit', env })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code === 0
}

function indented(text: string): string {
  return text.replace(/^/gm, '    ')
}
