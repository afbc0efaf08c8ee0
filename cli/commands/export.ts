import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { writeOut } from '../write-out.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox export` */
export function register(program: Command): void {
  const command = withNode(program.command('export'))
    .description('write what runs as signalbox.yaml; secrets stay references')
    .option('--out <file>', 'file to write (default: standard output)')
    .action(async (options: AdminFlags & { out?: string }) => {
      await writeOut(await clientOf(options).export(), options.out)
    })
  examples(command, 'signalbox export > signalbox.yaml', 'signalbox export | signalbox diff -')
}
