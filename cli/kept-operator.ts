/** What operators do to what the keeper of this node keeps. Every change is in the chain of acts, as is looking inside. */
import { targets } from '../actors/admin/acts.ts'
import type {
  KeptOperator,
  Publication,
  PublishedView,
  ScheduleStateView,
} from '../actors/admin/kept-operator.ts'
import type { Actor } from '../actors/admin/operator.ts'
import type { DeployWorker } from '../actors/deployer.ts'
import type {
  BrowseRequest,
  EditRequest,
  KeptMessageView,
  LogRef,
  MessageHeadView,
  Page,
  PublishRequest,
} from '../actors/messages/log-admin.ts'
import type { LogView, StateCounts } from '../actors/messages/log-view.ts'
import type { QueueResource, SubscriptionResource } from '../actors/messages/options.ts'
import type { LogKind } from '../actors/messages/protocol.ts'
import type { ScheduleResource } from '../actors/schedules/options.ts'
import type { ScheduleRun, ScheduleView } from '../actors/schedules/schedule.ts'
import { idSource } from '../core/clock.ts'
import { SignalboxError } from '../core/errors.ts'
import type { Receipt } from '../core/service/service.ts'
import type { DeliveryState, StartAt } from '../core/store/messages/message.ts'
import { type Acts, doerOf, type Objects } from './acts.ts'
import type { LiveResources } from './live-resources.ts'

export interface KeptParts {
  /** The worker that keeps everything; undefined while it is not there. */
  keeper: () => (DeployWorker & { state: string }) | undefined
  resources: LiveResources
  acts: Acts
}

/** So many numbers of messages are recorded of an act. */
const MAX_RECORDED = 100
const makeCid = idSource()

export class KeeperOperator implements KeptOperator {
  readonly #parts: KeptParts

  constructor(parts: KeptParts) {
    this.#parts = parts
  }

  async list(kind?: LogKind): Promise<LogView[]> {
    const logs = await this.#ask<LogView[]>('listLogs', undefined)
    return logs
      .filter(log => kind === undefined || log.kind === kind)
      .map(log => this.#withTargets(log))
      .sort((a, b) => compare(a.kind, b.kind) || compare(a.name, b.name))
  }

  async log(kind: LogKind, name: string): Promise<LogView> {
    return this.#withTargets(await this.#ask<LogView>('getLog', { kind, name }))
  }

  messages(request: Omit<BrowseRequest, 'search'>): Promise<Page<MessageHeadView>> {
    return this.#ask('listMessages', request)
  }

  browse(actor: Actor, request: BrowseRequest): Promise<Page<KeptMessageView>> {
    const { kind, name, search, ...asked } = request
    // What was searched for may be what nobody is to see.
    const after = { ...asked, ...(search !== undefined && { search: true }) }
    return this.#act(actor, 'message.read', request, { after }, () => this.#ask('browseLog', request))
  }

  message(actor: Actor, ref: LogRef, seq: number): Promise<KeptMessageView> {
    const target = targets.message(ref.kind, ref.name, seq)
    return this.#parts.acts.run(doerOf(actor), 'message.read', target, {}, () =>
      this.#ask<KeptMessageView>('getMessage', { ...ref, seq }),
    )
  }

  async publish(actor: Actor, { kind, name }: LogRef, publication: Publication): Promise<PublishedView> {
    const cid = makeCid()
    const request: PublishRequest = { ...publication, kind, name, cid, from: `admin/${actor.name}` }
    const { id, key } = publication
    const about = (published: (Receipt & { bytes: number }) | undefined) => ({
      after: { ...published, cid, ...(id !== undefined && { id }), ...(key !== undefined && { key }) },
    })
    const { seq, duplicate } = await this.#act(actor, 'message.write', request, about, () =>
      this.#ask<Receipt & { bytes: number }>('publishMessage', request),
    )
    return { seq, duplicate, cid }
  }

  async edit(actor: Actor, request: EditRequest): Promise<void> {
    const target = targets.message(request.kind, request.name, request.seq)
    const headers = request.headers && { headers: Object.keys(request.headers) }
    const about = (bytes: { before: number; after: number } | undefined) =>
      bytes ? { before: { bytes: bytes.before }, after: { bytes: bytes.after, ...headers } } : {}
    await this.#parts.acts.run(doerOf(actor), 'message.write', target, about, () =>
      this.#ask<{ before: number; after: number }>('editMessage', request),
    )
  }

  resend(actor: Actor, ref: LogRef, seqs: readonly number[] | undefined): Promise<number> {
    const about = counted(ref, { seqs: seqs === undefined ? 'all' : recorded(seqs) })
    return this.#act(actor, 'message.replay', ref, about, () => this.#ask('resendMessages', { ...ref, seqs }))
  }

  drop(actor: Actor, ref: LogRef, seqs: readonly number[]): Promise<number> {
    const about = counted(ref, { seqs: recorded(seqs) })
    return this.#act(actor, 'message.delete', ref, about, () => this.#ask('dropMessages', { ...ref, seqs }))
  }

  async purge(actor: Actor, ref: LogRef, states: readonly DeliveryState[] | undefined): Promise<number> {
    let before: StateCounts | undefined
    const about = counted(ref, { ...(states && { states }) })
    const objects = (count: number | undefined) => ({ before, ...about(count) })
    return this.#act<number>(actor, 'message.delete', ref, objects, async () => {
      before = await this.#countsOf(ref)
      return this.#ask('purgeLog', { ...ref, states })
    })
  }

  async seek(actor: Actor, ref: LogRef, to: StartAt): Promise<void> {
    let before: StateCounts | undefined
    const { subscription } = ref
    const after = { to, ...(subscription !== undefined && { subscription }) }
    await this.#act(
      actor,
      'queue.write',
      ref,
      () => ({ before, after }),
      async () => {
        before = await this.#countsOf(ref)
        await this.#ask('seekLog', { ...ref, to })
      },
    )
  }

  async schedules(): Promise<ScheduleStateView[]> {
    const views = await this.#ask<ScheduleView[]>('listSchedules', undefined)
    const running = new Map(views.map(view => [view.name, view]))
    const schedules = this.#parts.resources.list().filter(({ value }) => value.kind === 'schedule')
    return schedules.map(({ value: { name, type, options } }): ScheduleStateView => {
      const { service, queue } = options as ScheduleResource
      const target = queue === undefined ? `service/${service}` : `queue/${queue}`
      const view = running.get(name)
      return view ? { ...view, target } : { name, type, target, error: 'it did not start; the log says why' }
    })
  }

  history(name: string, limit: number): Promise<ScheduleRun[]> {
    return this.#ask('scheduleHistory', { name, limit })
  }

  runSchedule(actor: Actor, name: string, waitMs: number): Promise<ScheduleRun> {
    const about = (run: ScheduleRun | undefined) =>
      run ? { after: { number: run.number, outcome: run.outcome } } : {}
    return this.#parts.acts.run(doerOf(actor), 'schedule.write', targets.schedule(name), about, () =>
      this.#ask<ScheduleRun>('runSchedule', { name, waitMs }),
    )
  }

  async pauseSchedule(actor: Actor, name: string, paused: boolean): Promise<void> {
    const about = (before: boolean | undefined) =>
      before === undefined ? { after: { paused } } : { before: { paused: before }, after: { paused } }
    await this.#parts.acts.run(doerOf(actor), 'schedule.write', targets.schedule(name), about, () =>
      this.#ask<boolean>('pauseSchedule', { name, paused }),
    )
  }

  #act<T>(
    actor: Actor,
    what: string,
    { kind, name }: LogRef,
    about: Objects | ((value: T | undefined) => Objects),
    run: () => Promise<T>,
  ): Promise<T> {
    return this.#parts.acts.run(doerOf(actor), what, targets.log(kind, name), about, run)
  }

  /** Counts before a change; undefined where there is nothing to count, which the change itself says. */
  async #countsOf({ kind, name, subscription }: LogRef): Promise<StateCounts | undefined> {
    const view = (await this.list(kind)).find(log => log.name === name)
    const counts =
      subscription === undefined ? view : view?.subscriptions.find(one => one.name === subscription)
    if (counts?.ready === undefined) return undefined
    const { ready, leased, delayed, dead } = counts as StateCounts
    return { ready, leased, delayed, dead }
  }

  /** Who gets the messages is said by the resources. */
  #withTargets(log: LogView): LogView {
    const resources = this.#parts.resources.list().map(({ value }) => value)
    const targetOf = (subscription: string): string | undefined => {
      const found = resources.find(({ kind, name, options }) =>
        log.kind === 'queue'
          ? kind === 'queue' && name === log.name
          : kind === 'subscription' &&
            name === subscription &&
            (options as SubscriptionResource).topic === log.name,
      )
      const { service, route, connection } = (found?.options ?? {}) as QueueResource
      if (connection !== undefined) return `connection/${connection.name}`
      if (route !== undefined) return `route/${route}`
      return service === undefined ? undefined : `service/${service}`
    }
    const subscriptions = log.subscriptions.map(one => ({ ...one, target: targetOf(one.name) }))
    return { ...log, subscriptions }
  }

  async #ask<T>(verb: string, payload: unknown): Promise<T> {
    const keeper = this.#parts.keeper()
    if (keeper?.state === 'ready') return (await keeper.request(verb, payload)) as T
    const message = 'the keeper of queues, topics and schedules is starting'
    throw new SignalboxError('SIGNALBOX_OVERLOADED', message, { retryAfterMs: 1_000 })
  }
}

/** What is recorded of an act on several messages. */
function counted({ subscription }: LogRef, asked: object): (count: number | undefined) => { after: object } {
  const named = subscription === undefined ? {} : { subscription }
  return count => ({ after: { ...named, ...asked, ...(count !== undefined && { count }) } })
}

function recorded(seqs: readonly number[]): unknown[] {
  return seqs.length <= MAX_RECORDED
    ? [...seqs]
    : [...seqs.slice(0, MAX_RECORDED), `and ${seqs.length - MAX_RECORDED} more`]
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
