import type { Command } from 'commander'
import type { TailFilter } from '../../actors/admin/operator.ts'
import type { AdminFlags } from '../admin-target.ts'
import { tailLine } from '../views/tail.ts'
import { clientOf, examples, untilInterrupted, withNode } from './shared.ts'

interface TailOptions extends AdminFlags, TailFilter {
  json?: boolean
}

/** `signalbox tail` */
export function register(program: Command): void {
  const command = withNode(program.command('tail'))
    .description('show messages as they pass, one line for each step, until Ctrl-C')
    .option('--name <glob>', "addresses to show, e.g. 'service/invoices.*'")
    .option('--cid <id>', 'correlation id to follow')
    .option('--outcome <outcome>', 'ok, failed, or an error code')
    .option('--json', 'for programs: one JSON text on each line')
    .action(async ({ name, cid, outcome, ...options }: TailOptions) => {
      const filter = { ...(name && { name }), ...(cid && { cid }), ...(outcome && { outcome }) }
      const skipped = (count: number) => console.error(`${count} events left out: they came too fast`)
      for await (const event of clientOf(options).tail(filter, untilInterrupted(), skipped)) {
        console.log(options.json ? JSON.stringify(event) : tailLine(event))
      }
    })
  examples(command, 'signalbox tail', "signalbox tail --name 'service/invoices.*' --outcome failed")
}
