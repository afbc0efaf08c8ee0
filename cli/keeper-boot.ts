/** Sets up the actors of the keeper: queues, topics, schedules, and the state that routes and services keep. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { NodeAudit } from '../actors/audit/audit-requests.ts'
import { logAdmin } from '../actors/messages/log-admin.ts'
import { LogRates } from '../actors/messages/log-rates.ts'
import { type LogConfig, LogRegistry } from '../actors/messages/log-registry.ts'
import type { QueueResource, SubscriptionResource, TopicResource } from '../actors/messages/options.ts'
import type { LogKind } from '../actors/messages/protocol.ts'
import { STATE, stateActor } from '../actors/messages/state.ts'
import type { ScheduleConfig } from '../actors/schedules/schedule.ts'
import { ScheduleRegistry } from '../actors/schedules/schedule-registry.ts'
import type { AuditSettings } from '../core/audit/policy.ts'
import { SignalboxError } from '../core/errors.ts'
import { openFileJournal } from '../core/store/files/file-journal.ts'
import { openLmdbStore } from '../core/store/lmdb/lmdb-store.ts'
import { openOnlyHere } from '../core/store/lmdb/owner.ts'
import type { Store } from '../core/store/store.ts'
import type { WorkerContext, WorkerHooks } from '../core/worker/worker-context.ts'

/** What the node tells the keeper at its start. Options are valid and complete. */
export interface KeeperConfig {
  /** Where everything is kept. */
  folder: string
  queues: LogConfig<QueueResource>[]
  topics: LogConfig<TopicResource>[]
  subscriptions: LogConfig<SubscriptionResource>[]
  schedules: ScheduleConfig[]
  /** What of messages is recorded. */
  audit: AuditSettings
}

export default async function boot(worker: WorkerContext): Promise<WorkerHooks> {
  const { folder, queues, topics, subscriptions, schedules: configs, audit } = worker.config as KeeperConfig
  // A keeper that is replaced could not give back what it had open.
  openOnlyHere(folder)
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 })
  const state = await openLmdbStore({ folder: join(folder, 'state') })
  worker.declare(STATE, { placement: 'everyWorker', spec: stateActor(state) })
  const open = (path: string) =>
    openFileJournal({ folder: path, lockFolder: folder, log: worker.log, clock: worker.system.clock })
  const audited = await NodeAudit.open(worker, folder, audit, open)
  const logs = new LogRegistry(worker, folder, open)
  // One that is damaged must not keep the others from serving.
  await each(worker, 'queue', queues, queue => logs.putQueue(queue))
  await each(worker, 'topic', topics, topic => logs.putTopic(topic))
  await each(worker, 'subscription', subscriptions, subscription => logs.putSubscription(subscription))
  const rates = new LogRates(worker.system.clock, () => logs.list().map(({ log }) => log))
  rates.start()
  const schedules = new ScheduleRegistry(worker, state)
  await each(worker, 'schedule', configs, schedule => schedules.put(schedule))
  return {
    drain: () => schedules.stop(),
    stop: async () => {
      rates.stop()
      await logs.close()
      await audited.close()
      await state.close()
    },
    lost: (place, reason) => {
      logs
        .lost(place, reason)
        .catch(error => worker.log.error({ place, err: error }, 'deliveries not returned'))
    },
    requests: {
      ...logAdmin(logs, rates),
      ...audited.requests(),
      ...schedules.requests(),
      backup: (request: { to: string }) => backUp(request.to, logs, state),
      putQueue: (queue: LogConfig<QueueResource>) => logs.putQueue(queue),
      putTopic: (topic: LogConfig<TopicResource>) => logs.putTopic(topic),
      removeLog: ({ kind, name }: { kind: LogKind; name: string }) => logs.remove(kind, name),
      putSubscription: (subscription: LogConfig<SubscriptionResource>) => logs.putSubscription(subscription),
      removeSubscription: (subscription: { name: string; topic: string }) =>
        logs.removeSubscription(subscription),
    },
  }
}

/** What a backup holds. */
export interface BackupView {
  folder: string
  /** Queues and topics that were not open, and so are not in it. */
  missing: string[]
}

/**
 * Copies everything that the keeper keeps to a folder that is new or empty, while it goes on. To restore it, stop the
 * node and put the copy in the place of its folder. Throws SIGNALBOX_USAGE for a folder with something in it.
 */
async function backUp(to: string, logs: LogRegistry, state: Store): Promise<BackupView> {
  await mkdir(to, { recursive: true, mode: 0o700 })
  if ((await readdir(to)).length > 0) {
    throw new SignalboxError(
      'SIGNALBOX_USAGE',
      `${to} is not empty: a backup is written to a folder of its own`,
    )
  }
  // Messages first: a schedule's run that is in the copy of the state twice is known by its number.
  const missing = await logs.backup(to)
  await state.backup(join(to, 'state'))
  return { folder: to, missing }
}

async function each<T extends { name: string }>(
  worker: WorkerContext,
  what: string,
  configs: readonly T[],
  put: (config: T) => Promise<void>,
): Promise<void> {
  await Promise.all(
    configs.map(async config => {
      try {
        await put(config)
      } catch (error) {
        worker.log.error({ [what]: config.name, err: error }, `${what} not opened`)
      }
    }),
  )
}
