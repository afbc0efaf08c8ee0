import { Argument, type Command } from 'commander'
import { ERRORS } from '../../core/errors.ts'
import type { AdminClient } from '../admin-client.ts'
import { completionScript, SHELLS, type Shell } from '../completion/scripts.ts'
import { type LiveNames, verbsOf } from '../completion/words.ts'
import { clientOf, examples } from './shared.ts'

/** Nobody waits longer than this for a completion. */
const LIVE_TIMEOUT_MS = 1_500

/** What could do harm in a shell is no completion. */
const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_./-]*$/

/** `signalbox completion` */
export function register(program: Command): void {
  const command = program
    .command('completion')
    .description('print a script that completes verbs, options and names of services')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .action((shell: Shell) => {
      const words = { explain: Object.keys(ERRORS), completion: [...SHELLS] }
      process.stdout.write(completionScript(shell, verbsOf(program, words)))
    })
  examples(
    command,
    'eval "$(signalbox completion bash)"',
    'signalbox completion fish > ~/.config/fish/completions/signalbox.fish',
  )

  program
    .command('__complete', { hidden: true })
    .argument('<what>')
    .action(async (what: string) => {
      // Without a node there is nothing to offer, and a shell that completes is no place for an error.
      const names = await liveNames(what, clientOf({}, LIVE_TIMEOUT_MS)).catch(() => [])
      for (const name of names) if (SAFE_NAME.test(name)) console.log(name)
    })
}

const LIVE: Readonly<Record<LiveNames, (client: AdminClient) => Promise<string[]>>> = {
  services: async client => (await client.services()).map(({ name }) => name),
  secrets: async client => (await client.secrets()).map(({ name }) => name),
  queues: async ({ kept }) => (await kept.logs('queue')).map(({ name }) => name),
  topics: async ({ kept }) => (await kept.logs('topic')).map(({ name }) => name),
  logs: async ({ kept }) => (await kept.logs()).map(({ kind, name }) => `${kind}/${name}`),
  topicLogs: async ({ kept }) => (await kept.logs('topic')).map(({ name }) => `topic/${name}`),
  schedules: async ({ kept }) => (await kept.schedules()).map(({ name }) => name),
}

async function liveNames(what: string, client: AdminClient): Promise<string[]> {
  return Object.hasOwn(LIVE, what) ? LIVE[what as LiveNames](client) : []
}
