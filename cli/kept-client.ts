/** The part of the admin API that is about queues, topics, messages and schedules, as functions. */
import type { Publication, PublishedView, ScheduleStateView } from '../actors/admin/kept-operator.ts'
import type {
  GivenPayload,
  KeptMessageView,
  LogRef,
  MessageHeadView,
  Page,
} from '../actors/messages/log-admin.ts'
import type { LogView } from '../actors/messages/log-view.ts'
import type { LogKind } from '../actors/messages/protocol.ts'
import type { ScheduleRun } from '../actors/schedules/schedule.ts'
import type { StartAt } from '../core/store/messages/message.ts'

/** Which messages to look at. */
export interface BrowseQuery {
  /** Parted by commas. */
  state?: string
  cid?: string
  search?: string
  after?: number
  limit?: number
}

type Ask = <T>(
  method: string,
  path: string,
  parts?: { json?: unknown; query?: Record<string, string | number | undefined>; timeoutMs?: number },
) => Promise<T>

/** Every method rejects as those of the AdminClient do. */
export class KeptClient {
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
  }

  logs(kind?: LogKind): Promise<LogView[]> {
    return this.#ask('GET', '/v1/kept', { query: { kind } })
  }

  log(ref: LogRef): Promise<LogView> {
    return this.#ask('GET', pathOf(ref))
  }

  /** Without what they say. */
  messages(ref: LogRef, { search: _, ...query }: BrowseQuery): Promise<Page<MessageHeadView>> {
    return this.#ask('GET', `${pathOf(ref)}/messages`, { query: { ...queryOf(ref), ...query } })
  }

  /** With what they say. */
  browse(ref: LogRef, query: BrowseQuery): Promise<Page<KeptMessageView>> {
    return this.#ask('GET', `${pathOf(ref)}/browse`, { query: { ...queryOf(ref), ...query } })
  }

  message(ref: LogRef, seq: number): Promise<KeptMessageView> {
    return this.#ask('GET', `${pathOf(ref)}/messages/${seq}`, { query: queryOf(ref) })
  }

  publish(ref: LogRef, publication: Publication): Promise<PublishedView> {
    return this.#ask('POST', `${pathOf(ref)}/messages`, { json: publication })
  }

  edit(
    ref: LogRef,
    seq: number,
    change: GivenPayload & { headers?: Readonly<Record<string, string>> },
  ): Promise<void> {
    return this.#ask('PUT', `${pathOf(ref)}/messages/${seq}`, { json: change, query: queryOf(ref) })
  }

  /** Dead letters: those of these numbers, or all. */
  resend(ref: LogRef, seqs: readonly number[] | undefined): Promise<{ count: number }> {
    const json = { ...queryOf(ref), ...(seqs && { seqs }) }
    return this.#ask('POST', `${pathOf(ref)}/resend`, { json, timeoutMs: LONG_MS })
  }

  drop(ref: LogRef, seqs: readonly number[]): Promise<{ count: number }> {
    return this.#ask('POST', `${pathOf(ref)}/drop`, { json: { seqs } })
  }

  purge(ref: LogRef, states: readonly string[] | undefined): Promise<{ count: number }> {
    const json = { ...queryOf(ref), ...(states && { states }) }
    return this.#ask('POST', `${pathOf(ref)}/purge`, { json, timeoutMs: LONG_MS })
  }

  seek({ name, subscription }: LogRef, to: StartAt): Promise<void> {
    const json = { to, ...(subscription !== undefined && { subscription }) }
    return this.#ask('POST', `/v1/topics/${encodeURIComponent(name)}/seek`, { json, timeoutMs: LONG_MS })
  }

  schedules(): Promise<ScheduleStateView[]> {
    return this.#ask('GET', '/v1/schedules')
  }

  history(name: string, limit: number): Promise<ScheduleRun[]> {
    return this.#ask('GET', `${scheduleOf(name)}/history`, { query: { limit } })
  }

  /** The run when it has ended, or as it is after `waitMs`. */
  run(name: string, waitMs: number): Promise<ScheduleRun> {
    const timeoutMs = waitMs + REPLY_MS
    return this.#ask('POST', `${scheduleOf(name)}/run`, { query: { waitMs }, timeoutMs })
  }

  pause(name: string): Promise<void> {
    return this.#ask('POST', `${scheduleOf(name)}/pause`)
  }

  resume(name: string): Promise<void> {
    return this.#ask('POST', `${scheduleOf(name)}/resume`)
  }
}

/** Many messages take a while. */
const LONG_MS = 300_000
/** This side waits a little longer than the node, so that its answer arrives. */
const REPLY_MS = 5_000

function pathOf({ kind, name }: LogRef): string {
  return `/v1/kept/${kind}/${encodeURIComponent(name)}`
}

function scheduleOf(name: string): string {
  return `/v1/schedules/${encodeURIComponent(name)}`
}

function queryOf({ subscription }: LogRef): { subscription?: string } {
  return subscription === undefined ? {} : { subscription }
}
