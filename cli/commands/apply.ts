import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { appliedText, diffText } from '../views/changes.ts'
import { yamlSource } from '../yaml-source.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface ApplyOptions extends AdminFlags {
  yes?: boolean
  json?: boolean
}

/** `signalbox apply` */
export function register(program: Command): void {
  const command = withNode(program.command('apply'))
    .description('make a running node match signalbox.yaml: shows the difference, and asks on a terminal')
    .argument('[dir]', 'folder of the project, a file, or - for standard input', '.')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'for programs')
    .action(apply)
  examples(
    command,
    'signalbox apply',
    'signalbox apply production/ --yes',
    'signalbox apply - --yes < other.yaml',
  )
}

async function apply(dir: string, options: ApplyOptions): Promise<void> {
  const client = clientOf(options)
  const yaml = await yamlSource(dir)
  const [planned, resources] = await Promise.all([client.diff(yaml), client.resources()])
  if (planned.changes.length > 0) {
    // Beside the data for programs there is only standard error.
    const say = options.json ? console.error : console.log
    say(diffText(planned.text))
    if (!options.yes && process.stdin.isTTY) await confirm()
  }
  const { changes } = planned.changes.length > 0 ? await client.apply(yaml, planned.etag) : planned
  const ids = resources.map(({ kind, type, name }) => `${kind}/${type}/${name}`)
  console.log(options.json ? json(changes) : appliedText(changes, ids) || 'nothing is configured')
}

/** Resolves when the answer is yes. Rejects with SIGNALBOX_CANCELLED when it is not, or at Ctrl-C or Ctrl-D. */
function confirm(): Promise<void> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  return new Promise((resolve, reject) => {
    let answer: string | undefined
    prompt.question('Apply this? [y/N] ', text => {
      answer = text.trim()
      prompt.close()
    })
    prompt.once('close', () => {
      if (answer === undefined) process.stderr.write('\n')
      if (/^y(es)?$/i.test(answer ?? '')) resolve()
      else reject(new SignalboxError('SIGNALBOX_CANCELLED', 'nothing was changed'))
    })
  })
}
