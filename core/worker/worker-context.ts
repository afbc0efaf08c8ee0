/** What the boot module of a worker works with: it declares actors, the worker starts and registers them. */
import type { Address } from '../actor/address.ts'
import type { ActorSpec } from '../actor/behaviour.ts'
import type { KeyedSpec } from '../actor/keyed.ts'
import type { ActorSystem } from '../actor/system.ts'
import type { Balance } from '../router/balance.ts'
import type { Place } from '../router/place.ts'
import type { Logger } from '../telemetry/log.ts'
import type { ControlPort } from './control-port.ts'
import type { WorkerInit } from './messages.ts'

/** What a boot module gives back. */
export interface WorkerHooks {
  /** Takes nothing more from outside and resolves when what came from there is settled. */
  drain?(handover: boolean): Promise<void>
  /** Called before the actors are stopped. */
  stop?(): Promise<void>
  /** A worker, or a worker of another node, is gone. */
  lost?(place: Place, reason: string): void
  /** What the node may ask of this worker, by name. */
  requests?: Record<string, (payload: never) => unknown>
}

/** The default export of a boot module. */
export type BootModule = (worker: WorkerContext) => WorkerHooks | Promise<WorkerHooks>

/** Where an actor lives. */
export type Placement =
  /** In every worker; messages stay in their worker unless `balance` says otherwise. */
  | { placement: 'everyWorker'; balance?: Exclude<Balance, 'keyed'>; spec: ActorSpec }
  /** In one worker of the cluster; it is started elsewhere when that one goes. */
  | { placement: 'singleton'; spec: ActorSpec }
  /** One for each key, always in the same place as long as the places stay the same. */
  | { placement: 'keyed'; spec: KeyedSpec }

interface CallRequest {
  to: Address
  payload: unknown
  timeoutMs?: number
}

export class WorkerContext {
  readonly place: Place
  readonly node: string
  readonly slot: number
  readonly config: unknown
  readonly system: ActorSystem
  readonly log: Logger
  /** What every worker answers to its node. */
  readonly requests: NonNullable<WorkerHooks['requests']>
  readonly #control: ControlPort
  readonly #singletons = new Map<Address, ActorSpec>()
  readonly #declared = new Map<Address, Placement>()

  constructor(init: WorkerInit, system: ActorSystem, control: ControlPort, log: Logger) {
    this.place = init.place
    this.node = init.node
    this.slot = init.slot
    this.config = init.config
    this.system = system
    this.log = log
    this.#control = control
    this.requests = {
      inspect: () => system.inspect(),
      ask: ({ to, payload, timeoutMs }: CallRequest) =>
        system.ask(to, payload, timeoutMs ? { timeoutMs } : {}),
      tell: ({ to, payload }: CallRequest) => system.tell(to, payload),
    }
  }

  /** Declares an actor: it is started where its placement says, and can be reached from everywhere. */
  declare(address: Address, placement: Placement): void {
    this.#declared.set(address, placement)
    switch (placement.placement) {
      case 'everyWorker':
        this.system.spawn(address, placement.spec)
        this.#control.post({ type: 'register', address, balance: placement.balance ?? 'localFirst' })
        return
      case 'keyed':
        this.system.keyed(address, placement.spec)
        this.#control.post({ type: 'register', address, balance: 'keyed' })
        return
      case 'singleton':
        this.#singletons.set(address, placement.spec)
        this.#control.post({ type: 'candidate', address })
    }
  }

  /** Declares an actor, or puts a new one in the place of the one there: see {@link ActorSystem.replace}. */
  declareOrReplace(address: Address, placement: Placement): void {
    const before = this.#declared.get(address)
    if (before === undefined) {
      this.declare(address, placement)
      return
    }
    this.#declared.set(address, placement)
    if (before.placement !== placement.placement) {
      // It lives elsewhere from now on: nothing takes over in place, and what is there finishes what it has.
      this.retire(address).catch(error => this.log.error({ address, err: error }, 'actor did not end'))
      this.declare(address, placement)
      return
    }
    if (placement.placement === 'keyed') this.system.replaceKeyed(address, placement.spec)
    else if (placement.placement === 'singleton') this.#singletons.set(address, placement.spec)
    else if (balanceOf(before) !== balanceOf(placement)) {
      this.#control.post({ type: 'register', address, balance: balanceOf(placement) })
    }
    if (placement.placement !== 'keyed' && this.system.has(address)) {
      void this.system.replace(address, placement.spec)
    }
  }

  /** Takes an actor away as soon as it has handled what it has. */
  async retire(address: Address): Promise<void> {
    this.#forget(address)
    await this.system.withdraw(address)
  }

  /** Takes an actor away again. */
  async remove(address: Address): Promise<void> {
    this.#forget(address)
    await this.system.stop(address)
  }

  /** Runs the default export of `file` on the node's CPU pool; rejects with SIGNALBOX_CPU_TIMEOUT, _FAILED. */
  cpu(file: string, payload: unknown, timeoutMs: number, signal: AbortSignal): Promise<unknown> {
    return this.#control.cpu(file, payload, timeoutMs, signal)
  }

  /** @internal This worker is to run the one actor of this address. */
  activate(address: Address): void {
    const spec = this.#singletons.get(address)
    // It was taken away while the node decided; the node hears of that now.
    if (!spec) return
    this.system.spawn(address, spec)
    this.#control.post({ type: 'register', address, balance: 'localFirst' })
  }

  #forget(address: Address): void {
    this.#declared.delete(address)
    const type = this.#singletons.delete(address) ? 'noCandidate' : 'unregister'
    this.#control.post({ type, address })
  }

  /** @internal */
  async deactivate(address: Address): Promise<void> {
    await this.system.retire(address)
    this.#control.post({ type: 'unregister', address })
  }
}

function balanceOf(placement: Placement): Balance {
  if (placement.placement === 'keyed') return 'keyed'
  return (placement.placement === 'everyWorker' && placement.balance) || 'localFirst'
}
