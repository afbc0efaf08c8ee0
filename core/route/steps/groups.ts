/**
 * Messages that wait for others of their group, on disk. A message is a record of its own, so that a large group costs
 * no more for each message than a small one; the head of the group says how many there are and when it is over.
 */
import type { Change } from '../../store/store.ts'
import { type Compiling, type Evaluate, isTrue, keyText, wholeNumber } from '../compiling.ts'
import {
  CORRELATION,
  type Exchange,
  type KeptMessage,
  keptOf,
  SEQUENCE_NUMBER,
  SEQUENCE_SIZE,
} from '../exchange.ts'
import type { Job, JobResult } from '../jobs.ts'
import type { Expression } from '../options.ts'
import { conflictIn, contending, GROUPS, isConflict, MEMBERS, stateKey } from '../state.ts'

interface Head {
  /** Names this group, of all that have had its key. */
  gid: string
  count: number
  /** How many there will be, where a message has said so. */
  expected: number | null
  /** When it is complete at the latest. */
  deadlineAt: number | null
  /** When it is complete because of its age, whatever comes. */
  timeoutAt: number | null
  /** The job that waits for the deadline. */
  timer: string | null
}

interface Member {
  /** Place in the order in which they came. */
  n: number
  message: KeptMessage
}

/** Why a group is complete. */
export type Reason = 'size' | 'sequence' | 'condition' | 'timeout' | 'limit'

export interface CompleteGroup {
  key: string
  reason: Reason
  /** In the order in which they came. */
  messages: KeptMessage[]
}

export interface GroupOptions {
  key?: Expression
  messageId?: Expression
  size?: number
  sequence?: boolean
  when?: Expression
  timeoutMs?: number
  idleMs?: number
  maxSize?: number
}

type Work =
  | { op: 'timeout'; head: string; gid: string }
  | { op: 'release'; key: string; gid: string; reason: Reason }

const PAGE = 1_000

/**
 * Compiles the collecting of groups. What it gives takes a message in; when that resolves the message is on disk. A
 * complete group is handed to `release`, at least once.
 */
export async function grouping(
  c: Compiling,
  options: GroupOptions,
  release: (group: CompleteGroup) => Promise<void>,
): Promise<(x: Exchange) => Promise<void>> {
  const groups = new Groups(c, options, release)
  groups.key = options.key === undefined ? undefined : await c.evaluate(options.key, 'key')
  groups.id = options.messageId === undefined ? undefined : await c.evaluate(options.messageId, 'messageId')
  groups.when = options.when === undefined ? undefined : await c.evaluate(options.when, 'when')
  c.jobs.handle(c.id, (data, job) => groups.work(data as Work, job))
  return x => groups.add(x)
}

/** The group that a message belongs to. */
export async function groupKey(x: Exchange, key: Evaluate | undefined): Promise<string> {
  return keyText(key ? await key(x) : (x.headers[CORRELATION] ?? x.cid), 'key')
}

/** What tells a message from others: what the queue or the split that it came from says. */
export function messageId(x: Exchange, fallback: () => string): string {
  const number = x.headers[SEQUENCE_NUMBER]
  if (number !== undefined) return `${x.headers[CORRELATION] ?? ''}#${number}`
  const { id, seq } = (x.context.request.channel?.attributes ?? {}) as { id?: unknown; seq?: unknown }
  if (typeof id === 'string') return `id:${id}`
  if (typeof seq === 'number') return `seq:${x.context.request.channel!.name}:${seq}`
  return fallback()
}

class Groups {
  key: Evaluate | undefined
  id: Evaluate | undefined
  when: Evaluate | undefined
  readonly #c: Compiling
  readonly #options: GroupOptions
  readonly #release: (group: CompleteGroup) => Promise<void>

  constructor(c: Compiling, options: GroupOptions, release: (group: CompleteGroup) => Promise<void>) {
    this.#c = c
    this.#options = options
    this.#release = release
  }

  async add(x: Exchange): Promise<void> {
    const key = await groupKey(x, this.key)
    const id = this.id ? keyText(await this.id(x), 'messageId') : messageId(x, this.#c.ports.ids)
    const message = keptOf(x)
    await contending(() => this.#tryAdd(x, key, id, message))
    x.stopped = true
  }

  async #tryAdd(x: Exchange, key: string, id: string, message: KeptMessage): Promise<void> {
    const { state, jobs, route, id: step, clock, ports } = this.#c
    const headKey = stateKey(route, step, key)
    const found = await state.get<Head>(GROUPS, headKey)
    const head = found ? { ...found.value } : this.#newHead(clock.now(), ports.ids())
    head.count++
    const member: Member = { n: head.count, message }
    const memberKey = stateKey(route, step, head.gid, id)
    const changes: Change[] = [
      { type: 'put', collection: MEMBERS, key: memberKey, value: member, ifRevision: 0 },
    ]
    const reason = await this.#completeWith(x, head)
    const ifRevision = found?.revision ?? 0
    let timer: string | undefined
    if (reason === undefined) {
      if (this.#options.idleMs !== undefined)
        head.deadlineAt = least(head.timeoutAt, clock.now() + this.#options.idleMs)
      if (head.timer === null && head.deadlineAt !== null) {
        const job = jobs.create(step, head.deadlineAt, {
          op: 'timeout',
          head: headKey,
          gid: head.gid,
        } satisfies Work)
        timer = head.timer = job.key
        changes.push(job.change)
      }
      changes.push({ type: 'put', collection: GROUPS, key: headKey, value: head, ifRevision })
    } else {
      if (found) changes.push({ type: 'delete', collection: GROUPS, key: headKey, ifRevision })
      if (head.timer !== null) changes.push(jobs.remove(head.timer))
    }
    const work = { op: 'release', key, gid: head.gid, reason: reason! } satisfies Work
    const job = reason === undefined ? undefined : jobs.create(step, clock.now(), work, true)
    if (job) changes.push(job.change)
    const outcomes = await state.transact(changes).catch(error => {
      // It is there already: what was sent twice counts once.
      if (isConflict(error) && conflictIn(error, MEMBERS)) return undefined
      throw error
    })
    if (outcomes === undefined) return
    if (timer !== undefined) jobs.arm(timer)
    const last = outcomes.at(-1)!
    if (job && last.type === 'put') await jobs.startMine(job.key, last.record.revision, job.change)
  }

  #newHead(now: number, gid: string): Head {
    const { timeoutMs, idleMs } = this.#options
    const timeoutAt = timeoutMs === undefined ? null : now + timeoutMs
    const deadlineAt = idleMs === undefined ? timeoutAt : least(timeoutAt, now + idleMs)
    return { gid, count: 0, expected: null, deadlineAt, timeoutAt, timer: null }
  }

  async #completeWith(x: Exchange, head: Head): Promise<Reason | undefined> {
    const { size, sequence, maxSize = PAGE } = this.#options
    const { count } = head
    if (size !== undefined && count >= size) return 'size'
    if (sequence) {
      // Only the last part of a stream says how many there are, and it need not come last.
      const said = x.headers[SEQUENCE_SIZE]
      if (said !== undefined) head.expected = wholeNumber(said, SEQUENCE_SIZE)
      if (head.expected !== null && count >= head.expected) return 'sequence'
    }
    if (this.when) {
      x.size = count
      if (isTrue(await this.when(x))) return 'condition'
    }
    return count >= maxSize ? 'limit' : undefined
  }

  work(work: Work, _job: Job): Promise<JobResult> {
    return work.op === 'timeout' ? this.#timeout(work) : this.#releaseGroup(work)
  }

  /** The deadline may have moved since the job was made. */
  async #timeout({ head: headKey, gid }: Work & { op: 'timeout' }): Promise<JobResult> {
    const { state, jobs, id: step, clock } = this.#c
    const found = await state.get<Head>(GROUPS, headKey)
    if (found?.value.gid !== gid) return {}
    const { value: head, revision } = found
    if (head.deadlineAt! > clock.now()) {
      const put = (timer: string): Change[] => [
        { type: 'put', collection: GROUPS, key: headKey, value: { ...head, timer }, ifRevision: revision },
      ]
      return { againAt: head.deadlineAt!, changes: put }
    }
    const key = headKey.split('/').at(-1)!
    const job = jobs.create(step, clock.now(), { op: 'release', key, gid, reason: 'timeout' } satisfies Work)
    const end: Change = { type: 'delete', collection: GROUPS, key: headKey, ifRevision: revision }
    return { changes: [end, job.change], start: job.key }
  }

  async #releaseGroup({ key, gid, reason }: Work & { op: 'release' }): Promise<JobResult> {
    const { state, route, id: step } = this.#c
    const members: { key: string; value: Member }[] = []
    const prefix = `${stateKey(route, step, gid)}/`
    for (let after: string | undefined; ; ) {
      const page = await state.list<Member>(MEMBERS, {
        prefix,
        limit: PAGE,
        ...(after !== undefined && { after }),
      })
      members.push(...page)
      after = page.at(-1)?.key
      if (page.length < PAGE) break
    }
    members.sort((a, b) => a.value.n - b.value.n)
    await this.#release({ key, reason, messages: members.map(({ value }) => value.message) })
    return { changes: members.map(({ key }): Change => ({ type: 'delete', collection: MEMBERS, key })) }
  }
}

function least(a: number | null, b: number): number {
  return a === null ? b : Math.min(a, b)
}
