import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { logsText } from '../views/logs.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox queues` */
export function register(program: Command): void {
  const command = withNode(program.command('queues'))
    .description('list the queues, what waits in them, and dead letters')
    .option('--json', 'for programs')
    .action(async (options: AdminFlags & { json?: boolean }) => {
      const queues = await clientOf(options).kept.logs('queue')
      if (options.json) console.log(json(queues))
      else
        console.log(queues.length > 0 ? logsText(queues, 'QUEUE') : 'there is no queue; see docs/messages.md')
    })
  examples(command, 'signalbox queues', "signalbox queues --json | jq '.[] | select(.dead > 0)'")
}
