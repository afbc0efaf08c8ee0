/** Messages that cannot be handled: entries of a stream, with the reason. */
import type { SignalboxError } from '../../core/errors.ts'
import type { RedisClient } from './client.ts'
import type { RedeliverySettings } from './options.ts'
import { companion } from './source.ts'

/** Longest reason that is kept. */
const MAX_REASON_CHARS = 1_000

/** What is known of a message beside its fields. */
export interface DeadLetter {
  fields: readonly (string | Buffer)[]
  /** Key and, in a stream, entry it was. */
  source: string
  id: string
  attempts: number
  reason: SignalboxError
  at: number
}

/** Name of the stream for the dead letters of a key. */
export function deadLetterKey(key: string, keyPrefix: string, { deadLetter }: RedeliverySettings): string {
  return deadLetter.stream === undefined ? companion(key, 'dead') : `${keyPrefix}${deadLetter.stream}`
}

/** Writes one, and resolves when the server has it. */
export async function writeDeadLetter(
  client: RedisClient,
  key: string,
  maxLen: number,
  { fields, source, id, attempts, reason, at }: DeadLetter,
): Promise<void> {
  const trim = maxLen === 0 ? [] : ['MAXLEN', '~', maxLen]
  await client.xadd(
    key,
    ...trim,
    '*',
    ...fields,
    'dead-source',
    source,
    'dead-id',
    id,
    'dead-deliveries',
    attempts,
    'dead-code',
    reason.code,
    'dead-reason',
    reason.message.slice(0, MAX_REASON_CHARS),
    'dead-at',
    new Date(at).toISOString(),
  )
}
