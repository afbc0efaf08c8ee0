import { isDeepStrictEqual } from 'node:util'
import type { Command } from 'commander'
import type { GivenPayload, KeptMessageView } from '../../actors/messages/log-admin.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { AdminFlags } from '../admin-target.ts'
import { edited } from '../editor.ts'
import { header, logRef, seqsOf } from '../log-arguments.ts'
import { oneLine } from '../output.ts'
import { givenPayload, parsed } from '../payload.ts'
import { clientOf, examples, withNode } from './shared.ts'

interface EditOptions extends AdminFlags {
  subscription?: string
  header?: Record<string, string>
  bytes?: boolean
}

/** `signalbox edit` */
export function register(program: Command): void {
  const command = withNode(program.command('edit'))
    .description(
      'change what a message says: in your editor (VISUAL, EDITOR), or by a file or standard input',
    )
    .argument('<log>', 'queue/NAME or topic/NAME')
    .argument('<seq>', 'number of the message')
    .argument('[payload]', 'JSON; - reads it from standard input, @file from a file')
    .option('-s, --subscription <name>', 'of a topic; the message is changed for all of them')
    .option('-H, --header <name=value>', 'set this header as well; may be given several times', header)
    .option('--bytes', 'the payload is bytes, not JSON')
    .action(edit)
  examples(
    command,
    'signalbox edit queue/orders 17',
    'signalbox edit queue/orders 17 @mended.json && signalbox resend queue/orders 17',
  )
}

async function edit(
  log: string,
  given: string,
  payload: string | undefined,
  options: EditOptions,
): Promise<void> {
  const ref = logRef(log, options.subscription)
  const seq = seqsOf([given])[0]!
  const { kept } = clientOf(options)
  const message = await kept.message(ref, seq)
  const headers = options.header && { headers: { ...message.headers, ...options.header } }
  const save = (change: GivenPayload) => kept.edit(ref, seq, { ...change, ...headers })
  const changed =
    payload === undefined
      ? await editByHand(message, headers !== undefined, save)
      : await givenPayload(payload, options.bytes ?? false)
          .then(save)
          .then(() => true)
  console.log(changed ? `message ${seq} of ${oneLine(log)} changed` : 'nothing was changed')
}

/** False when the payload is as it was. What was typed is not lost when it cannot be used. */
async function editByHand(
  message: KeptMessageView,
  always: boolean,
  save: (change: GivenPayload) => Promise<void>,
): Promise<boolean> {
  if (message.payloadBase64 !== undefined)
    throw new SignalboxError('SIGNALBOX_USAGE', 'the payload is bytes; give them with --bytes and @file')
  const before = message.payload ?? null
  const { text, path, done } = await edited(
    `${JSON.stringify(before, null, 2)}\n`,
    `message-${message.seq}.json`,
  )
  try {
    const after = parsed(text)
    const changed = always || !isDeepStrictEqual(before, after)
    if (changed) await save({ payload: after })
    await done()
    return changed
  } catch (error) {
    console.error(`what you have written is in ${path}`)
    throw error
  }
}
