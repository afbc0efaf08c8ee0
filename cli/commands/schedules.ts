import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import type { AdminFlags } from '../admin-target.ts'
import { FAILED } from '../failure.ts'
import { milliseconds } from '../log-arguments.ts'
import { json, oneLine } from '../output.ts'
import { runsText, runText, schedulesText } from '../views/schedules.ts'
import { clientOf, examples, wholeNumber, withNode } from './shared.ts'

type Flags = AdminFlags & { json?: boolean }

const WAIT_MS = 60_000

/** `signalbox schedules` */
export function register(program: Command): void {
  const schedules = program.command('schedules').description('show, run, pause and resume schedules')
  examples(schedules, 'signalbox schedules', 'signalbox schedules run nightly')

  examples(
    withNode(schedules.command('list', { isDefault: true }))
      .description('list them with their next and last runs; also without this word')
      .option('--json', 'for programs')
      .allowExcessArguments()
      .action(list),
    'signalbox schedules',
  )

  examples(
    named(schedules, 'run', 'run one now, whatever the time; exit code 1 when it fails')
      .option('--wait <time>', 'for its end, at most 10m', milliseconds, WAIT_MS)
      .option('--json', 'for programs')
      .action(run),
    'signalbox schedules run nightly',
  )
  examples(
    named(
      schedules,
      'pause',
      'let it run no more, until it is resumed; also over restarts of the node',
    ).action(async (name: string, options: AdminFlags) => {
      await clientOf(options).kept.pause(name)
      console.log(`${oneLine(name)} is paused`)
    }),
    'signalbox schedules pause nightly',
  )
  examples(
    named(schedules, 'resume', 'let it run again; what fell into the pause is not made up for').action(
      async (name: string, options: AdminFlags) => {
        await clientOf(options).kept.resume(name)
        console.log(`${oneLine(name)} runs again`)
      },
    ),
    'signalbox schedules resume nightly',
  )
  examples(
    named(schedules, 'history', 'show its last runs, newest first')
      .option('--limit <count>', 'at most this many', wholeNumber, 20)
      .option('--json', 'for programs')
      .action(history),
    'signalbox schedules history nightly',
  )
}

function named(schedules: Command, verb: string, description: string): Command {
  return withNode(schedules.command(verb)).description(description).argument('<name>', 'name of the schedule')
}

async function list(options: Flags, command: Command): Promise<void> {
  // Commander takes a mistyped verb for an argument of this one.
  const [wrong] = command.args
  if (wrong !== undefined) {
    const near = nearest(wrong, ['list', 'run', 'pause', 'resume', 'history'])
    const hint = near ? `; did you mean '${near}'?` : ''
    throw new SignalboxError('SIGNALBOX_USAGE', `unknown command 'schedules ${wrong}'${hint}`)
  }
  const schedules = await clientOf(options).kept.schedules()
  if (options.json) console.log(json(schedules))
  else
    console.log(
      schedules.length > 0 ? schedulesText(schedules) : 'there is no schedule; see docs/schedules.md',
    )
}

async function run(name: string, options: Flags & { wait: number }): Promise<void> {
  const result = await clientOf(options).kept.run(name, Math.min(options.wait, 600_000))
  console.log(options.json ? json(result) : oneLine(runText(result)))
  if (result.outcome === 'failed') process.exitCode = FAILED
}

async function history(name: string, options: Flags & { limit: number }): Promise<void> {
  const runs = await clientOf(options).kept.history(name, options.limit)
  if (options.json) console.log(json(runs))
  else console.log(runs.length > 0 ? runsText(runs) : 'it has not run yet')
}
