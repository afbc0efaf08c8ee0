/** The queues and topics of a node, in its keeper: opened, changed and removed while it runs. */
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Timer } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import type { Journal } from '../../core/store/journal.ts'
import {
  DEFAULT_LOG,
  DEFAULT_RETRY,
  type LogSettings,
  type SubscriptionSettings,
} from '../../core/store/messages/message.ts'
import { MessageLog } from '../../core/store/messages/message-log.ts'
import type { WorkerContext } from '../../core/worker/worker-context.ts'
import { intakeActor, type LogAccess, opsActor } from './log-actor.ts'
import type { QueueResource, SubscriptionResource, TopicResource } from './options.ts'
import { type LogKind, logAddress, opsAddress, QUEUE_SUBSCRIPTION } from './protocol.ts'

/** Opens a journal in a folder. */
export type OpenJournal = (folder: string) => Promise<Journal>

export interface LogConfig<Options> {
  name: string
  options: Options
}

interface Running {
  kind: LogKind
  name: string
  log: MessageLog
  access: LogAccess
}

/** Pause before something that did not open is tried again. */
const RETRY_MS = 1_000

export class LogRegistry {
  readonly #worker: WorkerContext
  readonly #folder: string
  readonly #open: OpenJournal
  readonly #running = new Map<string, Running>()
  /** Logs that could not be opened, and why. */
  readonly #failed = new Map<string, SignalboxError>()
  /** What is tried again, by what it is for. */
  readonly #retries = new Map<string, Timer>()
  #closed = false

  constructor(worker: WorkerContext, folder: string, open: OpenJournal) {
    this.#worker = worker
    this.#folder = folder
    this.#open = open
  }

  /** Opens a queue, or changes it. One that the disk keeps from being opened is tried again until it is. */
  putQueue({ name, options }: LogConfig<QueueResource>): Promise<void> {
    return this.#persist(logAddress('queue', name), async () => {
      const { log } = await this.#put('queue', name, limitsOf(options), options)
      await log.subscribe(QUEUE_SUBSCRIPTION, subscriptionOf(options), { at: 'beginning' })
    })
  }

  /** Opens a topic, or changes it. One that the disk keeps from being opened is tried again until it is. */
  putTopic({ name, options }: LogConfig<TopicResource>): Promise<void> {
    return this.#persist(logAddress('topic', name), async () => {
      await this.#put('topic', name, { ...limitsOf(options), keep: options.keep }, options)
    })
  }

  /** Begins a subscription, or changes it; when its topic does not open, as soon as it does. */
  putSubscription({ name, options }: LogConfig<SubscriptionResource>): Promise<void> {
    const { topic, start } = options
    return this.#persist(subscriptionKey(topic, name), () =>
      this.log('topic', topic).subscribe(name, subscriptionOf(options), start),
    )
  }

  async removeSubscription({ name, topic }: { name: string; topic: string }): Promise<void> {
    this.#forgetRetry(subscriptionKey(topic, name))
    const running = this.#running.get(logAddress('topic', topic))
    if (running?.log.subscriptions().some(sub => sub.name === name)) await running.log.unsubscribe(name)
  }

  /**
   * Takes a queue or topic away that holds no messages, also none that was acknowledged meanwhile. Throws
   * SIGNALBOX_LOG_NOT_EMPTY; it serves again then.
   */
  async remove(kind: LogKind, name: string): Promise<void> {
    const address = logAddress(kind, name)
    const running = this.#running.get(address)
    if (running) checkEmpty(address, running.log)
    this.#forgetRetry(address)
    this.#running.delete(address)
    this.#failed.delete(address)
    if (running) {
      const { log, access } = running
      await Promise.all([this.#worker.retire(address), this.#worker.retire(opsAddress(kind, name))])
      await log.close()
      try {
        checkEmpty(address, log)
      } catch (error) {
        await this.#persist(address, async () => {
          await this.#put(kind, name, log.settings, access)
        })
        throw error
      }
    }
    const folder = this.#folderOf(kind, name)
    const doomed = `${folder}.removed`
    await rename(folder, doomed).catch(ignoreMissing)
    await rm(doomed, { recursive: true, force: true })
  }

  /** Throws SIGNALBOX_ADDRESS_UNKNOWN, or the error with which it did not open. */
  log(kind: LogKind, name: string): MessageLog {
    const address = logAddress(kind, name)
    const running = this.#running.get(address)
    if (running) return running.log
    const failed = this.#failed.get(address)
    if (failed) throw failed
    const near = nearest(
      name,
      this.list().flatMap(other => (other.kind === kind ? other.name : [])),
    )
    const other = kind === 'queue' ? 'topic' : 'queue'
    const isOther = this.#running.has(logAddress(other, name)) && `; there is a ${other} of this name`
    const hint = isOther || (near ? `; did you mean '${near}'?` : '')
    throw new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `there is no ${kind} '${name}'${hint}`, {
      details: { fix: `See which there are with \`signalbox ${kind}s\`.` },
    })
  }

  list(): Running[] {
    return [...this.#running.values()]
  }

  failed(): { address: string; error: SignalboxError }[] {
    return Array.from(this.#failed, ([address, error]) => ({ address, error }))
  }

  /** A worker or node is gone: what its consumers had in hand goes to others. */
  async lost(consumer: string, reason: string): Promise<void> {
    const failure = {
      code: 'SIGNALBOX_WORKER_LOST',
      message: `the worker of its consumer is gone: ${reason}`,
    }
    for (const { log } of this.list()) {
      for (const { name } of log.subscriptions()) {
        await log.abandon(name, consumer, failure)
      }
    }
  }

  /**
   * Writes a copy of every queue and topic below a folder, each as it is at one moment, while they go on. Resolves with
   * those that are not open, and so not in the copy.
   */
  async backup(to: string): Promise<string[]> {
    // One after the other, so that publishers keep most of the disk.
    for (const { kind, name, log } of this.list()) await log.backup(folderIn(to, kind, name))
    return this.failed().map(({ address }) => address)
  }

  async close(): Promise<void> {
    for (const key of [...this.#retries.keys()]) this.#forgetRetry(key)
    this.#closed = true
    await Promise.all(this.list().map(({ log }) => log.close()))
  }

  /** Does it, and when it fails by something that may pass, again until it succeeds. Rejects with the first failure. */
  async #persist(key: string, work: () => Promise<void>): Promise<void> {
    this.#forgetRetry(key)
    try {
      await work()
    } catch (thrown) {
      if (mayPass(toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE'))) this.#retry(key, work)
      throw thrown
    }
  }

  #retry(key: string, work: () => Promise<void>): void {
    if (this.#closed) return
    const { log, system } = this.#worker
    const timer = system.clock.after(RETRY_MS, () => {
      this.#persist(key, work).then(
        () => log.info({ address: key }, 'serves again'),
        // It was reported when it failed first, and every list of queues says why.
        error => log.debug({ address: key, err: error }, 'still not opened'),
      )
    })
    this.#retries.set(key, timer)
  }

  #forgetRetry(key: string): void {
    this.#retries.get(key)?.cancel()
    this.#retries.delete(key)
  }

  async #put(
    kind: LogKind,
    name: string,
    settings: Partial<LogSettings>,
    { publishers, consumers }: LogAccess,
  ): Promise<Running> {
    const address = logAddress(kind, name)
    const there = this.#running.get(address)
    if (there) {
      there.log.configure(settings)
      there.access = { publishers, consumers }
      return there
    }
    try {
      const log = await this.#openLog(kind, name, settings)
      const running: Running = { kind, name, log, access: { publishers, consumers } }
      this.#running.set(address, running)
      this.#failed.delete(address)
      const spec = intakeActor(log, () => inspect(log))
      this.#worker.declare(address, { placement: 'everyWorker', spec })
      this.#worker.declare(opsAddress(kind, name), {
        placement: 'everyWorker',
        spec: opsActor(log, this.#worker.system.clock, () => running.access),
      })
      return running
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      this.#failed.set(address, error)
      throw error
    }
  }

  async #openLog(kind: LogKind, name: string, settings: Partial<LogSettings>): Promise<MessageLog> {
    const folder = this.#folderOf(kind, name)
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch(error => {
      throw new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', `${folder} cannot be made: ${error.message}`, {
        cause: error,
      })
    })
    const { log: logger, system } = this.#worker
    const journal = await this.#open(folder)
    try {
      return await MessageLog.open({
        journal,
        settings,
        clock: system.clock,
        random: system.random,
        onError: error =>
          logger.error({ [kind]: name, code: error.code, err: error }, 'queue or topic failed'),
      })
    } catch (error) {
      await journal.close()
      throw error
    }
  }

  /** Names are letters, digits, dots, dashes and underscores, so they are names of folders as well. */
  #folderOf(kind: LogKind, name: string): string {
    if (!/^[A-Za-z][A-Za-z0-9_.-]{0,127}$/.test(name)) {
      throw new SignalboxError('SIGNALBOX_ADDRESS_INVALID', `'${name}' is no name of a ${kind}`)
    }
    return folderIn(this.#folder, kind, name)
  }
}

function folderIn(folder: string, kind: LogKind, name: string): string {
  return join(folder, `${kind}s`, name)
}

function subscriptionKey(topic: string, name: string): string {
  return `subscription/${topic}/${name}`
}

/** Whether it may be gone without somebody changing what is configured or stored. */
function mayPass({ code }: SignalboxError): boolean {
  return (
    code === 'SIGNALBOX_STORE_UNAVAILABLE' ||
    code === 'SIGNALBOX_STORE_FULL' ||
    code === 'SIGNALBOX_STORE_LOCKED' ||
    code === 'SIGNALBOX_OVERLOADED'
  )
}

function limitsOf(options: QueueResource | TopicResource): Partial<LogSettings> {
  const { maxMessages, maxBytes, overflow, maxAgeMs, dedupWindowMs, dedupMaxIds } = options
  return defined({ maxMessages, maxBytes, overflow, maxAgeMs, dedupWindowMs, dedupMaxIds })
}

function subscriptionOf(options: QueueResource | SubscriptionResource): Partial<SubscriptionSettings> {
  const { leaseMs, retry } = options
  const filter = 'filter' in options ? options.filter : undefined
  return defined({ leaseMs, retry: { ...DEFAULT_RETRY, ...retry }, filter })
}

function checkEmpty(address: string, log: MessageLog): void {
  const { messages } = log.counts()
  if (messages === 0) return
  const message = `${address} holds ${messages} messages; purge it before you remove it`
  throw new SignalboxError('SIGNALBOX_LOG_NOT_EMPTY', message, { details: { address, messages } })
}

/** Without what is not given, so that the default holds. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}

function inspect(log: MessageLog): Record<string, unknown> {
  const { subscriptions, ...counts } = log.counts()
  return { ...counts, limit: log.settings.maxMessages ?? DEFAULT_LOG.maxMessages, subscriptions }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
