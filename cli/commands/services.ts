import type { Command } from 'commander'
import type { ServiceView } from '../../actors/admin/operator.ts'
import type { AdminFlags } from '../admin-target.ts'
import { type Column, json, table } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

const COLUMNS: Column<ServiceView>[] = [
  { title: 'SERVICE', value: ({ name }) => name },
  { title: 'FILE', value: ({ file }) => file },
  { title: 'VERSION', value: ({ version }) => version.slice(0, 12) },
  {
    title: 'SCHEMAS',
    value: ({ input, output }) => [input && 'input', output && 'output'].filter(Boolean).join(', '),
  },
  { title: 'DESCRIPTION', value: ({ description }) => description },
]

/** `signalbox services` */
export function register(program: Command): void {
  const command = withNode(program.command('services'))
    .description('list the services that run')
    .option('--json', 'for programs, with the JSON Schemas')
    .action(async (options: AdminFlags & { json?: boolean }) => {
      const services = await clientOf(options).services()
      if (options.json) console.log(json(services))
      else if (services.length === 0)
        console.log('no service runs; put one into services/, or use `signalbox deploy`')
      else console.log(table(COLUMNS, services))
    })
  examples(command, 'signalbox services', "signalbox services --json | jq -r '.[].name'")
}
