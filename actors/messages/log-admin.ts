/** What operators do with queues and topics: look into them, publish, mend and resend what failed, purge. */
import { SignalboxError } from '../../core/errors.ts'
import type { Receipt } from '../../core/service/service.ts'
import type { DeliveryState, MessageView, StartAt, StoredMessage } from '../../core/store/messages/message.ts'
import type { BrowseOptions, MessageLog } from '../../core/store/messages/message-log.ts'
import { type MessageContent, packContent, unpackContent } from './content.ts'
import type { LogRates } from './log-rates.ts'
import type { LogRegistry } from './log-registry.ts'
import { type LogView, viewOfLog } from './log-view.ts'
import { type LogKind, logAddress, QUEUE_SUBSCRIPTION } from './protocol.ts'
import { publishedIn } from './tailing.ts'

/** A message without what it says: neither payload nor headers, nor who sent it. */
export interface MessageHeadView {
  seq: number
  state: DeliveryState
  attempts: number
  publishedAt: number
  dueAt: number | undefined
  expiresAt: number | undefined
  id: string | undefined
  key: string | undefined
  priority: number
  cid?: string
  /** Where it came from, e.g. `service/orders.create`. */
  from?: string
  bytes: number
  /** Of the last attempt. */
  failure: { code: string; message: string; at: number } | undefined
}

/** A message with all that it says. One of the first three is there. */
export interface KeptMessageView extends Omit<MessageHeadView, 'failure'>, Omit<MessageContent, 'payload'> {
  payload?: unknown
  /** A payload of bytes. */
  payloadBase64?: string
  /** Left out of a list because it is large; asked for by its number it is there. */
  payloadOmitted?: true
  headers: Readonly<Record<string, string>>
  failure: MessageView['failure']
}

export interface Page<Message> {
  messages: Message[]
  /** Where to go on; undefined at the end. */
  next: number | undefined
}

/** A queue, or a subscription of a topic; of a topic with one subscription it need not be named. */
export interface LogRef {
  kind: LogKind
  name: string
  /** Of a topic. */
  subscription?: string | undefined
}

export interface BrowseRequest extends LogRef {
  states?: readonly DeliveryState[] | undefined
  after?: number | undefined
  /** 1 to 1,000. Default 100. */
  limit?: number | undefined
  cid?: string | undefined
  /** Only messages in whose payload, headers, id or key this text is; letters of any case. */
  search?: string | undefined
}

/** What a message says: one of them, or neither for nothing. */
export interface GivenPayload {
  payload?: unknown
  /** Bytes. */
  payloadBase64?: string | undefined
}

export interface PublishRequest extends Omit<LogRef, 'subscription'>, GivenPayload {
  /** Where it comes from, e.g. `admin/ann`. */
  from: string
  cid: string
  headers?: Record<string, string> | undefined
  id?: string | undefined
  key?: string | undefined
  priority?: number | undefined
  delayMs?: number | undefined
  expiresInMs?: number | undefined
}

export interface EditRequest extends LogRef, GivenPayload {
  seq: number
  /** In the place of those that are there. */
  headers?: Record<string, string> | undefined
}

/** Payloads over this many bytes are shown one by one only. */
const MAX_LISTED_BYTES = 16 * 1024
/** Dead letters that are resent at once. */
const RESEND_BATCH = 1_000

/** What the node may ask of its keeper. */
export function logAdmin(logs: LogRegistry, rates: LogRates) {
  const logOf = ({ kind, name }: Pick<LogRef, 'kind' | 'name'>) => logs.log(kind, name)
  const browse = (request: BrowseRequest) => {
    const { states, after, limit, search, cid } = request
    const log = logOf(request)
    const where = search === undefined && cid === undefined ? undefined : matcher(search, cid)
    return log.browse({ subscription: subscriptionOf(log, request), states, after, limit, where })
  }
  const list = (): LogView[] => [
    ...logs.list().map(({ kind, name, log }) => viewOfLog(kind, name, log, rates.of(log))),
    ...logs.failed().map(({ address, error: { code, message } }): LogView => {
      const [kind, name] = address.split('/') as [LogKind, string]
      return { kind, name, subscriptions: [], error: { code, message } }
    }),
  ]
  return {
    listLogs: list,
    /** Also one that did not open. */
    getLog: ({ kind, name }: Pick<LogRef, 'kind' | 'name'>): LogView => {
      const failed = list().find(log => log.kind === kind && log.name === name && log.error)
      return failed ?? viewOfLog(kind, name, logs.log(kind, name), rates.of(logs.log(kind, name)))
    },
    /** Without what they say. */
    listMessages: async (request: Omit<BrowseRequest, 'search'>): Promise<Page<MessageHeadView>> => {
      const { messages, next } = await browse(request)
      return { messages: messages.map(headOf), next }
    },
    browseLog: async (request: BrowseRequest): Promise<Page<KeptMessageView>> => {
      const { messages, next } = await browse(request)
      return { messages: messages.map(view => viewOf(view, MAX_LISTED_BYTES)), next }
    },
    getMessage: async (request: LogRef & { seq: number }): Promise<KeptMessageView> =>
      viewOf(await existing(logOf(request), request), Number.POSITIVE_INFINITY),
    publishMessage: async (request: PublishRequest): Promise<Receipt & { bytes: number }> => {
      const { kind, name, payload: _, payloadBase64: __, from, cid, ...options } = request
      const log = logOf({ kind, name })
      const content = packContent(payloadOf(request), { cid }, from)
      const messages = [{ content, ...options }]
      const publish = () => log.publish(messages)
      const [receipt] = await publishedIn(logAddress(kind, name), { cid }, messages, publish)
      return { ...receipt!, bytes: content.length }
    },
    /** Replaces what a message says. Resolves with its size before and after. */
    editMessage: async (request: EditRequest): Promise<{ before: number; after: number }> => {
      const log = logOf(request)
      const { message } = await existing(log, request)
      const { payload: _, from, identity, ...context } = unpackContent(message.content)
      const content = packContent(payloadOf(request), { ...context, origin: { identity } }, from)
      await log.edit(request.seq, { content, headers: request.headers })
      return { before: message.content.length, after: content.length }
    },
    /** Delivers dead letters again: those that are named, or all that there are now. Resolves with how many. */
    resendMessages: async (request: LogRef & { seqs?: readonly number[] | undefined }): Promise<number> => {
      const log = logOf(request)
      const subscription = subscriptionOf(log, request)
      return request.seqs ? log.revive(subscription, request.seqs) : resendAll(log, subscription)
    },
    /** Takes messages away from everybody. Resolves with how many. */
    dropMessages: (request: LogRef & { seqs: readonly number[] }): Promise<number> =>
      logOf(request).drop(request.seqs),
    purgeLog: async (
      request: LogRef & { states?: readonly DeliveryState[] | undefined },
    ): Promise<number> => {
      const log = logOf(request)
      return log.purge(subscriptionOf(log, request), request.states)
    },
    seekLog: async (request: LogRef & { to: StartAt }): Promise<void> => {
      const log = logOf(request)
      await log.seek(subscriptionOf(log, request), request.to)
    },
  }
}

/** Each once, in the order of their numbers: those that fail again meanwhile are left for the next time. */
async function resendAll(log: MessageLog, subscription: string): Promise<number> {
  let count = 0
  const options: BrowseOptions = { subscription, states: ['dead'], limit: RESEND_BATCH, after: 0 }
  for (;;) {
    const { messages, next } = await log.browse(options)
    count += await log.revive(
      subscription,
      messages.map(({ message }) => message.seq),
    )
    if (next === undefined) return count
    options.after = next
  }
}

function subscriptionOf(log: MessageLog, { kind, name, subscription }: LogRef): string {
  if (kind === 'queue') return QUEUE_SUBSCRIPTION
  if (subscription !== undefined) return subscription
  const names = log.subscriptions().map(one => one.name)
  if (names.length === 1) return names[0]!
  const which = names.length === 0 ? 'it has none' : `name one of its subscriptions: ${names.join(', ')}`
  throw new SignalboxError('SIGNALBOX_USAGE', `a topic is seen by a subscription; of topic ${name} ${which}`)
}

async function existing(log: MessageLog, ref: LogRef & { seq: number }): Promise<MessageView> {
  const view = await log.get(subscriptionOf(log, ref), ref.seq)
  if (view) return view
  throw new SignalboxError('SIGNALBOX_NOT_FOUND', `${ref.kind} ${ref.name} has no message ${ref.seq}`)
}

function payloadOf({ payload, payloadBase64 }: GivenPayload): unknown {
  return payloadBase64 === undefined ? payload : Buffer.from(payloadBase64, 'base64')
}

function matcher(search: string | undefined, cid: string | undefined): (message: StoredMessage) => boolean {
  const wanted = search?.toLowerCase()
  return message => {
    const content = contentOf(message)
    if (cid !== undefined && content.cid !== cid) return false
    if (wanted === undefined) return true
    const { id, key, headers } = message
    return [JSON.stringify([id, key, headers]), textOf(content.payload)].some(text =>
      text.toLowerCase().includes(wanted),
    )
  }
}

/** A text is searched as it is, also where JSON would escape its quotes and line breaks. */
function textOf(payload: unknown): string {
  if (typeof payload === 'string') return payload
  if (payload instanceof Uint8Array) return Buffer.from(payload).toString('utf8')
  const plain = (_key: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  return JSON.stringify(payload, plain) ?? ''
}

function contentOf({ content }: StoredMessage): MessageContent {
  return content.length === 0 ? { payload: undefined } : unpackContent(content)
}

function headOf({ message, state, attempts, failure }: MessageView): MessageHeadView {
  const { content, headers: _, ...known } = message
  const { cid, from } = contentOf(message)
  return {
    ...known,
    state,
    attempts,
    bytes: content.length,
    ...(cid !== undefined && { cid }),
    ...(from !== undefined && { from }),
    failure: failure && { code: failure.code, message: failure.message, at: failure.at },
  }
}

function viewOf(view: MessageView, maxBytes: number): KeptMessageView {
  const { content, headers } = view.message
  const { payload, ...context } = contentOf(view.message)
  return {
    ...headOf(view),
    ...context,
    headers,
    failure: view.failure,
    ...(content.length > maxBytes ? { payloadOmitted: true as const } : shown(payload)),
  }
}

function shown(payload: unknown): GivenPayload {
  return payload instanceof Uint8Array
    ? { payloadBase64: Buffer.from(payload).toString('base64') }
    : { payload }
}
