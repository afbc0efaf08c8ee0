import { type Command, InvalidArgumentError } from 'commander'
import type { AuditQuery } from '../../core/audit/query.ts'
import type { AdminFlags } from '../admin-target.ts'
import { FAILED } from '../failure.ts'
import { json, paint, table } from '../output.ts'
import { MESSAGE_COLUMNS, trailText } from '../views/messages.ts'
import { clientOf, examples, wholeNumber, withNode } from './shared.ts'

interface MessagesOptions extends AdminFlags {
  since?: number
  until?: number
  cid?: string
  name?: string
  kind?: string
  outcome?: string
  text?: string
  limit: number
  after?: string
  json?: boolean
}

interface ReplayOptions extends AdminFlags {
  timeout: number
  json?: boolean
}

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `signalbox messages` */
export function register(program: Command): void {
  const command = withNode(program.command('messages'))
    .description('find messages that have passed this node, and show the way of one')
    .argument('[cid]', 'correlation id: show its whole way, step by step')
    .option('--since <time>', 'not before: 10m, 2h, 3d ago, or a date and time', moment)
    .option('--until <time>', 'not after, likewise', moment)
    .option('--cid <id>', 'correlation id')
    .option('--name <name>', "name, address or glob of it, e.g. 'queue/*'")
    .option('--kind <kind>', 'channel, service, connection, publish, delivery, dead or replay')
    .option('--outcome <outcome>', 'ok, error, or an error code')
    .option('--text <text>', 'in names, headers or kept bodies')
    .option('--limit <count>', 'at most this many', wholeNumber, 100)
    .option('--after <id>', 'go on behind this one')
    .option('--json', 'for programs')
    .action(messages)
  const again = withNode(command.command('replay'))
    .description('send a recorded message again to where it went')
    .argument('<id>', 'id of the recorded step')
    .option('--timeout <ms>', 'how long to wait for it, in milliseconds', wholeNumber, 30_000)
    .option('--json', 'for programs')
    .action(replay)
  const shown = withNode(command.command('body'))
    .description('show the body of a recorded step; that is recorded as an act')
    .argument('<id>', 'id of the recorded step')
    .action(body)
  examples(again, 'signalbox messages replay 1-2s-0')
  examples(shown, 'signalbox messages body 1-2s-0')
  examples(
    command,
    'signalbox messages --since 10m --outcome error',
    'signalbox messages 4fQ0Zk1',
    'signalbox messages replay 1-2s-0',
  )
}

async function messages(cid: string | undefined, options: MessagesOptions): Promise<void> {
  const client = clientOf(options)
  if (cid !== undefined) {
    const trail = await client.trail(cid)
    console.log(options.json ? json(trail) : trailText(trail))
    if (trail.steps.length === 0) process.exitCode = FAILED
    return
  }
  const { since, until, name, kind, outcome, text, limit, after } = options
  const query = { from: since, to: until, cid: options.cid, name, kind, outcome, text, limit, after }
  const page = await client.messages(query as AuditQuery)
  if (options.json) {
    console.log(json(page))
    return
  }
  console.log(page.records.length > 0 ? table(MESSAGE_COLUMNS, page.records) : 'nothing is found')
  for (const note of page.notes) console.error(paint('dim', note))
  if (page.partial) console.error('the search ran out of time')
  if (page.next) console.error(`there may be more: --after ${page.next}`)
}

async function replay(id: string, _options: ReplayOptions, command: Command): Promise<void> {
  const options = command.optsWithGlobals<ReplayOptions>()
  const result = await clientOf(options, options.timeout + 5_000).replay(id, options.timeout)
  if (options.json) console.log(json(result))
  else if (result.error)
    console.log(paint('red', `${result.to} failed: ${result.error.code}: ${result.error.message}`))
  else console.log(`sent again to ${result.to} as ${result.cid}; its way: signalbox messages ${result.cid}`)
  if (result.error) process.exitCode = FAILED
}

async function body(id: string, _options: AdminFlags, command: Command): Promise<void> {
  const { record, payload } = await clientOf(command.optsWithGlobals<AdminFlags>()).messageBody(id)
  if (record.body === 'kept') console.log(typeof payload === 'string' ? payload : json(payload))
  else {
    console.error(`the body was not kept: ${record.body}`)
    process.exitCode = FAILED
  }
}

/** Milliseconds since the epoch. */
function moment(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (count !== undefined) return Date.now() - Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS]
  const at = Date.parse(text)
  if (Number.isNaN(at))
    throw new InvalidArgumentError('give 10m, 2h, 3d, or a date such as 2026-01-31T12:00.')
  return at
}
