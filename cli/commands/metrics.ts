import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { plain } from '../output.ts'
import { writeOut } from '../write-out.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox metrics` */
export function register(program: Command): void {
  const command = withNode(program.command('metrics'))
    .description('print the metrics of the node in Prometheus text format')
    .action(async (options: AdminFlags) => writeOut(plain(await clientOf(options).metrics()), undefined))
  examples(command, 'signalbox metrics', 'signalbox metrics | grep _total')
}
