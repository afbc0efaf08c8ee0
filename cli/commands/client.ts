import type { Command } from 'commander'
import { generateClient } from '../../actors/admin/client-generator.ts'
import type { AdminFlags } from '../admin-target.ts'
import { writeOut } from '../write-out.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox client` */
export function register(program: Command): void {
  const command = withNode(program.command('client'))
    .description('write a typed TypeScript client for the channels of the node')
    .requiredOption('--out <file>', 'file to write')
    .action(async (options: AdminFlags & { out: string }) => {
      await writeOut(generateClient(await clientOf(options).openapi()), options.out)
    })
  examples(command, 'signalbox client --out src/bus-client.ts')
}
