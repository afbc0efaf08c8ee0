/** What can be completed: the verbs and options of the command line, as data. */
import type { Command } from 'commander'

/** Names that a running node is asked for; `logs` are queues and topics as `queue/orders`. */
export type LiveNames = 'services' | 'secrets' | 'queues' | 'topics' | 'logs' | 'topicLogs' | 'schedules'

/** A verb, with the words that may follow it. */
export interface Verb {
  /** `ps`, or `secret set` for a verb of a verb. */
  name: string
  description: string
  options: { flag: string; description: string; takesValue: boolean }[]
  /** Fixed words: verbs of a verb, codes, shells. */
  words: string[]
  /** What a running node is asked for. */
  live: LiveNames | undefined
  files: boolean
}

const LIVE: Record<string, LiveNames> = {
  invoke: 'services',
  'secret set': 'secrets',
  'secret remove': 'secrets',
  queue: 'queues',
  topic: 'topics',
  browse: 'logs',
  publish: 'logs',
  resend: 'logs',
  edit: 'logs',
  drop: 'logs',
  purge: 'logs',
  seek: 'topicLogs',
  'schedules run': 'schedules',
  'schedules pause': 'schedules',
  'schedules resume': 'schedules',
  'schedules history': 'schedules',
}
const FILES = ['start', 'deploy', 'diff', 'apply', 'doctor']

/** All verbs. `words` gives those that are not in the program, by verb. */
export function verbsOf(program: Command, words: Record<string, string[]>, before = ''): Verb[] {
  return program.commands.flatMap(command => {
    if (command.name().startsWith('__')) return []
    const name = before + command.name()
    const inner = verbsOf(command, words, `${name} `)
    return [
      {
        name,
        description: command.description(),
        options: command.options.map(({ long, short, description, required, optional }) => ({
          flag: long ?? short!,
          description,
          takesValue: required || optional,
        })),
        words: words[name] ?? command.commands.map(verb => verb.name()),
        live: LIVE[name],
        files: FILES.includes(name),
      },
      ...inner,
    ]
  })
}
