import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { logRef, seqsOf } from '../log-arguments.ts'
import { json } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox drop` */
export function register(program: Command): void {
  const command = withNode(program.command('drop'))
    .description('take messages away for good; of a topic from all its subscriptions')
    .argument('<log>', 'queue/NAME or topic/NAME')
    .argument('<seq...>', 'numbers of the messages')
    .option('--json', 'for programs')
    .action(async (log: string, seqs: string[], options: AdminFlags & { json?: boolean }) => {
      const { count } = await clientOf(options).kept.drop(logRef(log), seqsOf(seqs))
      console.log(options.json ? json({ count }) : `${count} dropped`)
    })
  examples(command, 'signalbox drop queue/orders 17')
}
