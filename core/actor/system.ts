/** The actors of one thread: starts, finds, supervises and stops them, and sends their messages. */
import { type Clock, type Random, systemClock } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import { type Logger, silentLogger } from '../telemetry/log.ts'
import { type Address, baseOf, checkAddress, keyOf } from './address.ts'
import { type Answer, Ask, cancellation } from './ask.ts'
import type { ActorRef, ActorSpec, AskOptions, Down, SendOptions } from './behaviour.ts'
import { Cell, passOn, refused } from './cell.ts'
import { Deadlines } from './deadlines.ts'
import { Envelope, NO_CONTEXT, type ReplyHead } from './envelope.ts'
import { Keyed, type KeyedSpec } from './keyed.ts'
import { Monitors } from './monitors.ts'
import { Scheduler } from './scheduler.ts'
import { DEFAULT_SUPERVISION, type Decision, decide, type SupervisionPolicy } from './supervision.ts'

/** The way to actors that live elsewhere; the router implements it. */
export interface Remote {
  /** Sends to wherever the address lives; the result is that of {@link ActorRef.tell}. May choose this thread. */
  deliver(envelope: Envelope): Promise<void> | undefined
  /** Whether messages to a local actor are shared out with its peers elsewhere instead of staying here. */
  shares(address: Address): boolean
  /** Has `notify` called once when the actor elsewhere stops or is lost. Returns the way to stop watching. */
  monitor(address: Address, notify: (notice: Down) => void): () => void
  /** What a keyed actor must wait for before it starts here: its end at the place its key has left. */
  claim(address: Address): Promise<void> | undefined
}

export interface SystemOptions {
  clock?: Clock
  random?: Random
  log?: Logger
  /** For actors without a parent. */
  supervision?: Partial<SupervisionPolicy>
  /** Milliseconds by which turns of the event loop are measured. Default `performance.now`; a simulation has its own. */
  turnTime?: () => number
}

/** A message that nobody handled. */
export interface DeadLetter {
  to: Address
  error: SignalboxError
}

const DEFAULT_TIMEOUT_MS = 30_000

export class ActorSystem {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly scheduler: Scheduler
  readonly deadlines: Deadlines
  readonly monitors = new Monitors()
  /** Messages that nobody handled since the start, and who wants to know of each. */
  deadLetters = 0
  onDeadLetter: ((letter: DeadLetter) => void) | undefined
  remote: Remote | undefined
  readonly #cells = new Map<Address, Cell>()
  readonly #failed = new Map<Address, SignalboxError>()
  readonly #keyed = new Map<Address, Keyed>()
  /** Ends that the next actor at the address waits for. */
  readonly #retiring = new Map<Address, Promise<void>>()
  /** Actors whose place in the directory is another's by now, and that have not ended yet. */
  readonly #leaving = new Set<Cell>()
  readonly #policy: SupervisionPolicy
  #ids = 0
  #stopping = false

  constructor(options: SystemOptions = {}) {
    this.clock = options.clock ?? systemClock
    this.random = options.random ?? Math.random
    this.log = options.log ?? silentLogger
    this.scheduler = new Scheduler(options.turnTime)
    this.deadlines = new Deadlines(this.clock)
    this.#policy = { ...DEFAULT_SUPERVISION, ...options.supervision }
  }

  /** Starts an actor without a parent. Throws SIGNALBOX_ADDRESS_TAKEN, SIGNALBOX_ADDRESS_INVALID. */
  spawn(address: Address, spec: ActorSpec): ActorRef {
    return this.#start(checkAddress(address), spec, undefined)
  }

  /** @internal Starts a child; its address is that of its parent with the name added. */
  spawnChild(parent: Cell, name: string, spec: ActorSpec): ActorRef {
    if (parent.state !== 'starting' && parent.state !== 'running') {
      const message = `${parent.address} is coming to its end and starts no children`
      throw new SignalboxError('SIGNALBOX_ACTOR_STOPPED', message)
    }
    const key = keyOf(parent.address)
    const address = `${baseOf(parent.address)}/${name}${key === undefined ? '' : `#${key}`}`
    return this.#start(checkAddress(address), spec, parent)
  }

  /** Makes one actor for each key of `base#key` when its first message comes, and stops it when it is idle. */
  keyed(base: Address, spec: KeyedSpec): void {
    if (this.#keyed.has(base)) throw taken(base)
    this.#keyed.set(checkAddress(base), new Keyed(this, spec))
  }

  /**
   * Puts a new actor in the place of the one at this address, if there is one: messages go to the new one from
   * now on; the old one handles what it has, then stops. Resolves when it has. Throws SIGNALBOX_ADDRESS_INVALID,
   * and SIGNALBOX_USAGE for a child: that is its supervisor's to replace.
   */
  async replace(address: Address, spec: ActorSpec): Promise<void> {
    const old = this.#cells.get(address)
    if (old?.parent) throw new SignalboxError('SIGNALBOX_USAGE', `${address} has a supervisor that starts it`)
    // Before the old one leaves its place, so that a spec which is none changes nothing.
    const cell = this.#create(checkAddress(address), spec, undefined)
    if (old) this.#vacate(old)
    this.#begin(cell)
    if (old) await this.#finish(old)
  }

  /** New actors of a keyed base are made by this spec; those there are end when they have nothing to do. */
  replaceKeyed(base: Address, spec: KeyedSpec): void {
    const old = this.#keyed.get(base)
    this.#keyed.set(checkAddress(base), new Keyed(this, spec))
    void old?.release(() => false)
  }

  /**
   * Takes an actor, or all those of a keyed base, from its place: nothing reaches it any more. It handles what it
   * has, then stops. Resolves when it has.
   */
  async withdraw(address: Address): Promise<void> {
    this.#failed.delete(address)
    const keyed = this.#keyed.get(address)
    this.#keyed.delete(address)
    const cell = this.#cells.get(address)
    if (cell) this.#vacate(cell)
    await Promise.all([keyed?.release(() => false), cell && this.#finish(cell)])
  }

  /** Stops an actor, or all those of a keyed base, and resolves when that is done. Unknown: nothing happens. */
  async stop(address: Address): Promise<void> {
    this.#failed.delete(address)
    const keyed = this.#keyed.get(address)
    this.#keyed.delete(address)
    const cell = this.#cells.get(address)
    await Promise.all([cell && (this.#isKeyed(address) ? this.#end(cell) : cell.stop()), keyed?.stop()])
  }

  /**
   * Stops an actor as soon as it has nothing to do. A new one at the same address may be started meanwhile; it
   * begins when this one has ended, so that no key is ever handled twice at once.
   */
  async retire(address: Address): Promise<void> {
    const cell = this.#cells.get(address)
    if (!cell) return
    while (!cell.idle && cell.state !== 'stopped') await cell.whenIdle()
    if (this.#cells.get(address) === cell) await this.#end(cell)
  }

  /** Waits until no actor has anything to do. */
  async whenIdle(): Promise<void> {
    for (;;) {
      const busy = [...this.#cells.values(), ...this.#leaving].filter(cell => !cell.idle)
      if (busy.length === 0) return
      await Promise.all(busy.map(cell => cell.whenIdle()))
    }
  }

  get idle(): boolean {
    for (const cell of this.#cells.values()) if (!cell.idle) return false
    for (const cell of this.#leaving) if (!cell.idle) return false
    return true
  }

  /** Stops everything, the youngest first. Nothing can be started any more. */
  async shutdown(): Promise<void> {
    this.#stopping = true
    for (const keyed of this.#keyed.values()) await keyed.stop()
    this.#keyed.clear()
    await Promise.all([...this.#leaving].map(cell => cell.stop()))
    const roots = [...this.#cells.values()].filter(cell => cell.parent === undefined).reverse()
    for (const cell of roots) await cell.stop()
  }

  has(address: Address): boolean {
    return this.#cells.has(address) || this.#keyed.has(baseOf(address))
  }

  /** @internal */
  cell(address: Address): Cell | undefined {
    return this.#cells.get(address)
  }

  /** Plain data on every actor. */
  inspect(): Record<string, unknown>[] {
    const failed = [...this.#failed].map(([address, error]) => {
      return { address, state: 'failed', lastError: `${error.code}: ${error.message}` }
    })
    return [...Array.from(this.#cells.values(), cell => cell.inspect()), ...failed]
  }

  /** Sends without waiting for an answer; see {@link ActorRef.tell}. */
  tell(to: Address, payload: unknown, options?: SendOptions): Promise<void> | undefined {
    return this.tellTo(this.#cells.get(to), to, payload, options)
  }

  /** Sends and waits for the answer. Rejects with a SignalboxError, at the latest at its deadline. */
  ask(to: Address, payload: unknown, options?: AskOptions): Promise<unknown> {
    return this.askTo(this.#cells.get(to), to, payload, options)
  }

  /** Like {@link ask}, with what the handler said beside the payload. */
  request(to: Address, payload: unknown, options?: AskOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const settle = (value: unknown, head: ReplyHead | undefined) => resolve({ payload: value, head })
      this.#ask(new Ask(this.deadlines, settle, reject), this.#cells.get(to), to, payload, options)
    })
  }

  /** @internal */
  tellTo(
    cell: Cell | undefined,
    to: Address,
    payload: unknown,
    options: SendOptions | undefined,
  ): Promise<void> | undefined {
    return this.#send(
      cell,
      new Envelope(to, payload, options ?? NO_CONTEXT, 0, undefined, options?.bytes ?? 0),
    )
  }

  /** @internal */
  askTo(cell: Cell | undefined, to: Address, payload: unknown, options?: AskOptions): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.#ask(new Ask(this.deadlines, resolve, reject), cell, to, payload, options),
    )
  }

  /** Calls `notify` once when the actor stops; at once when there is none. Returns the way to stop watching. */
  monitor(address: Address, notify: (notice: Down) => void): () => void {
    if (this.#cells.has(address)) return this.monitors.add(address, notify)
    if (this.remote) return this.remote.monitor(address, notify)
    notify({ address, reason: this.#failed.get(address) ?? unknownAddress(address) })
    return () => {}
  }

  /** @internal */
  link(cell: Cell, address: Address): void {
    const other = this.#cells.get(address)
    cell.monitor(address, notice => failWith(cell, notice))
    other?.monitor(cell.address, notice => failWith(other, notice))
  }

  /** @internal Why the actor failed for good; undefined when it did not, or another has its place. */
  failureOf(cell: Cell): SignalboxError | undefined {
    return this.#failed.get(cell.address)
  }

  /** @internal Asks by a way of its own, past the directory. */
  askAt(deliver: (envelope: Envelope) => unknown, to: Address, payload: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ask = new Ask(this.deadlines, resolve, reject)
      const envelope = new Envelope(to, payload, NO_CONTEXT, this.deadlineOf(undefined), ask, 0)
      ask.watch(envelope)
      deliver(envelope)
    })
  }

  /** Lets the actors of a keyed base whose key does not belong here any more come to their end. */
  releaseKeys(base: Address, belongs: (address: Address) => boolean): Promise<void> {
    return this.#keyed.get(base)?.release(belongs) ?? Promise.resolve()
  }

  /** Messages that an actor of this thread has before it or is handling. */
  loadOf(address: Address): number {
    const cell = this.#cells.get(address)
    return cell ? cell.mailbox.size + cell.mailbox.waiting + cell.busy : 0
  }

  /** Hands a message to an actor of this thread, wherever it came from. */
  deliver(envelope: Envelope): Promise<void> | undefined {
    let error: SignalboxError | undefined
    try {
      const cell = this.#cells.get(envelope.to) ?? this.#activate(envelope.to)
      if (cell) return cell.deliver(envelope)
    } catch (thrown) {
      // A key comes from outside: one that makes no address fails its message and nothing else.
      error = toSignalboxError(thrown, 'SIGNALBOX_ADDRESS_INVALID')
    }
    error ??= this.#failed.get(envelope.to) ?? unknownAddress(envelope.to)
    this.deadLetter(envelope, error)
    return refused(error)
  }

  /** Counts a message that nobody handled and fails it. */
  deadLetter(envelope: Envelope, error: SignalboxError): void {
    this.deadLetters++
    envelope.refused = true
    envelope.reject(error)
    this.onDeadLetter?.({ to: envelope.to, error })
  }

  /** @internal A cell has ended its behaviour, by a failure or of its own will: what follows? */
  onExit(cell: Cell, error: SignalboxError | undefined): void {
    const decision = this.#stopping ? ({ type: 'forget' } as const) : this.#decide(cell, error !== undefined)
    if (decision.type === 'restart') this.#restart(cell, decision, error)
    else if (decision.type === 'escalate') this.#escalate(cell, error)
    else if (this.#isKeyed(cell.address)) void this.#end(cell, error)
    else void cell.stop(error)
  }

  #decide(cell: Cell, failed: boolean): Decision {
    const parent = cell.parent
    const policy = parent ? { ...this.#policy, ...parent.spec.supervision } : this.#policy
    const siblings = (parent?.children ?? [cell]).map(({ id, spec }) => {
      return { id, restart: spec.restart ?? 'transient' }
    })
    const event = { child: cell.id, failed, now: this.clock.monotonic() }
    return decide(policy, siblings, restartTimesOf(cell), event, this.random)
  }

  #restart(
    cell: Cell,
    { stop, start, delayMs }: Extract<Decision, { type: 'restart' }>,
    error: SignalboxError | undefined,
  ): void {
    const data = { actor: cell.address, code: error?.code, err: error, delayMs: Math.round(delayMs) }
    this.log.warn(data, error ? 'actor failed and is restarted' : 'actor ended and is restarted')
    const byId = new Map((cell.parent?.children ?? [cell]).map(child => [child.id, child]))
    const restarted = start.map(id => byId.get(id)!)
    const restart = {}
    for (const child of restarted) child.restartedBy = restart
    const others = stop.map(id => byId.get(id)!)
    void endInTurn(others, restarted).then(() =>
      this.clock.after(delayMs, () => startAgain(restarted, restart)),
    )
  }

  #escalate(cell: Cell, cause: SignalboxError | undefined): void {
    const message = `${cell.address} failed more often than its supervisor allows: ${cause?.message ?? 'stopped'}`
    const error = new SignalboxError('SIGNALBOX_SUPERVISION_ESCALATED', message, {
      cause,
      details: { address: cell.address, lastError: cause && `${cause.code}: ${cause.message}` },
    })
    this.log.error({ actor: cell.address, code: error.code, err: cause }, message)
    // A keyed actor is made anew by its next message; one that was replaced has an heir.
    const marked = cell.parent === undefined && !cell.moved && !this.#isKeyed(cell.address)
    if (marked) this.#failed.set(cell.address, error)
    void cell.stop(error)
    cell.parent?.fail(error)
  }

  /** @internal A cell has stopped for good. */
  onStopped(cell: Cell, reason: SignalboxError | undefined): void {
    this.#leaving.delete(cell)
    if (this.#cells.get(cell.address) === cell) this.#cells.delete(cell.address)
    const siblings = cell.parent?.children
    if (siblings) siblings.splice(siblings.indexOf(cell), 1)
    // With another in its place, the address that is watched lives on.
    if (!this.#cells.has(cell.address)) this.monitors.stopped(cell.address, reason)
  }

  #start(address: Address, spec: ActorSpec, parent: Cell | undefined, after?: Promise<void>): Cell {
    if (this.#cells.has(address)) throw taken(address)
    return this.#begin(this.#create(address, spec, parent), after)
  }

  #create(address: Address, spec: ActorSpec, parent: Cell | undefined): Cell {
    if (this.#stopping) {
      throw new SignalboxError('SIGNALBOX_ACTOR_STOPPED', `${address} is not started: everything stops`)
    }
    return new Cell(this, this.#ids++, address, spec, parent)
  }

  #begin(cell: Cell, after?: Promise<void>): Cell {
    this.#cells.set(cell.address, cell)
    this.#failed.delete(cell.address)
    if (cell.parent) {
      cell.parent.children ??= []
      cell.parent.children.push(cell)
    }
    cell.start(after)
    return cell
  }

  /** Takes an actor and those it started out of the directory; it goes on with what it has. */
  #vacate(cell: Cell): void {
    cell.moved = true
    this.#leaving.add(cell)
    const remove = (gone: Cell): void => {
      if (this.#cells.get(gone.address) === gone) this.#cells.delete(gone.address)
      for (const child of gone.children ?? []) remove(child)
    }
    remove(cell)
  }

  /** Stops an actor that has left its place when it has handled what it has. */
  async #finish(cell: Cell): Promise<void> {
    while (!cell.idle && cell.state !== 'stopped') await cell.whenIdle()
    await cell.stop()
  }

  /** Ends an actor whose place may be taken meanwhile; the next one there begins when it has ended. */
  async #end(cell: Cell, reason?: SignalboxError): Promise<void> {
    const { address } = cell
    this.#vacate(cell)
    const left = cell.mailbox.clear()
    const ended = cell.stop(reason)
    this.#retiring.set(address, ended)
    passOn(left, envelope => this.deliver(envelope))
    await ended
    if (this.#retiring.get(address) === ended) this.#retiring.delete(address)
  }

  #isKeyed(address: Address): boolean {
    return !this.#stopping && keyOf(address) !== undefined && this.#keyed.has(baseOf(address))
  }

  #activate(address: Address): Cell | undefined {
    const key = keyOf(address)
    const keyed = key === undefined ? undefined : this.#keyed.get(baseOf(address))
    if (keyed === undefined || this.#stopping) return undefined
    checkAddress(address)
    const after = this.#retiring.get(address) ?? this.remote?.claim(address)
    return this.#start(address, keyed.specFor(address, key!), undefined, after)
  }

  #ask(
    ask: Ask,
    cell: Cell | undefined,
    to: Address,
    payload: unknown,
    options: AskOptions | undefined,
  ): void {
    const signal = options?.signal
    const parent = options?.parent
    if (signal?.aborted || parent?.cancelled) {
      ask.reject(parent?.cancelled ?? cancellation(signal!))
      return
    }
    const envelope = new Envelope(
      to,
      payload,
      options ?? NO_CONTEXT,
      this.deadlineOf(options),
      ask,
      options?.bytes ?? 0,
    )
    ask.watch(envelope, signal, parent)
    // A refusal fails the ask itself.
    void this.#send(cell, envelope)
  }

  /** When an ask with these options expires, on the monotonic clock; 0 for never. */
  deadlineOf(options: AskOptions | undefined): number {
    const parent = options?.parent?.deadline ?? 0
    const own = options?.timeoutMs ?? (parent === 0 ? DEFAULT_TIMEOUT_MS : Number.POSITIVE_INFINITY)
    if (typeof own !== 'number' || !(own >= 0)) throw notATime(own)
    if (own === Number.POSITIVE_INFINITY) return parent
    const deadline = this.clock.monotonic() + own
    return parent === 0 ? deadline : Math.min(parent, deadline)
  }

  #send(cell: Cell | undefined, envelope: Envelope): Promise<void> | undefined {
    const remote = this.remote
    if (remote === undefined) return cell ? cell.deliver(envelope) : this.deliver(envelope)
    if (cell !== undefined && !remote.shares(envelope.to)) return cell.deliver(envelope)
    return remote.deliver(envelope)
  }
}

/** Ends actors one after the other: those that start again are suspended, the others stop for good. */
async function endInTurn(others: readonly Cell[], restarted: readonly Cell[]): Promise<void> {
  for (const other of others) await (restarted.includes(other) ? other.suspend(undefined) : other.stop())
  // One that failed by itself meanwhile may still be ending.
  for (const cell of restarted) await cell.suspend(undefined)
}

function startAgain(cells: readonly Cell[], restart: object): void {
  for (const cell of cells) {
    if (cell.state !== 'restarting' || cell.restartedBy !== restart) continue
    cell.restarts++
    cell.start()
  }
}

/** The restarts that count for an actor: its supervisor's for this life, or its own when it has none. */
function restartTimesOf(cell: Cell): number[] {
  if (cell.parent === undefined) {
    cell.restartTimes ??= []
    return cell.restartTimes
  }
  cell.parent.childRestartTimes ??= []
  return cell.parent.childRestartTimes
}

function failWith(cell: Cell, { address, reason }: Down): void {
  if (reason === undefined) return
  const message = `${address}, which ${cell.address} is linked to, failed: ${reason.message}`
  cell.fail(new SignalboxError('SIGNALBOX_ACTOR_STOPPED', message, { cause: reason }))
}

function notATime(value: unknown): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_USAGE',
    `timeoutMs must be a number of at least 0, got ${String(value)}`,
  )
}

function taken(address: Address): SignalboxError {
  return new SignalboxError('SIGNALBOX_ADDRESS_TAKEN', `an actor already lives at ${address}`)
}

/** The error for a message to nobody. */
export function unknownAddress(address: Address): SignalboxError {
  return new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `no actor lives at ${address}`)
}
