import type { Command } from 'commander'
import { siblingModule } from '../../core/module-url.ts'
import type { AdminFlags } from '../admin-target.ts'
import { writeOut } from '../write-out.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface ClientGenerator {
  generateClient(openapi: unknown): string
}

/** `signalbox client` */
export function register(program: Command): void {
  const command = withNode(program.command('client'))
    .description('write a typed TypeScript client for the channels of the node')
    .requiredOption('--out <file>', 'file to write')
    .action(async (options: AdminFlags & { out: string }) => {
      const generator = siblingModule(import.meta.url, '../../actors/admin/client-generator')
      const { generateClient }: ClientGenerator = await import(generator.href)
      await writeOut(generateClient(await clientOf(options).openapi()), options.out)
    })
  examples(command, 'signalbox client --out src/bus-client.ts')
}
