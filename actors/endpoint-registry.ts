/** The channels and connections of a worker: started, changed and removed while it runs. */

import { SignalboxError } from '../core/errors.ts'
import { nearest } from '../core/schema.ts'
import type { Caller } from '../core/telemetry/connection-view.ts'
import type { Connection, Transport } from '../core/transport.ts'
import type { WorkerContext } from '../core/worker/worker-context.ts'
import { type ChannelActor, type ChannelGuard, channelActor } from './channel-host.ts'
import { type ConnectionActor, connectionActor } from './connection-host.ts'

/** A channel or connection with options that are valid, complete, and have their secrets filled in. */
export interface EndpointConfig {
  name: string
  type: string
  options: unknown
  /** Security definitions of which one must let a message in; channels only. */
  security?: readonly string[]
}

/** A changed channel that is not open after this long does not open. */
const OPEN_MS = 5_000

interface Running<Actor> {
  config: EndpointConfig
  address: string
  actor: Actor
}

export class EndpointRegistry {
  readonly #worker: WorkerContext
  readonly #transportNamed: (name: string) => Transport
  readonly #guard: ChannelGuard
  readonly #channels = new Map<string, Running<ChannelActor>>()
  readonly #connections = new Map<string, Running<ConnectionActor>>()

  constructor(worker: WorkerContext, transportNamed: (name: string) => Transport, guard: ChannelGuard) {
    this.#worker = worker
    this.#transportNamed = transportNamed
    this.#guard = guard
  }

  /** The connection of this name as it is now. Throws SIGNALBOX_ADDRESS_UNKNOWN, SIGNALBOX_NOT_CONNECTED. */
  connection(name: string, caller: Caller): Connection {
    const running = this.#connections.get(name)
    if (running) return running.actor.current(caller)
    const near = nearest(name, [...this.#connections.keys()])
    const hint = near ? `; did you mean '${near}'?` : ''
    throw new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `there is no connection '${name}'${hint}`)
  }

  /** Starts a connection, or puts a changed one in the place of the one that runs. */
  putConnection(config: EndpointConfig): void {
    const { name, type, options } = config
    const before = this.#connections.get(name)
    if (before && before.config.type !== type) this.removeConnection(name)
    const actor = connectionActor(this.#worker.system, this.#transportNamed(type), name, options)
    const address = `connection/${type}/${name}`
    this.#connections.set(name, { config, address, actor })
    this.#worker.declareOrReplace(address, { placement: 'everyWorker', spec: actor.spec })
  }

  removeConnection(name: string): void {
    const running = this.#connections.get(name)
    if (!running) return
    this.#connections.delete(name)
    this.#end(running.address)
  }

  /**
   * Opens a channel, or changes the one that runs: in place where the transport can, otherwise the new one opens
   * before the old one drains. Rejects when the new one does not open; the old one goes on then.
   */
  async putChannel(config: EndpointConfig): Promise<void> {
    const before = this.#channels.get(config.name)
    if (!before) return this.#openChannel(config)
    if (before.config.type === config.type && (await before.actor.reconfigure(config))) {
      before.config = config
      return
    }
    if (before.config.type !== config.type) {
      await this.#openChannel(config)
      await this.#drop(before, true)
      return
    }
    await this.#replaceChannel(before, config)
  }

  /** Closes a channel when what it has taken is settled. */
  async removeChannel(name: string): Promise<void> {
    const running = this.#channels.get(name)
    if (!running) return
    this.#channels.delete(name)
    await this.#drop(running, false)
  }

  /** Takes nothing more from outside; resolves when what was taken is settled. */
  async drain(handover: boolean): Promise<void> {
    await Promise.all(Array.from(this.#channels.values(), ({ actor }) => actor.drain(handover)))
  }

  async #openChannel(config: EndpointConfig): Promise<void> {
    const running = this.#channelOf(config)
    const placement = this.#placementOf(config)
    this.#channels.set(config.name, running)
    this.#worker.declareOrReplace(running.address, { placement, spec: running.actor.spec })
    // Whichever worker runs the only one opens it when it is told to.
    if (placement === 'singleton') return
    try {
      await running.actor.opened()
    } catch (error) {
      this.#channels.delete(config.name)
      await this.#worker.remove(running.address)
      throw error
    }
  }

  /**
   * The new channel opens beside the old one where both can listen; otherwise it opens as soon as the old one, which
   * drains, makes room. One that does not open gives way to the old one again.
   */
  async #replaceChannel(before: Running<ChannelActor>, config: EndpointConfig): Promise<void> {
    const placement = this.#placementOf(config)
    const next = this.#channelOf(config)
    before.actor.supersede()
    this.#channels.set(config.name, next)
    this.#worker.declareOrReplace(next.address, { placement, spec: next.actor.spec })
    if (placement === 'singleton') return
    try {
      await next.actor.openWithin(OPEN_MS)
    } catch (error) {
      const again = this.#channelOf(before.config)
      this.#channels.set(config.name, again)
      this.#worker.declareOrReplace(again.address, { placement, spec: again.actor.spec })
      throw error
    }
  }

  #placementOf({ type, options }: EndpointConfig): 'everyWorker' | 'singleton' {
    const side = this.#transportNamed(type).channel!
    return side.placementOf?.(options as never) ?? side.placement
  }

  #channelOf(config: EndpointConfig): Running<ChannelActor> {
    const { name, type } = config
    const actor = channelActor(this.#worker.system, this.#transportNamed(type), config, this.#guard)
    return { config, address: `channel/${type}/${name}`, actor }
  }

  async #drop({ actor, address }: Running<ChannelActor>, handover: boolean): Promise<void> {
    await actor.drain(handover)
    this.#end(address)
  }

  #end(address: string): void {
    this.#worker
      .retire(address)
      .catch(error => this.#worker.log.error({ address, err: error }, 'endpoint did not end'))
  }
}
