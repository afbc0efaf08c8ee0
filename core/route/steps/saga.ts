/**
 * Saga: steps that are taken back in reverse when a later one fails. What was done is on disk before the next step
 * begins, so that after a crash another worker takes it back.
 */
import type { Timer } from '../../clock.ts'
import { SignalboxError, toSignalboxError } from '../../errors.ts'
import type { Compiler, Compiling, Run } from '../compiling.ts'
import { type Exchange, type KeptMessage, keptOf } from '../exchange.ts'
import type { Job } from '../jobs.ts'
import { isConflict, JOBS } from '../state.ts'

interface Stage {
  name: string
  run: Run
  undo: Run | undefined
}

/** What is kept of a saga under way. */
interface Progress {
  /** The message as it was when each stage began; of the last one nobody knows if it was done. */
  begun: KeptMessage[]
  /** The message as it was after each stage that was done. */
  done: KeptMessage[]
}

export const saga: Compiler<'saga'> = async c => {
  const stages: Stage[] = []
  for (const [i, { name, do: does, undo }] of c.options.steps.entries()) {
    const run = await c.steps(does)
    stages.push({ name: name ?? String(i + 1), run, undo: undo && (await c.steps(undo)) })
  }
  c.jobs.handle(c.id, async (data, job) => {
    await takeBack(c, stages, data as Progress, job)
    return {}
  })
  return x => new Saga(c, stages).run(x)
}

class Saga {
  readonly #c: Compiling
  readonly #stages: readonly Stage[]
  #progress: Progress = { begun: [], done: [] }
  #job!: Job
  /** Changes of the record come one after the other. */
  #saving: Promise<void> = Promise.resolve()
  #lost: unknown

  constructor(c: Compiling, stages: readonly Stage[]) {
    this.#c = c
    this.#stages = stages
  }

  async run(x: Exchange): Promise<void> {
    const { jobs, state, clock, id } = this.#c
    const { key, change } = jobs.create(id, clock.now(), this.#progress, true)
    const [outcome] = await state.transact([change])
    const revision = outcome!.type === 'put' ? outcome!.record.revision : 0
    this.#job = { key, revision, record: (change as { value: Job['record'] }).value }
    const beat = this.#beating()
    try {
      await this.#forward(x)
      beat.cancel()
      await this.#saving
      await state.delete(JOBS, key, { ifRevision: this.#job.revision })
    } catch (thrown) {
      beat.cancel()
      await this.#back(x, thrown)
    }
  }

  async #forward(x: Exchange): Promise<void> {
    for (const { run } of this.#stages) {
      await this.#save({ ...this.#progress, begun: [...this.#progress.begun, keptOf(x)] })
      await run(x)
      if (x.stopped) return
      this.#progress = { ...this.#progress, done: [...this.#progress.done, keptOf(x)] }
    }
  }

  /** A stage that failed itself has said so: it was not done. */
  async #back(x: Exchange, thrown: unknown): Promise<never> {
    const { jobs, id } = this.#c
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    if (isConflict(thrown) && this.#lost !== undefined) throw error
    let outcome = 'done'
    try {
      const { done } = this.#progress
      await this.#save({ begun: done, done })
      await takeBack(this.#c, this.#stages, this.#progress, this.#job)
      await this.#c.state.transact([jobs.remove(this.#job.key)])
    } catch (cause) {
      outcome = 'pending'
      const failure = toSignalboxError(cause, 'SIGNALBOX_SERVICE_FAILED')
      const { route, log } = this.#c
      log.warn(
        { route, step: id, cid: x.cid, err: failure },
        'a saga is not taken back yet; it is tried again',
      )
      await jobs
        .release(this.#job)
        .catch(lost => log.warn({ route, step: id, err: lost }, 'left to the next sweep'))
    }
    throw new SignalboxError(error.code, error.message, {
      cause: error,
      status: error.status,
      retryable: error.retryable,
      details: { ...error.details, saga: id, compensation: outcome },
      ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
    })
  }

  #save(progress: Progress): Promise<void> {
    this.#progress = progress
    const saving = this.#saving.then(() => {
      if (this.#lost !== undefined) throw this.#lost
      return this.#c.jobs.save(this.#job, this.#progress)
    })
    this.#saving = saving.catch(error => {
      this.#lost ??= error
    })
    return saving
  }

  /** A stage may take long: whoever works on the saga keeps it. */
  #beating(): { cancel(): void } {
    const everyMs = this.#c.timeoutMs / 2
    let timer: Timer
    const beat = () => {
      timer = this.#c.clock.after(everyMs, () => {
        this.#save(this.#progress).then(beat, () => {})
      })
    }
    beat()
    return { cancel: () => timer.cancel() }
  }
}

/** Takes back what was begun, last first. What is taken back is forgotten, so that a second try does the rest. */
async function takeBack(c: Compiling, stages: readonly Stage[], progress: Progress, job: Job): Promise<void> {
  let { begun, done } = progress
  while (begun.length > 0) {
    const i = begun.length - 1
    const undo = stages[i]?.undo
    if (undo) await c.goOn(done[i] ?? begun[i]!, undo)
    begun = begun.slice(0, i)
    done = done.slice(0, i)
    await c.jobs.save(job, { begun, done })
  }
}
