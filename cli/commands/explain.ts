import type { Command } from 'commander'
import { ERRORS, type ErrorCode, SignalboxError } from '../../core/errors.ts'
import { type Column, json, paint, table } from '../output.ts'
import { examples } from './shared.ts'

const PREFIX = 'SIGNALBOX_'
const DOCS = 'docs/errors.md'

interface Explained {
  code: ErrorCode
  what: string
  fix: string
  status: number
  retryable: boolean
}

const COLUMNS: Column<Explained>[] = [
  { title: 'CODE', value: ({ code }) => code },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'RETRY', value: ({ retryable }) => (retryable ? 'yes' : 'no') },
  { title: 'WHAT', value: ({ what }) => what },
]

/** `signalbox explain` and `signalbox errors` */
export function register(program: Command): void {
  const explain = program
    .command('explain')
    .description('explain an error code: what it means and how to mend it')
    .argument('<code>', 'e.g. SIGNALBOX_MAILBOX_FULL, or mailbox_full')
    .option('--json', 'for programs')
    .action(async (code: string, options: { json?: boolean }) => {
      const error = await found(code)
      console.log(options.json ? json(error) : explanation(error))
    })
  examples(explain, 'signalbox explain SIGNALBOX_MAILBOX_FULL')

  const errors = program
    .command('errors')
    .description('list all error codes')
    .option('--json', 'for programs')
    .action((options: { json?: boolean }) => {
      const all = (Object.keys(ERRORS) as ErrorCode[]).map(explained)
      console.log(options.json ? json(all) : table(COLUMNS, all))
    })
  examples(errors, 'signalbox errors', 'signalbox errors | grep TIMEOUT')
}

async function found(text: string): Promise<Explained> {
  const upper = text.trim().toUpperCase().replaceAll('-', '_')
  const codes = Object.keys(ERRORS) as ErrorCode[]
  const code = codes.find(known => known === upper || known === PREFIX + upper)
  if (code) return explained(code)
  // Loads the schema compiler, which a verb that starts at once can do without.
  const { nearest } = await import('../../core/schema.ts')
  const bare = codes.map(known => known.slice(PREFIX.length))
  const near = nearest(upper.startsWith(PREFIX) ? upper.slice(PREFIX.length) : upper, bare)
  const hint = near ? `; did you mean ${PREFIX}${near}?` : '; see `signalbox errors`'
  throw new SignalboxError('SIGNALBOX_USAGE', `there is no error code ${text}${hint}`)
}

function explained(code: ErrorCode): Explained {
  const { what, fix, status, retryable } = ERRORS[code]
  return { code, what, fix, status, retryable }
}

function explanation({ code, what, fix, status, retryable }: Explained): string {
  return [
    paint('bold', code),
    '',
    `  What     ${what}`,
    `  Mend it  ${fix}`,
    `  Retry    ${retryable ? 'the same message may succeed when it is sent again' : 'sending the same again will not help'}`,
    `  Status   ${status}, where HTTP answers`,
    `  Read on  ${DOCS}#${code.toLowerCase()}`,
  ].join('\n')
}
