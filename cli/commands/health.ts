import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { FAILED } from '../failure.ts'
import { json, oneLine, paint } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

/** `signalbox health` */
export function register(program: Command): void {
  const command = withNode(program.command('health'))
    .description('say whether the node works and takes messages; exit code 1 when not')
    .option('--json', 'for programs')
    .action(async (options: AdminFlags & { json?: boolean }) => {
      const client = clientOf(options)
      const [live, ready] = await Promise.all([client.live(), client.ready()])
      if (options.json) console.log(json({ live, ready }))
      else
        for (const [what, { ok, reasons }] of Object.entries({ live, ready }))
          console.log(line(what, ok, reasons))
      if (!live.ok || !ready.ok) process.exitCode = FAILED
    })
  examples(
    command,
    'signalbox health',
    'signalbox health --url http://10.0.0.2:7700 > /dev/null || page-someone',
  )
}

function line(what: string, ok: boolean, reasons: readonly string[]): string {
  const state = ok ? paint('green', 'yes') : paint('red', 'no')
  return [`${what.padEnd(5)}  ${state}`, ...reasons.map(oneLine)].join('  ')
}
