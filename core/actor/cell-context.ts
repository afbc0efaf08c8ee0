/** What a behaviour is given: one object for the life of the actor. */
import type { Logger } from '../telemetry/log.ts'
import type { Address } from './address.ts'
import type { ActorContext, ActorRef, ActorSpec, AskOptions, SendOptions } from './behaviour.ts'
import type { Cell } from './cell.ts'

export class CellContext implements ActorContext {
  readonly #cell: Cell
  #log: Logger | undefined

  constructor(cell: Cell) {
    this.#cell = cell
  }

  get self(): ActorRef {
    return this.#cell
  }

  get log(): Logger {
    this.#log ??= this.#cell.system.log.child({ actor: this.#cell.address })
    return this.#log
  }

  spawn(name: string, spec: ActorSpec): ActorRef {
    return this.#cell.system.spawnChild(this.#cell, name, spec)
  }

  async stop(child?: ActorRef): Promise<void> {
    if (child === undefined || child === this.#cell) this.#cell.exit()
    else await this.#cell.system.stop(child.address)
  }

  tell(to: Address, payload: unknown, options?: SendOptions): Promise<void> | undefined {
    return this.#cell.system.tell(to, payload, options)
  }

  ask(to: Address, payload: unknown, options?: AskOptions): Promise<unknown> {
    return this.#cell.system.ask(to, payload, options)
  }

  monitor(address: Address): () => void {
    return this.#cell.monitor(address, notice => this.#cell.notifyDown(notice))
  }

  link(address: Address): void {
    this.#cell.system.link(this.#cell, address)
  }
}
