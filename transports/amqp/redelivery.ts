/** How often a message was delivered, and what becomes of it when it failed. */
import { createHash } from 'node:crypto'
import type { ConsumeMessage, Options } from 'amqplib'
import type { SignalboxError } from '../../core/errors.ts'
import { ATTEMPTS_HEADER, CID_HEADER, ERROR_HEADER, tableOf } from './inbound.ts'
import type { AmqpChannelSettings } from './options.ts'

/** Longest time that a message is kept before it is given back; the broker ends consumers that keep one too long. */
const MAX_HOLD_MS = 600_000
/** Pause before a message that could not be moved elsewhere is given back. */
export const MOVE_RETRY_MS = 1_000
/** So many failed messages are remembered; the oldest is forgotten first. */
const MAX_REMEMBERED = 10_000
const MAX_HEADER_TEXT = 1_024

/** What is done with a message that failed. */
export type Verdict =
  | { act: 'requeue'; delayMs: number }
  | { act: 'delay'; queue: string; attempts: number }
  | { act: 'reject' | 'publish' | 'discard'; final: boolean }

/** A queue whose messages come back after a time. */
export interface DelayQueue {
  name: string
  delayMs: number
}

/** The delay queues that a channel needs. */
export function delayQueuesOf({ retry, queue }: AmqpChannelSettings): DelayQueue[] {
  if (retry.by !== 'delayQueues') return []
  return [...new Set(retry.delaysMs)].map(delayMs => ({ name: delayQueueName(queue, delayMs), delayMs }))
}

function delayQueueName(queue: string, delayMs: number): string {
  return `${queue}.retry.${delayMs}`
}

/** Decides, by the options of one channel. */
export class Redelivery {
  readonly #settings: AmqpChannelSettings
  /** Deliveries of messages that this channel gave back, where the broker does not count them (classic queues). */
  readonly #counts = new Map<string, number>()

  constructor(settings: AmqpChannelSettings) {
    this.#settings = settings
  }

  /** The number of this delivery, from 1, as far as anybody has counted. */
  attemptOf(message: ConsumeMessage): number {
    const { headers } = message.properties
    const { redelivered } = message.fields
    if (!redelivered && headers === undefined) return 1
    const table = tableOf(message)
    const counted = Math.max(
      countOf(table['x-delivery-count']),
      countOf(table[ATTEMPTS_HEADER]),
      rejectionsOf(table['x-death'], this.#settings.queue),
    )
    const here = redelivered && this.#counts.size > 0 ? (this.#counts.get(keyOf(message)) ?? 0) : 0
    return Math.max(counted, here) + 1
  }

  /** What becomes of a message whose delivery number `attempt` failed. */
  judge(message: ConsumeMessage, attempt: number, error: SignalboxError): Verdict {
    const { retry, failed, queue } = this.#settings
    const usedUp = retry.maxAttempts > 0 && attempt >= retry.maxAttempts
    if (!error.retryable || usedUp || retry.by === 'never') {
      this.#counts.delete(keyOf(message))
      return { act: failed.to, final: true }
    }
    if (retry.by === 'deadLetter') return { act: 'reject', final: false }
    const delayMs = retry.delaysMs[Math.min(attempt, retry.delaysMs.length) - 1]!
    if (retry.by === 'delayQueues') {
      return { act: 'delay', queue: delayQueueName(queue, delayMs), attempts: attempt }
    }
    this.#remember(keyOf(message), attempt)
    return { act: 'requeue', delayMs: Math.min(error.retryAfterMs ?? delayMs, MAX_HOLD_MS) }
  }

  /** A message that was delivered again has succeeded. */
  forget(message: ConsumeMessage): void {
    if (this.#counts.size > 0) this.#counts.delete(keyOf(message))
  }

  #remember(key: string, attempt: number): void {
    this.#counts.delete(key)
    this.#counts.set(key, attempt)
    if (this.#counts.size > MAX_REMEMBERED) this.#counts.delete(this.#counts.keys().next().value!)
  }
}

/** Counts come from outside: whatever is no count is none. */
function countOf(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
}

/** How often the queue has rejected the message, by the record that the broker keeps of its deaths. */
function rejectionsOf(deaths: unknown, queue: string): number {
  if (!Array.isArray(deaths)) return 0
  const mine = deaths.find(death => death?.queue === queue && death.reason === 'rejected')
  return countOf(mine?.count)
}

/** A message without an id is known by what it says. */
function keyOf({ properties, content }: ConsumeMessage): string {
  const { messageId } = properties
  if (typeof messageId === 'string' && messageId !== '') return messageId
  return createHash('sha1').update(content).digest('base64')
}

/** The properties to send a message on with: its own, without those that concern only where it was sent first. */
export function sendOnProperties(
  message: ConsumeMessage,
  more: Record<string, unknown>,
): Options.Publish & { headers: Record<string, unknown> } {
  const { properties } = message
  const { expiration: _, userId, clusterId: __, headers: ___, ...kept } = properties
  // CC and BCC would send it to further queues again; the broker lets nobody send as another user.
  const { CC: ____, BCC: _____, ...table } = tableOf(message)
  const headers = { ...table, ...(userId !== undefined && { 'x-signalbox-user-id': userId }), ...more }
  return { ...kept, headers, persistent: properties.deliveryMode !== 1, mandatory: true }
}

/** The headers that tell why a message failed for good. */
export function reasonHeaders(
  error: SignalboxError,
  attempt: number,
  queue: string,
): Record<string, string | number> {
  const cid = error.details?.cid
  return {
    [ATTEMPTS_HEADER]: attempt,
    [ERROR_HEADER]: error.code,
    [`${ERROR_HEADER}-message`]: error.message.slice(0, MAX_HEADER_TEXT),
    'x-signalbox-failed-queue': queue,
    ...(typeof cid === 'string' && { [CID_HEADER]: cid }),
  }
}
