/** Resequencer: messages leave in the order of their numbers. */
import type { Change, StoreRecord } from '../../store/store.ts'
import { type Compiler, type Compiling, type Evaluate, type Run, wholeNumber } from '../compiling.ts'
import { type Exchange, type KeptMessage, keptOf, SEQUENCE_NUMBER } from '../exchange.ts'
import type { Expiring } from '../housekeeping.ts'
import type { JobResult } from '../jobs.ts'
import { conflictIn, contending, isConflict, MEMBERS, SEQUENCES, stateKey } from '../state.ts'
import { grouping, groupKey } from './groups.ts'

export const resequence: Compiler<'resequence'> = c => (c.options.mode === 'batch' ? batch(c) : stream(c))

type C = Compiling<'resequence'>

/** Collects a group, sorts it, and lets it go one by one. */
async function batch(c: C): Promise<Run> {
  const number = await c.evaluate(c.options.number, 'number')
  const run = c.alone(c.rest)
  return grouping(c, c.options, async ({ messages }) => {
    const numbered = await Promise.all(
      messages.map(async message => {
        let place = 0
        // Asked here as well: what is on disk is the message as it came.
        await c.goOn(message, async x => {
          place = wholeNumber(c.options.number ? await number(x) : x.headers[SEQUENCE_NUMBER], 'number')
        })
        return { place, message }
      }),
    )
    numbered.sort((a, b) => a.place - b.place)
    for (const { message } of numbered) await c.goOn(message, run)
  })
}

interface Head extends Expiring {
  /** Number of the message that goes next. */
  next: number
  /** How many wait. */
  waiting: number
  /** Since when the one that is next is missing while others wait. */
  stuckAt: number | null
  /** The job that lets messages go. */
  job: string | null
  /** Numbers that were given up; such a message goes on as soon as it comes. The newest. */
  skipped: number[]
}

const MAX_SKIPPED = 1_000
/** A group with messages in it is not forgotten. */
const NEVER = Number.MAX_SAFE_INTEGER

async function stream(c: C): Promise<Run> {
  const sequencer = new Sequencer(c)
  sequencer.key = c.options.key === undefined ? undefined : await c.evaluate(c.options.key, 'key')
  sequencer.number = c.options.number === undefined ? undefined : await c.evaluate(c.options.number, 'number')
  c.jobs.handle(c.id, data => sequencer.letGo(data as Work))
  return x => sequencer.add(x)
}

interface Work {
  head: string
  /** Where the messages wait. */
  members: string
}

class Sequencer {
  key: Evaluate | undefined
  number: Evaluate | undefined
  readonly #c: C
  readonly #run: Run

  constructor(c: C) {
    this.#c = c
    this.#run = c.alone(c.rest)
  }

  async add(x: Exchange): Promise<void> {
    const { route, id } = this.#c
    const key = await groupKey(x, this.key)
    const given = this.number ? await this.number(x) : x.headers[SEQUENCE_NUMBER]
    const number = wholeNumber(given, 'number')
    const work: Work = { head: stateKey(route, id, key), members: stateKey(route, id, key) }
    const isLate = await contending(() => this.#tryAdd(work, number, keptOf(x)))
    if (isLate) await this.#c.rest(x)
    else x.stopped = true
  }

  /** Whether the message was given up and is to go on at once. */
  async #tryAdd(work: Work, number: number, message: KeptMessage): Promise<boolean> {
    const { state, jobs, id, clock, options } = this.#c
    const found = await state.get<Head>(SEQUENCES, work.head)
    const now = clock.now()
    const first = options.first!
    const head: Head = found
      ? { ...found.value }
      : { next: first, waiting: 0, stuckAt: null, job: null, skipped: [], expiresAt: NEVER }
    if (number < head.next) return this.#late(work, head, found!, number)
    head.waiting++
    head.expiresAt = NEVER
    if (head.stuckAt === null && number !== head.next) head.stuckAt = now
    const changes: Change[] = [
      { type: 'put', collection: MEMBERS, key: memberKey(work, number), value: message, ifRevision: 0 },
    ]
    const isNext = number === head.next
    const made =
      head.job === null ? jobs.create(id, isNext ? now : this.#deadline(head), work, isNext) : undefined
    if (made) head.job = made.key
    changes.push({
      type: 'put',
      collection: SEQUENCES,
      key: work.head,
      value: head,
      ifRevision: found?.revision ?? 0,
    })
    if (made) changes.push(made.change)
    try {
      const outcomes = await state.transact(changes)
      const last = outcomes.at(-1)!
      if (made && isNext && last.type === 'put')
        await jobs.startMine(made.key, last.record.revision, made.change)
      else if (made) jobs.arm(made.key)
      else if (isNext) jobs.start(head.job!)
    } catch (error) {
      // It waits already: what was sent twice counts once.
      if (!isConflict(error) || !conflictIn(error, MEMBERS)) throw error
    }
    return false
  }

  /** One that was given up goes on at once; one that has gone before goes no more. */
  async #late(work: Work, head: Head, found: StoreRecord<Head>, number: number): Promise<boolean> {
    if (!head.skipped.includes(number)) return false
    const value = { ...head, skipped: head.skipped.filter(other => other !== number) }
    await this.#c.state.put(SEQUENCES, work.head, value, { ifRevision: found.revision })
    return true
  }

  /** Lets messages go as long as the next one is there, or its time is over. */
  async letGo(work: Work): Promise<JobResult> {
    const { state, clock } = this.#c
    for (;;) {
      const found = await state.get<Head>(SEQUENCES, work.head)
      if (!found) return {}
      const head = found.value
      const key = memberKey(work, head.next)
      const member = await state.get<KeptMessage>(MEMBERS, key)
      if (member) {
        await this.#c.goOn(member.value, this.#run)
        await contending(() => this.#gone(work, head.next))
      } else if (head.waiting === 0) {
        const { forgetMs } = this.#c.options
        const value: Head = { ...head, job: null, stuckAt: null, expiresAt: clock.now() + forgetMs! }
        return { changes: [this.#put(work, value, found.revision)] }
      } else if (clock.now() >= this.#deadline(head)) await this.#skip(work, found)
      else {
        const put = (job: string) => [this.#put(work, { ...head, job }, found.revision)]
        return { againAt: this.#deadline(head), changes: put }
      }
    }
  }

  async #gone(work: Work, number: number): Promise<void> {
    const { state, clock } = this.#c
    const found = (await state.get<Head>(SEQUENCES, work.head))!
    const waiting = found.value.waiting - 1
    const value: Head = {
      ...found.value,
      next: number + 1,
      waiting,
      stuckAt: waiting > 0 ? clock.now() : null,
    }
    await state.transact([
      this.#put(work, value, found.revision),
      { type: 'delete', collection: MEMBERS, key: memberKey(work, number) },
    ])
  }

  /** Gives up the numbers before the first that waits. */
  async #skip(work: Work, found: StoreRecord<Head>): Promise<void> {
    const { state, log, route, id: step } = this.#c
    const [first] = await state.list(MEMBERS, { prefix: `${work.members}/`, limit: 1 })
    if (!first) return
    const next = Number(first.key.split('/').at(-1))
    const { next: missing, skipped } = found.value
    const from = Math.max(missing, next - MAX_SKIPPED)
    const given = Array.from({ length: next - from }, (_, i) => from + i)
    log.warn(
      { route, step, from: missing, to: next - 1 },
      'messages did not come in time; those behind them go on',
    )
    const value: Head = { ...found.value, next, skipped: [...skipped, ...given].slice(-MAX_SKIPPED) }
    try {
      await state.put(SEQUENCES, work.head, value, { ifRevision: found.revision })
    } catch (error) {
      // A message came meanwhile, perhaps the one that was missing: look again.
      if (!isConflict(error)) throw error
    }
  }

  /** When the message that is missing is given up; without a time limit never. */
  #deadline(head: Head): number {
    const { timeoutMs } = this.#c.options
    return timeoutMs === undefined ? 999_999_999_999_998 : (head.stuckAt ?? this.#c.clock.now()) + timeoutMs
  }

  #put(work: Work, value: Head, ifRevision: number): Change {
    return { type: 'put', collection: SEQUENCES, key: work.head, value, ifRevision }
  }
}

function memberKey(work: Work, number: number): string {
  return `${work.members}/${String(number).padStart(16, '0')}`
}
