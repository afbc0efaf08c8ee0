/** The life of one actor: it takes messages from its mailbox and runs the behaviour, as its supervisor says. */
import { SignalboxError, toSignalboxError } from '../errors.ts'
import type { Address } from './address.ts'
import type { ActorRef, ActorSpec, AskOptions, Behaviour, Down, SendOptions } from './behaviour.ts'
import { CellContext } from './cell-context.ts'
import type { Envelope } from './envelope.ts'
import { Mailbox } from './mailbox.ts'
import type { Runnable } from './scheduler.ts'
import type { ActorSystem } from './system.ts'

export type CellState = 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped'

/** What overtakes messages. */
type Signal = { type: 'down'; notice: Down } | { type: 'configure'; options: unknown; done: Settle }

interface Settle {
  resolve: () => void
  reject: (error: unknown) => void
}

/** Messages an actor may handle before the next one has its turn. */
const THROUGHPUT = 64
const DEFAULT_CAPACITY = 1024
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
const DEFAULT_SHUTDOWN_MS = 5_000

export class Cell implements ActorRef, Runnable {
  readonly id: number
  readonly address: Address
  readonly spec: ActorSpec
  readonly system: ActorSystem
  readonly parent: Cell | undefined
  readonly mailbox: Mailbox
  state: CellState = 'starting'
  /** Children in the order they were started. */
  children: Cell[] | undefined
  /** Times of the restarts of its children (of itself, for an actor without a parent). */
  restartTimes: number[] | undefined
  handled = 0
  dropped = 0
  restarts = 0
  lastError: SignalboxError | undefined
  #behaviour: Behaviour | undefined
  #context: CellContext | undefined
  #busy = 0
  #inLine = false
  #signals: Signal[] | undefined
  #active: Set<Envelope> | undefined
  #idle: (() => void)[] | undefined
  #stopping: Promise<void> | undefined

  constructor(system: ActorSystem, id: number, address: Address, spec: ActorSpec, parent: Cell | undefined) {
    this.system = system
    this.id = id
    this.address = address
    this.spec = spec
    this.parent = parent
    this.mailbox = new Mailbox(
      spec.mailboxCapacity ?? DEFAULT_CAPACITY,
      spec.mailboxMaxBytes ?? DEFAULT_MAX_BYTES,
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
    return this.system.tellTo(this, this.address, payload, options)
  }

  ask(payload: unknown, options?: AskOptions): Promise<unknown> {
    return this.system.askTo(this, this.address, payload, options)
  }

  /** Puts a message in the mailbox. Undefined: it is in; a promise: it waits for a place, or was refused. */
  deliver(envelope: Envelope): Promise<void> | undefined {
    if (this.state === 'stopping' || this.state === 'stopped') return this.#refuse(envelope, this.#stopped())
    if (this.mailbox.full) return this.#overflow(envelope)
    this.mailbox.push(envelope)
    this.#wake()
    return undefined
  }

  /** Puts a signal before all messages. */
  notifyDown(notice: Down): void {
    this.#signal({ type: 'down', notice })
  }

  /** Hands new configuration to the behaviour, before all messages. Rejects when the behaviour takes none. */
  configure(options: unknown): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#signal({ type: 'configure', options, done: { resolve, reject } }),
    )
  }

  /** Makes the behaviour and starts it, at first and after a failure; not before `after` has resolved. */
  start(after?: Promise<void>): void {
    if (this.#stopping) return
    this.state = 'starting'
    if (after) {
      void after.then(() => this.start())
      return
    }
    try {
      this.#behaviour = this.spec.behaviour()
      const started = this.#behaviour.started?.(this.#contextOf())
      if (started instanceof Promise) {
        started.then(() => this.#running(), error => this.fail(error))
        return
      }
    } catch (error) {
      this.fail(error)
      return
    }
    this.#running()
  }

  run(): boolean {
    this.#inLine = false
    if (this.#signals) this.#runSignals()
    const concurrency = this.spec.concurrency ?? 1
    for (let left = THROUGHPUT; left > 0; left--) {
      if (this.state !== 'running' || this.#busy >= concurrency) return false
      const envelope = this.mailbox.take()
      if (envelope === undefined) {
        this.#settled()
        return false
      }
      if (envelope.cancelled === undefined) this.#handle(envelope)
    }
    this.#inLine = this.mailbox.size > 0 && this.#busy < concurrency && this.state === 'running'
    return this.#inLine
  }

  /** Reports a failure to the supervisor, which restarts this actor, stops it, or fails itself. */
  fail(thrown: unknown): void {
    if (this.state !== 'starting' && this.state !== 'running') return
    const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    this.lastError = error
    void this.suspend(error).then(() => this.system.onExit(this, error))
  }

  /** Ends of its own will; the supervisor decides by the restart type what follows. */
  exit(): void {
    if (this.state !== 'starting' && this.state !== 'running') return
    void this.suspend(undefined).then(() => this.system.onExit(this, undefined))
  }

  /** Ends the behaviour and the children, keeps the mailbox: what precedes a restart. */
  async suspend(reason: SignalboxError | undefined): Promise<void> {
    this.state = 'restarting'
    const behaviour = this.#behaviour
    this.#behaviour = undefined
    await this.#stopChildren()
    await this.#endBehaviour(behaviour, reason)
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
      ...this.#behaviour?.inspect?.(),
    }
  }

  #running(): void {
    if (this.state !== 'starting') return
    this.state = 'running'
    this.#wake()
  }

  #wake(): void {
    if (this.#inLine || (this.state !== 'running' && this.#signals === undefined)) return
    this.#inLine = true
    this.system.scheduler.schedule(this)
  }

  #handle(envelope: Envelope): void {
    this.handled++
    let result: unknown
    try {
      result = this.#behaviour!.receive(envelope.payload, envelope, this.#contextOf())
    } catch (error) {
      this.#failed(envelope, error)
      return
    }
    if (result instanceof Promise) this.#handleAsync(envelope, result)
    else envelope.resolve(result)
  }

  #handleAsync(envelope: Envelope, result: Promise<unknown>): void {
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
        this.#failed(envelope, error)
      },
    )
  }

  #done(envelope: Envelope): void {
    this.#busy--
    this.#active!.delete(envelope)
    if (this.mailbox.size > 0) this.#wake()
    else this.#settled()
  }

  #failed(envelope: Envelope, thrown: unknown): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
    envelope.reject(error)
    this.fail(error)
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
      const oldest = this.mailbox.dropOldest()
      this.dropped++
      if (oldest) this.system.deadLetter(oldest, new SignalboxError('SIGNALBOX_MAILBOX_DROPPED'))
      this.mailbox.push(envelope)
      this.#wake()
      return undefined
    }
    if (policy === 'wait') {
      let accepted!: () => void
      const promise = new Promise<void>(resolve => {
        accepted = resolve
      })
      if (this.mailbox.wait({ envelope, accepted })) return promise
    }
    this.dropped++
    const message = `the mailbox of ${this.address} is full (${this.mailbox.size} messages)`
    return this.#refuse(envelope, new SignalboxError('SIGNALBOX_MAILBOX_FULL', message, { retryAfterMs: 1000 }))
  }

  #refuse(envelope: Envelope, error: SignalboxError): Promise<void> {
    this.system.deadLetter(envelope, error)
    return refused(error)
  }

  #signal(signal: Signal): void {
    if (this.state === 'stopped') return
    this.#signals ??= []
    this.#signals.push(signal)
    this.#wake()
  }

  #runSignals(): void {
    const signals = this.#signals!
    if (this.state === 'starting' || this.state === 'restarting') return
    this.#signals = undefined
    for (const signal of signals) this.#runSignal(signal)
  }

  #runSignal(signal: Signal): void {
    const behaviour = this.#behaviour
    if (signal.type === 'down') {
      try {
        behaviour?.down?.(signal.notice, this.#contextOf())
      } catch (error) {
        this.fail(error)
      }
      return
    }
    if (!behaviour?.configure) {
      signal.done.reject(new SignalboxError('SIGNALBOX_USAGE', `${this.address} takes no configuration`))
      return
    }
    Promise.try(() => behaviour.configure!(signal.options, this.#contextOf())).then(
      signal.done.resolve,
      signal.done.reject,
    )
  }

  async #stop(reason: SignalboxError | undefined): Promise<void> {
    this.state = 'stopping'
    this.#rejectQueued()
    await this.#stopChildren()
    await this.#finishActive()
    await this.#endBehaviour(this.#behaviour, reason)
    this.state = 'stopped'
    this.#behaviour = undefined
    for (const signal of this.#signals ?? []) if (signal.type === 'configure') signal.done.reject(this.#stopped())
    this.#signals = undefined
    for (const resolve of this.#idle ?? []) resolve()
    this.system.onStopped(this, reason)
  }

  #rejectQueued(): void {
    const error = this.#stopped()
    for (let envelope = this.mailbox.take(); envelope; envelope = this.mailbox.take()) {
      this.system.deadLetter(envelope, error)
    }
  }

  async #endBehaviour(behaviour: Behaviour | undefined, reason: SignalboxError | undefined): Promise<void> {
    try {
      await behaviour?.stopped?.(this.#contextOf(), reason)
    } catch (error) {
      this.system.log.error({ address: this.address, err: error }, 'stopped() failed')
    }
  }

  async #finishActive(): Promise<void> {
    if (this.#busy === 0) return
    const idle = this.whenIdle()
    const timer = this.system.clock.after(this.spec.shutdownMs ?? DEFAULT_SHUTDOWN_MS, () => {
      for (const envelope of this.#active ?? []) {
        const error = this.#stopped()
        envelope.reject(error)
        envelope.cancel(error)
      }
      // A handler that ignores its signal is left behind: the stop must come to an end.
      for (const resolve of this.#idle ?? []) resolve()
      this.#idle = undefined
    })
    await idle
    timer.cancel()
  }

  async #stopChildren(): Promise<void> {
    for (const child of this.children?.toReversed() ?? []) await child.stop()
  }

  #stopped(): SignalboxError {
    return new SignalboxError('SIGNALBOX_ACTOR_STOPPED', `${this.address} stopped before it handled the message`)
  }

  #contextOf(): CellContext {
    this.#context ??= new CellContext(this)
    return this.#context
  }
}

/** A rejected promise that nobody has to await: an ignored tell must not bring the worker down. */
export function refused(error: SignalboxError): Promise<void> {
  const promise = Promise.reject<void>(error)
  promise.catch(() => {})
  return promise
}
