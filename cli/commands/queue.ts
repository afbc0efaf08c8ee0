import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { logText } from '../views/logs.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox queue` */
export function register(program: Command): void {
  const command = withNode(program.command('queue'))
    .description('show one queue: what waits, who takes it, how much there may be')
    .argument('<name>', 'name of the queue')
    .option('--json', 'for programs')
    .action(async (name: string, options: AdminFlags & { json?: boolean }) => {
      const queue = await clientOf(options).kept.log({ kind: 'queue', name })
      console.log(options.json ? json(queue) : logText(queue))
    })
  examples(command, 'signalbox queue orders')
}
