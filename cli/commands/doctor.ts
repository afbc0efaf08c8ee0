import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { SignalboxError } from '../../core/errors.ts'
import { AdminClient } from '../admin-client.ts'
import { type AdminFlags, adminTarget } from '../admin-target.ts'
import { FAILED } from '../failure.ts'
import { json } from '../output.ts'
import { examples, withNode } from './shared.ts'

interface DoctorOptions extends AdminFlags {
  verbose?: boolean
  json?: boolean
}

/** It is on this machine, or not there. */
const NODE_TIMEOUT_MS = 3_000

/** `signalbox doctor` */
export function register(program: Command): void {
  const command = withNode(program.command('doctor'))
    .description('check machine, project and running node; say why it matters and how to mend it')
    .argument('[dir]', 'folder of the project', '.')
    .option('-v, --verbose', 'say why it matters also where all is well')
    .option('--json', 'for programs')
    .action(doctor)
  command.addHelpText('after', '\nExit codes: 0 no check failed (there may be warnings), 1 at least one did.')
  examples(command, 'signalbox doctor', 'signalbox doctor --json | jq \'.[] | select(.status != "ok")\'')
}

async function doctor(dir: string, options: DoctorOptions): Promise<void> {
  const [{ checksFor }, { runChecks }, { doctorText }] = await Promise.all([
    import('../doctor/index.ts'),
    import('../doctor/check.ts'),
    import('../views/doctor.ts'),
  ])
  const root = resolve(dir)
  const client = new AdminClient(adminTarget(options, root), NODE_TIMEOUT_MS)
  const node = await answered(client.node())
  const logs = node && (await answered(client.kept.logs()))
  const results = await runChecks(await checksFor(root, node, logs))
  console.log(options.json ? json(results) : doctorText(results, options.verbose ?? false))
  if (results.some(({ status }) => status === 'fail')) process.exitCode = FAILED
}

/** No node is no failure: the other checks are there to get one running. */
async function answered<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: SignalboxError) => {
    if (error.code !== 'SIGNALBOX_CONNECT_FAILED') console.error(`the node was not asked: ${error.message}`)
    return undefined
  })
}
