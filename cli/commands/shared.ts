/** What several verbs have in common. */
import { type Command, InvalidArgumentError } from 'commander'
import { AdminClient } from '../admin-client.ts'
import { type AdminFlags, adminTarget, DEFAULT_ADMIN_URL } from '../admin-target.ts'

/** Ends the help of a verb with examples. */
export function examples(command: Command, ...lines: string[]): Command {
  const title = lines.length === 1 ? 'Example' : 'Examples'
  return command.addHelpText('after', `\n${title}:\n${lines.map(line => `  ${line}`).join('\n')}`)
}

/** Gives a verb the options that say which node it talks to. */
export function withNode(command: Command): Command {
  return command
    .option(
      '--url <url>',
      `admin API of the node (default: SIGNALBOX_URL, else the node of this project, else ${DEFAULT_ADMIN_URL})`,
    )
    .option('--token <token>', 'admin token (default: SIGNALBOX_TOKEN, else .signalbox/admin-token)')
}

export function clientOf(flags: AdminFlags, timeoutMs?: number): AdminClient {
  return new AdminClient(adminTarget(flags), timeoutMs)
}

/** Parses the argument of an option. */
export function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('give a whole number above 0.')
  return value
}

/** Parses the argument of an option. */
export function priority(text: string): number {
  if (!/^\d$/.test(text)) throw new InvalidArgumentError('give a number from 0 to 9.')
  return Number(text)
}

/** A signal that is aborted by Ctrl-C, for verbs that run until then. */
export function untilInterrupted(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort())
  return controller.signal
}
