import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { json } from '../output.ts'
import { nodeText } from '../views/node.ts'
import { clientOf, examples, untilInterrupted, wholeNumber, withNode } from './shared.ts'

interface PsOptions extends AdminFlags {
  all?: boolean
  watch?: true | number
  json?: boolean
}

const WATCH_SECONDS = 2
/** Cursor home, and clear what is below: without the flicker of clearing first. */
const HOME = '\x1b[H'
const CLEAR_LINE_END = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'

/** `signalbox ps` */
export function register(program: Command): void {
  const command = withNode(program.command('ps'))
    .description('show the node, its workers and their actors')
    .option('-a, --all', 'one line for each actor of each worker, and also those inside of the bus')
    .option(
      '-w, --watch [seconds]',
      `show it again every ${WATCH_SECONDS} seconds, until Ctrl-C`,
      wholeNumber,
    )
    .option('--json', 'for programs')
    .action(ps)
  examples(command, 'signalbox ps', 'signalbox ps --watch', "signalbox ps --json | jq '.workers[].state'")
}

async function ps(options: PsOptions): Promise<void> {
  const client = clientOf(options)
  const show = async () => {
    const node = await client.node()
    // With --watch, one line for each look: a stream of JSON texts.
    if (options.json) return options.watch ? JSON.stringify(node) : json(node)
    return nodeText(node, { all: options.all ?? false })
  }
  if (!options.watch) {
    console.log(await show())
    return
  }
  const signal = untilInterrupted()
  const pauseMs = 1000 * (options.watch === true ? WATCH_SECONDS : options.watch)
  while (!signal.aborted) {
    draw(await show(), options.json !== true && process.stdout.isTTY)
    await delay(pauseMs, undefined, { signal }).catch((error: Error) => {
      if (error.name !== 'AbortError') throw error
    })
  }
}

function draw(text: string, over: boolean): void {
  if (!over) console.log(text)
  else
    process.stdout.write(
      `${HOME}${text.replaceAll('\n', `${CLEAR_LINE_END}\n`)}${CLEAR_LINE_END}\n${CLEAR_BELOW}`,
    )
}
