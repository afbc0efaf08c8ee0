#!/usr/bin/env node
/** The command line of Signalbox. */
import './node-version.mjs'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { SignalboxError } from '../core/errors.ts'
import packageJson from '../package.json' with { type: 'json' }
import { useCompileCache } from './compile-cache.ts'

/** Exit codes: 0 fine, 1 it failed, 2 the call itself was wrong. */
const FAILED = 1
const USAGE = 2
const USAGE_CODES: readonly string[] = [
  'SIGNALBOX_USAGE',
  'SIGNALBOX_CONFIG_INVALID',
  'SIGNALBOX_OPTIONS_INVALID',
]

// What follows is loaded when a command needs it, so from here on.
useCompileCache()

const program = new Command('signalbox')
  .description('Integration bus for Node.js: services, channels and connections as supervised actors')
  .version(packageJson.version)
  .showSuggestionAfterError()
  .addHelpText('after', '\nExamples:\n  signalbox start examples/invoice-hub\n  signalbox invoke --help')
  .exitOverride()

program
  .command('start')
  .description('run a project: a folder with signalbox.yaml and services/')
  .argument('[dir]', 'folder of the project', '.')
  .option(
    '-w, --workers <count>',
    'worker threads (default: signalbox.yaml, else one for each core)',
    wholeNumber,
  )
  .addHelpText('after', '\nExample:\n  signalbox start examples/invoice-hub --workers 4')
  .action(async (dir: string, options: { workers?: number }) => {
    const { start } = await import('./start.ts')
    await start(dir, options)
  })

program
  .command('keys')
  .description('make a pair of CURVE keys for a node or a program that attaches to one')
  .option('--json', 'for programs')
  .addHelpText('after', '\nExample:\n  signalbox keys')
  .action(async (options: { json?: boolean }) => {
    const { printKeys } = await import('./keys.ts')
    printKeys(options)
  })

program
  .command('invoke')
  .description('call a service of a running node over its ZeroMQ port')
  .argument('<service>', 'name of the service, e.g. invoices.check')
  .argument('[payload]', 'JSON; - reads it from standard input', 'null')
  .requiredOption('--endpoint <url>', 'ZeroMQ port of the node, e.g. tcp://127.0.0.1:7720')
  .requiredOption('--server-key <key>', 'public key of the node')
  .option('--name <name>', 'name under which the node knows this program', 'cli')
  .option('--timeout <ms>', 'longest time to wait', wholeNumber, 30_000)
  .addHelpText(
    'after',
    '\nThe keys of this program are read from SIGNALBOX_PUBLIC_KEY and SIGNALBOX_SECRET_KEY.\n\nExample:\n  signalbox invoke hello --endpoint tcp://127.0.0.1:7720 --server-key "$SERVER_KEY"',
  )
  .action(async (service: string, payload: string, options: InvokeCommand) => {
    const { invoke } = await import('./invoke.ts')
    await invoke(service, payload, options)
  })

interface InvokeCommand {
  endpoint: string
  serverKey: string
  name: string
  timeout: number
}

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('give a whole number above 0.')
  return value
}

/** Says what went wrong and what to do; the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  if (!(error instanceof SignalboxError)) {
    console.error(error)
    return FAILED
  }
  console.error(`error ${error.code}: ${error.message}`)
  // A worker that did not start says why in its cause.
  const fix = fixOf(error.cause) ?? error.fix
  if (fix) console.error(`  to mend it: ${fix}`)
  return USAGE_CODES.includes(error.code) ? USAGE : FAILED
}

function fixOf(cause: unknown): string | undefined {
  const code = (cause as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? new SignalboxError(code).fix : undefined
}
