import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { report } from '../failure.ts'
import { json } from '../output.ts'
import { diffText } from '../views/changes.ts'
import { yamlSource } from '../yaml-source.ts'
import { clientOf, examples, withNode } from './shared.ts'

const DIFFERS = 1
const ERROR = 2

/** `signalbox diff` */
export function register(program: Command): void {
  const command = withNode(program.command('diff'))
    .description('show what `apply` would change')
    .argument('[dir]', 'folder of the project, a file, or - for standard input', '.')
    .option('--json', 'for programs')
    .action(diff)
  command.addHelpText('after', '\nExit codes: 0 the node is as the file says, 1 it differs, 2 error.')
  examples(command, 'signalbox diff', 'signalbox diff production/ || echo "somebody changed the node"')
}

async function diff(dir: string, options: AdminFlags & { json?: boolean }): Promise<void> {
  try {
    const result = await clientOf(options).diff(await yamlSource(dir))
    const same = result.changes.length === 0
    if (options.json) console.log(json(result.changes))
    else console.log(same ? 'no difference' : diffText(result.text))
    process.exitCode = same ? 0 : DIFFERS
  } catch (error) {
    report(error)
    process.exitCode = ERROR
  }
}
