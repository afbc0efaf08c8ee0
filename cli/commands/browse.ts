import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import type { BrowseQuery } from '../kept-client.ts'
import { logRef, seqsOf } from '../log-arguments.ts'
import { json } from '../output.ts'
import { messagesText, messageText } from '../views/logs.ts'
import { clientOf, examples, wholeNumber, withNode } from './shared.ts'

interface BrowseOptions extends AdminFlags, BrowseQuery {
  subscription?: string
  payloads?: boolean
  json?: boolean
}

/** `signalbox browse` */
export function register(program: Command): void {
  const command = withNode(program.command('browse'))
    .description('look at messages in a queue or topic; to see what they say is recorded')
    .argument('<log>', 'queue/NAME or topic/NAME')
    .argument('[seq]', 'number of one message, to see all of it')
    .option('-s, --subscription <name>', 'of a topic: as this one sees them')
    .option(
      '--state <states>',
      'only these, parted by commas: ready, waiting, leased, delayed, dead, settled',
    )
    .option('--search <text>', 'only those with this text in payload, headers, id or key')
    .option('--cid <id>', 'only those with this correlation id')
    .option('--payloads', 'show what they say')
    .option('--after <seq>', 'only those behind this number', wholeNumber)
    .option('--limit <count>', 'at most this many, up to 1000', wholeNumber, 50)
    .option('--json', 'for programs')
    .action(browse)
  examples(
    command,
    'signalbox browse queue/orders --state dead',
    'signalbox browse queue/orders 17',
    'signalbox browse topic/prices --subscription desk --search EUR',
  )
}

async function browse(log: string, seq: string | undefined, options: BrowseOptions): Promise<void> {
  const ref = logRef(log, options.subscription)
  const { kept } = clientOf(options)
  if (seq !== undefined) {
    const message = await kept.message(ref, seqsOf([seq])[0]!)
    console.log(options.json ? json(message) : messageText(message))
    return
  }
  const { state, search, cid, after, limit } = options
  if (limit! > 1_000)
    throw new SignalboxError('SIGNALBOX_USAGE', '--limit is at most 1000; go on with --after')
  const query: BrowseQuery = {
    limit: limit!,
    ...(state && { state: state.replaceAll(' ', '') }),
    ...(search && { search }),
    ...(cid && { cid }),
    ...(after && { after }),
  }
  const says = options.payloads === true || search !== undefined
  const page = await (says ? kept.browse(ref, query) : kept.messages(ref, query))
  if (options.json) console.log(json(page))
  else console.log(page.messages.length > 0 ? messagesText(page.messages) : 'there is no such message')
  if (!options.json && typeof page.next === 'number') console.log(`\nthere may be more: --after ${page.next}`)
}
