import { type Command, InvalidArgumentError } from 'commander'
import type { AuditView } from '../../actors/admin/operator.ts'
import type { AdminFlags } from '../admin-target.ts'
import { FAILED } from '../failure.ts'
import { type Column, json, paint, table, time } from '../output.ts'
import { clientOf, examples, wholeNumber, withNode } from './shared.ts'

interface AuditOptions extends AdminFlags {
  after: number
  limit: number
  verify?: boolean
  json?: boolean
}

const COLUMNS: Column<AuditView>[] = [
  { title: 'SEQ', value: ({ seq }) => seq },
  { title: 'WHEN', value: ({ at }) => time(at) },
  { title: 'WHO', value: ({ who }) => who },
  { title: 'WHAT', value: ({ what }) => what },
  { title: 'TARGET', value: ({ target }) => target },
  {
    title: 'RESULT',
    value: ({ result }) => result,
    style: ({ result }) => (result === 'ok' ? 'green' : 'red'),
  },
]

/** `signalbox audit` */
export function register(program: Command): void {
  const command = withNode(program.command('audit'))
    .description('show administrative acts: who did what and when')
    .option('--after <seq>', 'only those after this number', sequence, 0)
    .option('--limit <count>', 'at most this many', wholeNumber, 100)
    .option('--verify', 'check instead that the chain is whole; exit code 1 when it is not')
    .option('--json', 'for programs')
    .action(audit)
  examples(command, 'signalbox audit --limit 20', 'signalbox audit --verify')
}

async function audit(options: AuditOptions): Promise<void> {
  const client = clientOf(options)
  if (options.verify) {
    const result = await client.verifyAudit()
    const broken = result.brokenAt ?? undefined
    if (options.json) console.log(json(result))
    else if (broken === undefined) console.log(`the chain is whole: ${result.entries} entries`)
    else console.log(paint('red', `the chain is broken at entry ${broken} of ${result.entries}`))
    if (broken !== undefined) process.exitCode = FAILED
    return
  }
  const entries = await client.audit(options.after, options.limit)
  if (options.json) console.log(json(entries))
  else console.log(entries.length > 0 ? table(COLUMNS, entries) : 'nothing is recorded')
}

function sequence(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('give a whole number.')
  return Number(text)
}
