/** All verbs of the command line. A new one is a file in commands/ and a line here. */
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import * as apply from './commands/apply.ts'
import * as audit from './commands/audit.ts'
import * as browse from './commands/browse.ts'
import * as client from './commands/client.ts'
import * as completion from './commands/completion.ts'
import * as deploy from './commands/deploy.ts'
import * as diff from './commands/diff.ts'
import * as doctor from './commands/doctor.ts'
import * as drop from './commands/drop.ts'
import * as edit from './commands/edit.ts'
import * as explain from './commands/explain.ts'
import * as exportYaml from './commands/export.ts'
import * as health from './commands/health.ts'
import * as init from './commands/init.ts'
import * as invoke from './commands/invoke.ts'
import * as keys from './commands/keys.ts'
import * as messages from './commands/messages.ts'
import * as metrics from './commands/metrics.ts'
import * as openapi from './commands/openapi.ts'
import * as ps from './commands/ps.ts'
import * as publish from './commands/publish.ts'
import * as purge from './commands/purge.ts'
import * as queue from './commands/queue.ts'
import * as queues from './commands/queues.ts'
import * as resend from './commands/resend.ts'
import * as routes from './commands/routes.ts'
import * as scale from './commands/scale.ts'
import * as schedules from './commands/schedules.ts'
import * as secret from './commands/secret.ts'
import * as seek from './commands/seek.ts'
import * as services from './commands/services.ts'
import { examples } from './commands/shared.ts'
import * as start from './commands/start.ts'
import * as tail from './commands/tail.ts'
import * as test from './commands/test.ts'
import * as topic from './commands/topic.ts'
import * as topics from './commands/topics.ts'

interface Group {
  title: string
  verbs: { register(program: Command): void }[]
}

const GROUPS: Group[] = [
  { title: 'Run:', verbs: [init, start, test, keys] },
  { title: 'Look:', verbs: [ps, services, routes, messages, tail, health, metrics, audit, doctor] },
  { title: 'Work:', verbs: [invoke, deploy, scale, secret] },
  { title: 'Queues and topics:', verbs: [queues, queue, topics, topic, browse, publish, seek] },
  { title: 'Dead letters:', verbs: [resend, edit, drop, purge] },
  { title: 'Schedules:', verbs: [schedules] },
  { title: 'Configuration as code:', verbs: [diff, apply, exportYaml] },
  { title: 'Describe:', verbs: [openapi, client, explain, completion] },
]

/** The command line, ready to parse. It throws CommanderError instead of ending the process. */
export function createProgram(): Command {
  const program = new Command('signalbox')
    .description('Integration bus for Node.js: services, channels and connections as supervised actors')
    .version(packageJson.version)
    .showSuggestionAfterError()
    .exitOverride()
  for (const { title, verbs } of GROUPS) {
    program.commandsGroup(title)
    for (const { register } of verbs) register(program)
  }
  program.addHelpText(
    'after',
    '\nExit codes: 0 fine, 1 it failed, 2 the call was wrong (diff: 1 differs, 2 error).',
  )
  return examples(program, 'signalbox start examples/invoice-hub', 'signalbox ps', 'signalbox invoke --help')
}
