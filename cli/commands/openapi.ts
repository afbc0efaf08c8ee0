import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { writeOut } from '../write-out.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox openapi` */
export function register(program: Command): void {
  const command = withNode(program.command('openapi'))
    .description('write the OpenAPI 3.1 description of the channels of the node')
    .option('--out <file>', 'file to write (default: standard output)')
    .action(async (options: AdminFlags & { out?: string }) => {
      await writeOut(json(await clientOf(options).openapi()), options.out)
    })
  examples(command, 'signalbox openapi --out openapi.json')
}
