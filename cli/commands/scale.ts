import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { clientOf, examples, wholeNumber, withNode } from './shared.ts'

/** `signalbox scale` */
export function register(program: Command): void {
  const command = withNode(program.command('scale'))
    .description('change the number of workers while the node runs; nothing is lost')
    .argument('<workers>', 'how many', wholeNumber)
    .option('--json', 'for programs')
    .action(async (count: number, options: AdminFlags & { json?: boolean }) => {
      const result = await clientOf(options).scale(count)
      console.log(options.json ? json(result) : `${result.workers} workers run`)
    })
  examples(command, 'signalbox scale 4')
}
