import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { logText } from '../views/logs.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox topic` */
export function register(program: Command): void {
  const command = withNode(program.command('topic'))
    .description('show one topic and its subscriptions')
    .argument('<name>', 'name of the topic')
    .option('--json', 'for programs')
    .action(async (name: string, options: AdminFlags & { json?: boolean }) => {
      const topic = await clientOf(options).kept.log({ kind: 'topic', name })
      console.log(options.json ? json(topic) : logText(topic))
    })
  examples(command, 'signalbox topic prices')
}
