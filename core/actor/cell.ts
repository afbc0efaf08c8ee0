/** The life of one actor: it takes messages from its mailbox and runs the behaviour, as its supervisor says. */
import { SignalboxError, toSignalboxError } from '../errors.ts'
import type { Address } from './address.ts'
import type { ActorRef, ActorSpec, AskOptions, Behaviour, Down, SendOptions } from './behaviour.ts'
import { CellContext } from './cell-context.ts'
import type { Envelope } from './envelope.ts'
import { Mailbox, type Waiting } from './mailbox.ts'
import type { Runnable } from './scheduler.ts'
import { rejectSignals, runSignal, type Signal, withoutNotices } from './signals.ts'
import type { ActorSystem } from './system.ts'

export type CellState = 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped'

/** Messages an actor may handle before the next one has its turn. */
const THROUGHPUT = 64
const DEFAULT_CAPACITY = 1024
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
const DEFAULT_SHUTDOWN_MS = 5_000
/** The longest time that timers can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

export class Cell implements ActorRef, Runnable {
  readonly id: number
  readonly address: Address
  readonly spec: ActorSpec
  readonly system: ActorSystem
  readonly parent: Cell | undefined
  readonly mailbox: Mailbox
  state: CellState = 'starting'
  /** Its place in the directory is free for another: those who hold this reference are sent by the address. */
  moved = false
  /** Children in the order they were started. */
  children: Cell[] | undefined
  /** Times of the restarts of an actor without a parent, and of those of the children in this life. */
  restartTimes: number[] | undefined
  childRestartTimes: number[] | undefined
  /** The restart that will start it again: of several, the one decided last. */
  restartedBy: object | undefined
  handled = 0
  dropped = 0
  restarts = 0
  lastError: SignalboxError | undefined
  readonly #concurrency: number
  #behaviour: Behaviour | undefined
  #context: CellContext | undefined
  #busy = 0
  #inLine = false
  #signals: Signal[] | undefined
  #active: Set<Envelope> | undefined
  #idle: (() => void)[] | undefined
  /** Called when no message is being handled any more. */
  #quiet: (() => void) | undefined
  #watches: Set<() => void> | undefined
  #suspending: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /** Throws SIGNALBOX_USAGE when the spec has a limit that is none. */
  constructor(system: ActorSystem, id: number, address: Address, spec: ActorSpec, parent: Cell | undefined) {
    this.system = system
    this.id = id
    this.address = address
    this.spec = spec
    this.parent = parent
    this.#concurrency = atLeastOne(spec.concurrency ?? 1, 'concurrency', address)
    this.mailbox = new Mailbox(
      atLeastOne(spec.mailboxCapacity ?? DEFAULT_CAPACITY, 'mailboxCapacity', address),
      atLeastOne(spec.mailboxMaxBytes ?? DEFAULT_MAX_BYTES, 'mailboxMaxBytes', address),
    )
  }

  /** Messages being handled. */
  get busy(): number {
    return this.#busy
  }

  get idle(): boolean {
    return this.#busy === 0 && this.mailbox.size === 0 && this.mailbox.waiting === 0
  }

  tell(payload: unknown, options?: SendOptions): Promise<void> | undefined {
    return this.system.tellTo(this.moved ? undefined : this, this.address, payload, options)
  }

  ask(payload: unknown, options?: AskOptions): Promise<unknown> {
    return this.system.askTo(this.moved ? undefined : this, this.address, payload, options)
  }

  /** Puts a message in the mailbox. Undefined: it is in; a promise: it waits for a place, or was refused. */
  deliver(envelope: Envelope): Promise<void> | undefined {
    if (this.state === 'stopping' || this.state === 'stopped') return this.#refuse(envelope, this.#stopped())
    if (this.mailbox.full) return this.#overflow(envelope)
    this.mailbox.push(envelope)
    this.#wake()
    return undefined
  }

  /** Puts a notice before all messages. */
  notifyDown(notice: Down): void {
    this.#signal({ type: 'down', notice })
  }

  /** Hands new configuration to the behaviour, before all messages. Rejects when the behaviour takes none. */
  configure(options: unknown): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#signal({ type: 'configure', options, done: { resolve, reject } }),
    )
  }

  /** Watches another actor, until it stops or this life of this one ends. */
  monitor(address: Address, notify: (notice: Down) => void): () => void {
    let unmonitor: (() => void) | undefined
    let over = false
    const unwatch = () => {
      over = true
      unmonitor?.()
      this.#watches?.delete(unwatch)
    }
    unmonitor = this.system.monitor(address, notice => {
      if (over) return
      unwatch()
      notify(notice)
    })
    if (over) return unwatch
    this.#watches ??= new Set()
    this.#watches.add(unwatch)
    return unwatch
  }

  /** Makes the behaviour and starts it, at first and after a failure; not before `after` has ended. */
  start(after?: Promise<void>): void {
    if (this.#stopping) return
    this.state = 'starting'
    if (after) {
      const begin = () => this.start()
      void after.then(begin, begin)
      return
    }
    try {
      const behaviour = this.spec.behaviour()
      this.#behaviour = behaviour
      const started = behaviour.started?.(this.#contextOf())
      if (!(started instanceof Promise)) this.#running(behaviour)
      else {
        started.then(
          () => this.#running(behaviour),
          error => this.#failedIn(behaviour, error),
        )
      }
    } catch (error) {
      this.fail(error)
    }
  }

  run(): boolean {
    if (this.#signals) this.#runSignals()
    for (let left = THROUGHPUT; left > 0; left--) {
      if (this.state !== 'running' || this.#busy >= this.#concurrency) break
      const envelope = this.mailbox.take()
      if (envelope === undefined) break
      if (envelope.cancelled === undefined) this.#handle(envelope)
    }
    const more = this.mailbox.size > 0 || this.#signals !== undefined
    this.#inLine = more && this.state === 'running' && this.#busy < this.#concurrency
    if (this.#idle) this.#settled()
    return this.#inLine
  }

  /** Reports a failure to the supervisor, which restarts this actor, stops it, or fails itself. */
  fail(thrown: unknown): void {
    if (this.state !== 'starting' && this.state !== 'running') return
    const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    this.lastError = error
    this.#exit(error)
  }

  /** Ends of its own will; the supervisor decides by the restart type what follows. */
  exit(): void {
    if (this.state === 'starting' || this.state === 'running') this.#exit(undefined)
  }

  /**
   * Ends the behaviour and the children, keeps the mailbox: what precedes a restart. Resolves when they have
   * ended, also when that was under way already.
   */
  suspend(reason: SignalboxError | undefined): Promise<void> {
    if (this.state === 'starting' || this.state === 'running') {
      this.state = 'restarting'
      this.#suspending = this.#suspend(reason)
    }
    return this.#suspending ?? Promise.resolve()
  }

  /** Resolves when nothing is queued or being handled. */
  whenIdle(): Promise<void> {
    if (this.idle || this.state === 'stopped') return Promise.resolve()
    return new Promise(resolve => {
      this.#idle ??= []
      this.#idle.push(resolve)
    })
  }

  /**
   * Stops: children first, then itself. Messages that wait fail with SIGNALBOX_ACTOR_STOPPED; those being
   * handled have `shutdownMs`, then they are cancelled. Idempotent.
   */
  stop(reason?: SignalboxError): Promise<void> {
    this.#stopping ??= this.#stop(reason)
    return this.#stopping
  }

  inspect(): Record<string, unknown> {
    return {
      address: this.address,
      state: this.state,
      queued: this.mailbox.size,
      waiting: this.mailbox.waiting,
      busy: this.#busy,
      handled: this.handled,
      dropped: this.dropped,
      restarts: this.restarts,
      ...(this.lastError && { lastError: `${this.lastError.code}: ${this.lastError.message}` }),
      ...this.#inspectBehaviour(),
    }
  }

  #running(behaviour: Behaviour): void {
    if (this.state !== 'starting' || this.#behaviour !== behaviour) return
    this.state = 'running'
    this.#wake()
  }

  #wake(): void {
    if (this.#inLine || this.state !== 'running') return
    this.#inLine = true
    this.system.scheduler.schedule(this)
  }

  #handle(envelope: Envelope): void {
    this.handled++
    const behaviour = this.#behaviour!
    let result: unknown
    try {
      result = behaviour.receive(envelope.payload, envelope, this.#contextOf())
    } catch (error) {
      this.#failed(envelope, behaviour, error)
      return
    }
    if (result instanceof Promise) this.#handleAsync(envelope, behaviour, result)
    else envelope.resolve(result)
  }

  #handleAsync(envelope: Envelope, behaviour: Behaviour, result: Promise<unknown>): void {
    this.#busy++
    this.#active ??= new Set()
    this.#active.add(envelope)
    result.then(
      value => {
        this.#done(envelope)
        envelope.resolve(value)
      },
      error => {
        this.#done(envelope)
        this.#failed(envelope, behaviour, error)
      },
    )
  }

  #done(envelope: Envelope): void {
    // Otherwise it was left behind when its time for a stop was over.
    if (!this.#active?.delete(envelope)) return
    this.#busy--
    if (this.#busy === 0) this.#quiet?.()
    if (this.mailbox.size > 0) this.#wake()
    else if (this.#idle) this.#settled()
  }

  #failed(envelope: Envelope, behaviour: Behaviour, thrown: unknown): void {
    const cancelled = envelope.cancelled !== undefined
    const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    envelope.reject(error)
    if (!cancelled) this.#failedIn(behaviour, error)
  }

  /** A failure counts in its own life only: what began before a restart must not bring down what came after. */
  #failedIn(behaviour: Behaviour, error: unknown): void {
    if (this.#behaviour === behaviour) this.fail(error)
  }

  #exit(error: SignalboxError | undefined): void {
    void this.suspend(error).then(() => {
      if (this.#stopping === undefined) this.system.onExit(this, error)
    })
  }

  #settled(): void {
    if (!this.#idle || !this.idle) return
    const idle = this.#idle
    this.#idle = undefined
    for (const resolve of idle) resolve()
  }

  #overflow(envelope: Envelope): Promise<void> | undefined {
    const policy = this.spec.overflow ?? 'wait'
    if (policy === 'dropOldest') {
      this.#makeRoom()
      this.mailbox.push(envelope)
      this.#wake()
      return undefined
    }
    if (policy === 'wait') {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      if (this.mailbox.wait({ envelope, accepted: resolve, refused: reject })) {
        promise.catch(ignore)
        return promise
      }
    }
    this.dropped++
    const message = `the mailbox of ${this.address} is full (${this.mailbox.size} messages)`
    return this.#refuse(
      envelope,
      new SignalboxError('SIGNALBOX_MAILBOX_FULL', message, { retryAfterMs: 1000 }),
    )
  }

  #makeRoom(): void {
    while (this.mailbox.full) {
      const oldest = this.mailbox.dropOldest()
      if (oldest?.cancelled !== undefined) continue
      this.dropped++
      if (oldest) this.system.deadLetter(oldest, new SignalboxError('SIGNALBOX_MAILBOX_DROPPED'))
    }
  }

  #refuse(envelope: Envelope, error: SignalboxError): Promise<void> {
    this.system.deadLetter(envelope, error)
    return refused(error)
  }

  #signal(signal: Signal): void {
    if (this.state === 'stopped') {
      rejectSignals([signal], this.#stopped())
      return
    }
    this.#signals ??= []
    this.#signals.push(signal)
    this.#wake()
  }

  #runSignals(): void {
    while (this.#signals !== undefined && this.state === 'running') {
      const signal = this.#signals.shift()!
      if (this.#signals.length === 0) this.#signals = undefined
      try {
        runSignal(signal, this.#behaviour!, this.#contextOf())
      } catch (error) {
        this.fail(error)
      }
    }
  }

  async #suspend(reason: SignalboxError | undefined): Promise<void> {
    const behaviour = this.#behaviour
    this.#behaviour = undefined
    this.#endWatches()
    await this.#stopChildren()
    if (this.#busy > 0) await this.#finishActive()
    await this.#endBehaviour(behaviour, reason)
    this.childRestartTimes = undefined
  }

  async #stop(reason: SignalboxError | undefined): Promise<void> {
    this.state = 'stopping'
    this.#rejectQueued()
    this.#endWatches()
    if (this.#suspending) await this.#suspending
    if (this.children) await this.#stopChildren()
    if (this.#busy > 0) await this.#finishActive()
    await this.#endBehaviour(this.#behaviour, reason)
    this.state = 'stopped'
    this.#behaviour = undefined
    if (this.#signals) rejectSignals(this.#signals, this.#stopped())
    this.#signals = undefined
    for (const resolve of this.#idle ?? []) resolve()
    this.#idle = undefined
    this.system.onStopped(this, reason)
  }

  #rejectQueued(): void {
    if (this.mailbox.size === 0 && this.mailbox.waiting === 0) return
    const error = this.#stopped()
    const { queued, waiting } = this.mailbox.clear()
    for (const envelope of queued) if (!envelope.cancelled) this.system.deadLetter(envelope, error)
    for (const { envelope, refused } of waiting) {
      if (!envelope.cancelled) this.system.deadLetter(envelope, error)
      refused(error)
    }
  }

  async #endBehaviour(behaviour: Behaviour | undefined, reason: SignalboxError | undefined): Promise<void> {
    try {
      await behaviour?.stopped?.(this.#contextOf(), reason)
    } catch (error) {
      this.system.log.error({ address: this.address, err: error }, 'stopped() failed')
    }
  }

  /** Waits for the messages being handled. One that ignores its signal is left behind: a stop must have an end. */
  async #finishActive(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#quiet = resolve
    const limitMs = Math.min(this.spec.shutdownMs ?? DEFAULT_SHUTDOWN_MS, MAX_TIMER_MS)
    const timer = this.system.clock.after(limitMs, () => this.#abandonActive())
    await promise
    this.#quiet = undefined
    timer.cancel()
  }

  #abandonActive(): void {
    const error = this.#stopped()
    const abandoned = this.#active ?? []
    this.#active = undefined
    this.#busy = 0
    for (const envelope of abandoned) {
      envelope.reject(error)
      envelope.cancel(error)
    }
    this.#quiet?.()
  }

  async #stopChildren(): Promise<void> {
    for (const child of this.children?.toReversed() ?? []) await child.stop()
  }

  #endWatches(): void {
    for (const unwatch of this.#watches ?? []) unwatch()
    this.#signals = withoutNotices(this.#signals)
  }

  #inspectBehaviour(): Record<string, unknown> | undefined {
    try {
      return this.#behaviour?.inspect?.()
    } catch (error) {
      return { inspectError: toSignalboxError(error, 'SIGNALBOX_ACTOR_FAILED').message }
    }
  }

  #stopped(): SignalboxError {
    const failure = this.system.failureOf(this)
    if (failure) return failure
    return new SignalboxError(
      'SIGNALBOX_ACTOR_STOPPED',
      `${this.address} stopped before it handled the message`,
    )
  }

  #contextOf(): CellContext {
    this.#context ??= new CellContext(this)
    return this.#context
  }
}

/** A rejected promise that nobody has to await: an ignored tell must not bring the worker down. */
export function refused(error: SignalboxError): Promise<void> {
  const promise = Promise.reject<void>(error)
  promise.catch(ignore)
  return promise
}

/** Hands messages that one actor did not get to on to another. */
export function passOn(
  { queued, waiting }: { queued: Envelope[]; waiting: Waiting[] },
  deliver: (envelope: Envelope) => Promise<void> | undefined,
): void {
  for (const envelope of queued) void deliver(envelope)
  for (const { envelope, accepted, refused } of waiting) {
    const told = deliver(envelope)
    if (told) told.then(accepted, refused)
    else accepted()
  }
}

function atLeastOne(value: number, what: string, address: Address): number {
  if (typeof value === 'number' && value >= 1) return value
  throw new SignalboxError(
    'SIGNALBOX_USAGE',
    `${what} of ${address} must be a number of at least 1, got ${value}`,
  )
}

function ignore(): void {}
