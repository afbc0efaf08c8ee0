import type { Command } from 'commander'
import { examples, wholeNumber } from './shared.ts'

/** `signalbox start` */
export function register(program: Command): void {
  const command = program
    .command('start')
    .description('run a project: a folder with signalbox.yaml and services/')
    .argument('[dir]', 'folder of the project', '.')
    .option(
      '-w, --workers <count>',
      'worker threads (default: signalbox.yaml, else one for each core)',
      wholeNumber,
    )
    .action(async (dir: string, options: { workers?: number }) => {
      const { start } = await import('../start.ts')
      await start(dir, options)
    })
  examples(command, 'signalbox start examples/invoice-hub --workers 4')
}
