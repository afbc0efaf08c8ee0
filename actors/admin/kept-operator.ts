/** What can be done to what a node keeps: queues, topics, the messages in them, schedules. */
import type { Receipt } from '../../core/service/service.ts'
import type { DeliveryState, StartAt } from '../../core/store/messages/message.ts'
import type {
  BrowseRequest,
  EditRequest,
  KeptMessageView,
  LogRef,
  MessageHeadView,
  Page,
  PublishRequest,
} from '../messages/log-admin.ts'
import type { LogView } from '../messages/log-view.ts'
import type { LogKind } from '../messages/protocol.ts'
import type { ScheduleRun, ScheduleView } from '../schedules/schedule.ts'
import type { Actor } from './operator.ts'

/** What is published beside the payload. */
export type Publication = Omit<PublishRequest, keyof LogRef | 'from' | 'cid'>

export interface PublishedView extends Receipt {
  /** Correlation id of the message; that of a duplicate is not kept. */
  cid: string
}

/** A schedule; one that did not start has an error. */
export interface ScheduleStateView extends Partial<ScheduleView> {
  name: string
  type: string
  /** What it calls: `service/report`, `queue/orders`. */
  target: string
  error?: string
}

/**
 * Every method that takes an `actor` records the act in the chain: looking at what messages say too, never what they
 * say. Errors are SignalboxErrors: SIGNALBOX_ADDRESS_UNKNOWN, SIGNALBOX_SUBSCRIPTION_UNKNOWN and SIGNALBOX_NOT_FOUND for
 * what is not there, the error of a log that did not open, SIGNALBOX_OVERLOADED while the keeper starts.
 */
export interface KeptOperator {
  list(kind?: LogKind): Promise<LogView[]>
  /** Also one that did not open. */
  log(kind: LogKind, name: string): Promise<LogView>
  /** Without what they say. */
  messages(request: Omit<BrowseRequest, 'search'>): Promise<Page<MessageHeadView>>
  browse(actor: Actor, request: BrowseRequest): Promise<Page<KeptMessageView>>
  message(actor: Actor, ref: LogRef, seq: number): Promise<KeptMessageView>
  publish(actor: Actor, ref: LogRef, publication: Publication): Promise<PublishedView>
  edit(actor: Actor, request: EditRequest): Promise<void>
  /** Dead letters, or those of the given numbers; how many. */
  resend(actor: Actor, ref: LogRef, seqs: readonly number[] | undefined): Promise<number>
  /** Takes messages away from everybody; how many. */
  drop(actor: Actor, ref: LogRef, seqs: readonly number[]): Promise<number>
  /** Takes messages away; by default those that are ready, waiting or delayed. How many. */
  purge(actor: Actor, ref: LogRef, states: readonly DeliveryState[] | undefined): Promise<number>
  seek(actor: Actor, ref: LogRef, to: StartAt): Promise<void>

  schedules(): Promise<ScheduleStateView[]>
  history(name: string, limit: number): Promise<ScheduleRun[]>
  /** Resolves with the run when it has ended, or as it is after `waitMs`; it goes on then. */
  runSchedule(actor: Actor, name: string, waitMs: number): Promise<ScheduleRun>
  pauseSchedule(actor: Actor, name: string, paused: boolean): Promise<void>
}
