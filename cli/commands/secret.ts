import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import { hiddenPrompt } from '../hidden-prompt.ts'
import { type Column, json, oneLine, table, time } from '../output.ts'
import { clientOf, examples, withNode } from './shared.ts'

const COLUMNS: Column<{ name: string; changedAt: number }>[] = [
  { title: 'SECRET', value: ({ name }) => name },
  { title: 'CHANGED', value: ({ changedAt }) => time(changedAt) },
]

/** `signalbox secret` */
export function register(program: Command): void {
  const secret = program.command('secret').description('store, list and remove secrets')
  examples(secret, 'signalbox secret set ERP_PASSWORD')

  const set = withNode(secret.command('set'))
    .description('store a secret; the value is asked for, or read from standard input')
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
    .argument('<name>', 'referred to as ${secret:NAME} in signalbox.yaml')
    .action(setSecret)
  examples(set, 'signalbox secret set ERP_PASSWORD', 'pass show erp | signalbox secret set ERP_PASSWORD')

  const list = withNode(secret.command('list'))
    .description('list the names of the secrets; nobody gets to see their values')
    .option('--json', 'for programs')
    .action(async (options: AdminFlags & { json?: boolean }) => {
      const secrets = await clientOf(options).secrets()
      if (options.json) console.log(json(secrets))
      else console.log(secrets.length > 0 ? table(COLUMNS, secrets) : 'no secret is stored')
    })
  examples(list, 'signalbox secret list')

  const remove = withNode(secret.command('remove'))
    .description('remove a secret')
    .argument('<name>', 'name of the secret')
    .action(async (name: string, options: AdminFlags) => {
      await clientOf(options).removeSecret(name)
      console.log(`${oneLine(name)} removed`)
    })
  examples(remove, 'signalbox secret remove ERP_PASSWORD')
}

async function setSecret(name: string, options: AdminFlags): Promise<void> {
  const client = clientOf(options)
  // The line break that `echo` and editors add is not part of it.
  const value = process.stdin.isTTY
    ? await hiddenPrompt(`value of ${name} (not shown): `)
    : (await text(process.stdin)).replace(/\r?\n$/, '')
  if (value === '') throw new SignalboxError('SIGNALBOX_USAGE', 'the value is empty, and nothing was stored')
  await client.setSecret(name, value)
  console.log(`${oneLine(name)} stored`)
}
