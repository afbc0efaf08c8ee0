/** What verbs about queues and topics are given: which one, which messages, how long, when. */
import { InvalidArgumentError } from 'commander'
import type { LogRef } from '../actors/messages/log-admin.ts'
import type { LogKind } from '../actors/messages/protocol.ts'
import { SignalboxError } from '../core/errors.ts'
import { nearest } from '../core/schema.ts'
import type { StartAt } from '../core/store/messages/message.ts'

const KINDS: readonly string[] = ['queue', 'topic']

/** Parses `queue/NAME` or `topic/NAME`. Throws SIGNALBOX_USAGE. */
export function logRef(text: string, subscription?: string): LogRef {
  const [kind = '', name, ...more] = text.split('/')
  const isRef = KINDS.includes(kind) && name && more.length === 0
  if (!isRef) {
    const near = name ? nearest(kind, KINDS) : undefined
    const hint = near ? `; did you mean '${near}/${name}'?` : ''
    const message = `'${text}' names no queue or topic; give queue/NAME or topic/NAME${hint}`
    throw new SignalboxError('SIGNALBOX_USAGE', message)
  }
  if (kind === 'queue' && subscription !== undefined)
    throw new SignalboxError('SIGNALBOX_USAGE', '--subscription goes with a topic; a queue has only itself')
  return { kind: kind as LogKind, name, ...(subscription !== undefined && { subscription }) }
}

/** Numbers of messages. Throws SIGNALBOX_USAGE. */
export function seqsOf(texts: readonly string[]): number[] {
  return texts.map(text => {
    if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
    throw new SignalboxError('SIGNALBOX_USAGE', `'${text}' is no number of a message`)
  })
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Parses the argument of an option: milliseconds, or with a unit, e.g. `30s`. */
export function milliseconds(text: string): number {
  const [, count, unit = 'ms'] = /^(\d{1,12})(ms|s|m|h|d)?$/.exec(text) ?? []
  if (count === undefined) throw new InvalidArgumentError('give a time like 500ms, 30s, 10m, 2h or 1d.')
  return Number(count) * UNIT_MS[unit]!
}

/** Gathers `name=value` of an option that may be given several times. */
export function header(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('give a header as name=value.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

/** Parses where a subscription goes: `beginning`, `end`, the number of a message, or a date and time. */
export function startAt(text: string): StartAt {
  if (text === 'beginning' || text === 'end') return { at: text }
  if (/^[1-9]\d{0,14}$/.test(text)) return { at: 'seq', seq: Number(text) }
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time))
    throw new InvalidArgumentError(
      'give beginning, end, the number of a message, or a time like 2026-03-01T08:00:00Z.',
    )
  return { at: 'time', time }
}
