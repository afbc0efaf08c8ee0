/** The schedules of a node, in its keeper. */
import type { Envelope } from '../../core/actor/envelope.ts'
import { idSource } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import type { WorkerContext } from '../../core/worker/worker-context.ts'
import { keeping } from '../messages/keeping.ts'
import type { StateStore } from '../messages/state.ts'
import { Schedule, type ScheduleConfig, type ScheduleRun, type ScheduleView } from './schedule.ts'

const makeCid = idSource()

export class ScheduleRegistry {
  readonly #worker: WorkerContext
  readonly #state: StateStore
  readonly #running = new Map<string, Schedule>()

  constructor(worker: WorkerContext, state: StateStore) {
    this.#worker = worker
    this.#state = state
  }

  /** Starts a schedule, or puts a new one in the place of the one there. Throws SIGNALBOX_OPTIONS_INVALID. */
  async put(config: ScheduleConfig): Promise<void> {
    const { name, options } = config
    if ((options.service === undefined) === (options.queue === undefined)) {
      throw new SignalboxError(
        'SIGNALBOX_OPTIONS_INVALID',
        `schedule ${name}: give it a service or a queue, not both`,
      )
    }
    const { clock, random } = this.#worker.system
    const schedule = new Schedule(config, {
      state: this.#state,
      clock,
      random,
      run: (its, run) => this.#run(its, run),
      onError: error => this.#worker.log.error({ schedule: name, err: error }, 'schedule failed'),
    })
    await this.#running.get(name)?.stop()
    await schedule.start()
    this.#running.set(name, schedule)
    this.#worker.declareOrReplace(`schedule/${name}`, {
      placement: 'everyWorker',
      spec: {
        behaviour: () => ({
          inspect: () => ({ ...schedule.view() }),
          receive: (_payload, envelope) => answer(envelope, () => schedule.runNow()),
        }),
      },
    })
  }

  async remove(name: string): Promise<void> {
    const schedule = this.#running.get(name)
    if (!schedule) return
    this.#running.delete(name)
    await this.#worker.retire(`schedule/${name}`)
    await schedule.stop()
    await schedule.erase()
  }

  /** What the node may ask of its keeper. */
  requests() {
    return {
      putSchedule: (config: ScheduleConfig) => this.put(config),
      removeSchedule: (name: string) => this.remove(name),
      listSchedules: (): ScheduleView[] => Array.from(this.#running.values(), schedule => schedule.view()),
      runSchedule: ({ name, waitMs }: { name: string; waitMs: number }): Promise<ScheduleRun> =>
        this.#schedule(name).runNow(waitMs),
      /** Resolves with whether it was paused before. */
      pauseSchedule: async ({ name, paused }: { name: string; paused: boolean }): Promise<boolean> => {
        const schedule = this.#schedule(name)
        const before = schedule.view().paused
        await schedule.pause(paused)
        return before
      },
      scheduleHistory: ({ name, limit }: { name: string; limit?: number }): Promise<ScheduleRun[]> =>
        this.#schedule(name).history(limit),
    }
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#running.values(), schedule => schedule.stop()))
  }

  #schedule(name: string): Schedule {
    const schedule = this.#running.get(name)
    if (schedule) return schedule
    const near = nearest(name, [...this.#running.keys()])
    const hint = near ? `; did you mean '${near}'?` : ''
    throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no schedule '${name}'${hint}`)
  }

  async #run({ name, options }: ScheduleConfig, { number, dueAt }: ScheduleRun): Promise<void> {
    const { service, queue, payload, timeoutMs } = options
    const { system } = this.#worker
    const cid = makeCid()
    if (queue !== undefined) {
      // The same run twice is one message.
      const message = { payload, options: { id: `schedule/${name}/${number}` }, from: `schedule/${name}` }
      await keeping(system)('queue', queue, message, { cid })
      return
    }
    const attributes = { schedule: name, number, ...(dueAt !== undefined && { dueAt }) }
    const origin = { channel: { transport: 'schedule', name, attributes } }
    await system.ask(`service/${service}`, payload ?? null, { cid, origin, timeoutMs })
  }
}

async function answer(envelope: Envelope, run: () => Promise<unknown>): Promise<void> {
  try {
    envelope.resolve(await run())
  } catch (thrown) {
    envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED'))
  }
}
