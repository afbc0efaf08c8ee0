/** What operators do with queues and topics: look into them, mend and resend what failed, purge. */
import { SignalboxError } from '../../core/errors.ts'
import type { DeliveryState, MessageView, StartAt, StoredMessage } from '../../core/store/messages/message.ts'
import type { LogCounts, MessageLog } from '../../core/store/messages/message-log.ts'
import { type MessageContent, packContent, unpackContent } from './content.ts'
import type { LogRegistry } from './log-registry.ts'
import { type LogKind, QUEUE_SUBSCRIPTION } from './protocol.ts'

/** A queue or topic, as operators see it. */
export interface LogView {
  kind: LogKind
  name: string
  counts: LogCounts | undefined
  /** When the oldest message that has not been settled was published, by subscription. */
  oldest: Record<string, number>
  /** Why it is not there. */
  error?: { code: string; message: string }
}

/** A message, as operators see it. */
export interface KeptMessageView extends Omit<StoredMessage, 'content'>, Omit<MessageContent, 'payload'> {
  state: DeliveryState
  attempts: number
  failure: MessageView['failure']
  bytes: number
  /** Left out of lists when it is large: then `payloadOmitted` is set. */
  payload?: unknown
  payloadOmitted?: true
}

export interface MessagePage {
  messages: KeptMessageView[]
  /** Where to go on; undefined at the end. */
  next: number | undefined
}

/** Names a subscription of a topic, or a queue. */
export interface LogRef {
  kind: LogKind
  name: string
  /** Of a topic. */
  subscription?: string | undefined
}

export interface BrowseRequest extends LogRef {
  states?: DeliveryState[] | undefined
  after?: number | undefined
  limit?: number | undefined
  /** Only messages in whose payload, headers or id this text is; letters of any case. */
  search?: string | undefined
  cid?: string | undefined
}

export interface PublishRequest extends Omit<LogRef, 'subscription'> {
  payload: unknown
  headers?: Record<string, string> | undefined
  id?: string | undefined
  key?: string | undefined
  priority?: number | undefined
  delayMs?: number | undefined
  expiresInMs?: number | undefined
}

/** Payloads over this many bytes are shown one by one only. */
const MAX_LISTED_BYTES = 16 * 1024
/** Dead letters that are resent at once. */
const RESEND_BATCH = 1_000

/** What the node may ask of its keeper. */
export function logAdmin(logs: LogRegistry) {
  const logOf = ({ kind, name }: Pick<LogRef, 'kind' | 'name'>) => logs.log(kind, name)
  return {
    listLogs: (): LogView[] => [
      ...logs.list().map(({ kind, name, log }) => viewOfLog(kind, name, log)),
      ...logs.failed().map(({ address, error: { code, message } }): LogView => {
        const [kind, name] = address.split('/') as [LogKind, string]
        return { kind, name, counts: undefined, oldest: {}, error: { code, message } }
      }),
    ],
    browseLog: async (request: BrowseRequest): Promise<MessagePage> => {
      const { states, after, limit, search, cid } = request
      const page = await logOf(request).browse({
        subscription: subscriptionOf(request),
        states,
        after,
        limit,
        where: search === undefined && cid === undefined ? undefined : matcher(search, cid),
      })
      return { messages: page.messages.map(view => viewOf(view, MAX_LISTED_BYTES)), next: page.next }
    },
    getMessage: async (request: LogRef & { seq: number }): Promise<KeptMessageView> =>
      viewOf(await existing(logOf(request), request), Number.POSITIVE_INFINITY),
    publishMessage: async ({ kind, name, payload, ...options }: PublishRequest) => {
      const content = packContent(payload, {}, 'admin')
      const [receipt] = await logOf({ kind, name }).publish([{ content, ...options }])
      return receipt
    },
    editMessage: async (
      request: LogRef & { seq: number; payload: unknown; headers?: Record<string, string> },
    ) => {
      const log = logOf(request)
      const { message } = await existing(log, request)
      const { payload: _, from, ...context } = unpackContent(message.content)
      const { identity, ...rest } = context
      const content = packContent(request.payload, { ...rest, origin: { identity } }, from)
      await log.edit(request.seq, { content, headers: request.headers })
    },
    /** Delivers dead letters again: those that are named, or all. Resolves with how many. */
    resendMessages: async (request: LogRef & { seqs?: number[] }): Promise<number> => {
      const log = logOf(request)
      const subscription = subscriptionOf(request)
      if (request.seqs) return log.revive(subscription, request.seqs)
      let count = 0
      for (;;) {
        const { messages } = await log.browse({ subscription, states: ['dead'], limit: RESEND_BATCH })
        if (messages.length === 0) return count
        count += await log.revive(
          subscription,
          messages.map(({ message }) => message.seq),
        )
      }
    },
    dropMessages: (request: LogRef & { seqs: number[] }): Promise<number> =>
      logOf(request).drop(request.seqs),
    purgeLog: (request: LogRef & { states?: DeliveryState[] }): Promise<number> =>
      logOf(request).purge(subscriptionOf(request), request.states),
    seekLog: (request: LogRef & { to: StartAt }): Promise<void> =>
      logOf(request).seek(subscriptionOf(request), request.to),
  }
}

function viewOfLog(kind: LogKind, name: string, log: MessageLog): LogView {
  const oldest: Record<string, number> = {}
  for (const { name: subscription } of log.subscriptions()) {
    const at = log.oldest(subscription)
    if (at !== undefined) oldest[subscription] = at
  }
  return { kind, name, counts: log.counts(), oldest }
}

function subscriptionOf({ kind, name, subscription }: LogRef): string {
  if (kind === 'queue') return QUEUE_SUBSCRIPTION
  if (subscription !== undefined) return subscription
  throw new SignalboxError('SIGNALBOX_USAGE', `topic ${name}: say of which subscription`)
}

async function existing(log: MessageLog, ref: LogRef & { seq: number }): Promise<MessageView> {
  const view = await log.get(subscriptionOf(ref), ref.seq)
  if (view) return view
  throw new SignalboxError('SIGNALBOX_NOT_FOUND', `${ref.kind} ${ref.name} has no message ${ref.seq}`)
}

function matcher(search: string | undefined, cid: string | undefined): (message: StoredMessage) => boolean {
  const wanted = search?.toLowerCase()
  return message => {
    const content = contentOf(message)
    if (cid !== undefined && content.cid !== cid) return false
    if (wanted === undefined) return true
    const { id, key, headers } = message
    return JSON.stringify([id, key, headers, content.payload]).toLowerCase().includes(wanted)
  }
}

function contentOf({ content }: StoredMessage): MessageContent {
  return content.length === 0 ? { payload: undefined } : unpackContent(content)
}

function viewOf({ message, state, attempts, failure }: MessageView, maxBytes: number): KeptMessageView {
  const { content, ...known } = message
  const { payload, ...context } = contentOf(message)
  const body = content.length <= maxBytes ? { payload } : { payloadOmitted: true as const }
  return { ...known, ...context, state, attempts, failure, bytes: content.length, ...body }
}
