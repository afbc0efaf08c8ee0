import type { Command } from 'commander'
import { examples } from './shared.ts'

/** `signalbox keys` */
export function register(program: Command): void {
  const command = program
    .command('keys')
    .description('make a pair of CURVE keys for a node or a program that attaches to one')
    .option('--json', 'for programs')
    .action(async (options: { json?: boolean }) => {
      const { printKeys } = await import('../keys.ts')
      printKeys(options)
    })
  examples(command, 'signalbox keys', 'signalbox keys --json > keys.json')
}
