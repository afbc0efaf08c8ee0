import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import type { LogRef } from '../../actors/messages/log-admin.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import { logRef } from '../log-arguments.ts'
import { json } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface PurgeOptions extends AdminFlags {
  subscription?: string
  state?: string
  yes?: boolean
  json?: boolean
}

const DEFAULT_STATES = 'ready,waiting,delayed'

/** `signalbox purge` */
export function register(program: Command): void {
  const command = withNode(program.command('purge'))
    .description('take all messages away for good; asks for the name on a terminal')
    .argument('<log>', 'queue/NAME or topic/NAME')
    .option('-s, --subscription <name>', 'of a topic: what this one has not had yet')
    .option('--state <states>', `which: ready, waiting, delayed, dead (default: ${DEFAULT_STATES})`)
    .option('-y, --yes', 'do not ask')
    .option('--json', 'for programs')
    .action(purge)
  examples(command, 'signalbox purge queue/orders', 'signalbox purge queue/orders --state dead --yes')
}

async function purge(log: string, options: PurgeOptions): Promise<void> {
  const ref = logRef(log, options.subscription)
  const states = options.state?.replaceAll(' ', '').split(',')
  const { kept } = clientOf(options)
  // A name that is not there is said before anybody types anything.
  await kept.log(ref)
  if (!options.yes) await confirm(ref, states?.join(', ') ?? DEFAULT_STATES.replaceAll(',', ', '))
  const { count } = await kept.purge(ref, states)
  console.log(options.json ? json({ count }) : `${count} taken away`)
}

/** Resolves when the name was typed. Rejects with SIGNALBOX_CANCELLED, or SIGNALBOX_USAGE where nobody can be asked. */
async function confirm({ kind, name }: LogRef, states: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new SignalboxError('SIGNALBOX_USAGE', 'there is no terminal to ask on; say --yes if you are sure')
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const left = new AbortController()
  prompt.once('SIGINT', () => prompt.close()).once('close', () => left.abort())
  const question = `This takes away all messages of ${kind}/${name} that are ${states}.\nType ${name} to go on: `
  const answer = await prompt.question(question, { signal: left.signal }).catch(() => {
    process.stderr.write('\n')
    return undefined
  })
  prompt.close()
  if (answer?.trim() !== name) throw new SignalboxError('SIGNALBOX_CANCELLED', 'nothing was taken away')
}
