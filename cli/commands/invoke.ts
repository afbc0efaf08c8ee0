import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { examples, wholeNumber, withNode } from './shared.ts'

interface InvokeOptions extends AdminFlags {
  endpoint?: string
  serverKey?: string
  name: string
  timeout: number
}

/** `signalbox invoke` */
export function register(program: Command): void {
  const command = withNode(program.command('invoke'))
    .description('call a service of a running node and print its answer as JSON')
    .argument('<service>', 'name of the service, e.g. invoices.check')
    .argument('[payload]', 'JSON; - reads it from standard input, @file from a file', 'null')
    .option('--timeout <ms>', 'longest time to wait', wholeNumber, 30_000)
    .option(
      '--endpoint <url>',
      'call over the ZeroMQ port, e.g. tcp://127.0.0.1:7720, as a program outside the bus',
    )
    .option('--server-key <key>', 'with --endpoint: public key of the node')
    .option('--name <name>', 'with --endpoint: name under which the node knows this program', 'cli')
    .action(async (service: string, payload: string, options: InvokeOptions) => {
      const { invoke, invokeOverZeroMq } = await import('../invoke.ts')
      if (options.endpoint === undefined) await invoke(service, payload, options)
      else await invokeOverZeroMq(service, payload, { ...options, endpoint: options.endpoint })
    })
  command.addHelpText(
    'after',
    '\nWith --endpoint the keys of this program are read from SIGNALBOX_PUBLIC_KEY and SIGNALBOX_SECRET_KEY.',
  )
  examples(
    command,
    `signalbox invoke greet '{"name":"Ada"}'`,
    'signalbox invoke invoices.check @invoice.json',
    'echo \'{"name":"Ada"}\' | signalbox invoke greet -',
    'signalbox invoke hello --endpoint tcp://127.0.0.1:7720 --server-key "$SERVER_KEY"',
  )
}
