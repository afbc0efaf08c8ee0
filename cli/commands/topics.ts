import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { logsText } from '../views/logs.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox topics` */
export function register(program: Command): void {
  const command = withNode(program.command('topics'))
    .description('list the topics, their subscriptions and what waits for them')
    .option('--json', 'for programs')
    .action(async (options: AdminFlags & { json?: boolean }) => {
      const topics = await clientOf(options).kept.logs('topic')
      if (options.json) console.log(json(topics))
      else
        console.log(topics.length > 0 ? logsText(topics, 'TOPIC') : 'there is no topic; see docs/messages.md')
    })
  examples(command, 'signalbox topics', "signalbox topics --json | jq '.[].subscriptions[].name'")
}
