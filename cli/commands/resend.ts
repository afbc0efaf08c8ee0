import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import { logRef, seqsOf } from '../log-arguments.ts'
import { json } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface ResendOptions extends AdminFlags {
  subscription?: string
  all?: boolean
  json?: boolean
}

/** `signalbox resend` */
export function register(program: Command): void {
  const command = withNode(program.command('resend'))
    .description('deliver dead letters again; also settled messages of a topic that are still there')
    .argument('<log>', 'queue/NAME or topic/NAME')
    .argument('[seq...]', 'numbers of the messages')
    .option('-s, --subscription <name>', 'of a topic')
    .option('--all', 'all dead letters that there are now')
    .option('--json', 'for programs')
    .action(resend)
  examples(command, 'signalbox resend queue/orders 17 18', 'signalbox resend queue/orders --all')
}

async function resend(log: string, given: string[], options: ResendOptions): Promise<void> {
  const ref = logRef(log, options.subscription)
  if (given.length > 0 === (options.all === true))
    throw new SignalboxError('SIGNALBOX_USAGE', 'name the messages by their numbers, or say --all')
  const seqs = options.all ? undefined : seqsOf(given)
  const { count } = await clientOf(options).kept.resend(ref, seqs)
  if (options.json) console.log(json({ count }))
  else if (seqs && count < seqs.length)
    console.log(`${count} of ${seqs.length} are delivered again; the others are no dead letters`)
  else console.log(`${count} ${count === 1 ? 'is' : 'are'} delivered again`)
}
