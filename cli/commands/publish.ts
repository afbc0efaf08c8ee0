import type { Command } from 'commander'
import type { AdminFlags } from '../admin-target.ts'
import { header, logRef, milliseconds } from '../log-arguments.ts'
import { json, oneLine } from '../output.ts'
import { givenPayload } from '../payload.ts'
import { clientOf, examples, priority, withNode } from './shared.ts'

interface PublishOptions extends AdminFlags {
  header?: Record<string, string>
  id?: string
  key?: string
  priority?: number
  delay?: number
  expires?: number
  bytes?: boolean
  json?: boolean
}

/** `signalbox publish` */
export function register(program: Command): void {
  const command = withNode(program.command('publish'))
    .description('put a message into a queue or topic')
    .argument('<log>', 'queue/NAME or topic/NAME')
    .argument('[payload]', 'JSON; - reads it from standard input, @file from a file', 'null')
    .option('-H, --header <name=value>', 'goes with the message; may be given several times', header)
    .option('--id <id>', 'a second message of this id within the window is dropped')
    .option('--key <key>', 'messages of one key are delivered in order, one at a time')
    .option('--priority <0-9>', 'higher ones are delivered first', priority)
    .option('--delay <time>', 'not delivered sooner, e.g. 30s or 2h', milliseconds)
    .option('--expires <time>', 'not delivered later, e.g. 1d', milliseconds)
    .option('--bytes', 'the payload is bytes, not JSON')
    .option('--json', 'for programs')
    .action(publish)
  examples(
    command,
    `signalbox publish queue/orders '{"id":7}' --id order-7`,
    'signalbox publish topic/prices @price.json --header x-currency=EUR',
    'signalbox publish queue/scans - --bytes < scan.pdf',
  )
}

async function publish(log: string, payload: string, options: PublishOptions): Promise<void> {
  const ref = logRef(log)
  const { header: headers, id, key, priority: level, delay, expires } = options
  const publication = {
    ...(await givenPayload(payload, options.bytes ?? false)),
    ...(headers && { headers }),
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(level !== undefined && { priority: level }),
    ...(delay !== undefined && { delayMs: delay }),
    ...(expires !== undefined && { expiresInMs: expires }),
  }
  const receipt = await clientOf(options).kept.publish(ref, publication)
  const { seq, duplicate } = receipt
  if (options.json) console.log(json(receipt))
  else if (duplicate) console.log(`dropped: message ${seq} of ${oneLine(log)} has the same id`)
  else console.log(`message ${seq} of ${oneLine(log)}`)
}
