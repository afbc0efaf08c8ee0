import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import type { StartAt } from '../../core/store/messages/message.ts'
import type { AdminFlags } from '../admin-target.ts'
import { logRef, startAt } from '../log-arguments.ts'
import { oneLine } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface SeekOptions extends AdminFlags {
  subscription?: string
  to: StartAt
}

/** `signalbox seek` */
export function register(program: Command): void {
  const command = withNode(program.command('seek'))
    .description('send a subscription back, to get again what its topic keeps, or forward')
    .argument('<topic>', 'topic/NAME')
    .option('-s, --subscription <name>', 'which; need not be named where there is only one')
    .requiredOption('--to <place>', 'beginning, end, a time like 2026-03-01T08:00Z, or a number', startAt)
    .action(async (topic: string, options: SeekOptions) => {
      const ref = logRef(topic, options.subscription)
      if (ref.kind !== 'topic')
        throw new SignalboxError(
          'SIGNALBOX_USAGE',
          'only subscriptions of topics go back; see `signalbox resend`',
        )
      await clientOf(options).kept.seek(ref, options.to)
      console.log(`${oneLine(options.subscription ?? topic)} goes on from there`)
    })
  examples(
    command,
    'signalbox seek topic/prices --subscription desk --to beginning',
    'signalbox seek topic/prices -s desk --to 2026-03-01T08:00:00Z',
  )
}
