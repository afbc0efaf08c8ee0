/** A Signalbox node: the router and its workers. What its actors are is the boot module's matter. */

import { availableParallelism } from 'node:os'
import { SignalboxError } from './errors.ts'
import { type NetworkOptions, Router } from './router/router.ts'
import { addressOf } from './service/runner.ts'
import { createLogger, type Logger } from './telemetry/log.ts'
import { NodeTelemetry } from './telemetry/node-telemetry.ts'
import type { TelemetrySettings } from './telemetry/options.ts'
import { CpuPool } from './worker/cpu-pool.ts'
import { type KeeperOptions, WorkerHost, type WorkerLimits } from './worker/host.ts'
import type { HostedWorker } from './worker/hosted-worker.ts'

export interface NodeOptions {
  /** Unique in the cluster; letters, digits, dots and dashes. Default `node`. */
  nodeId?: string
  /** Worker threads. Default: as many as there are cores. */
  workers?: number
  /** Module that sets up the actors of a worker (its default export is a BootModule). */
  boot: URL
  /** Plain data for the boot module, or a function that gives it at each start of a worker. */
  config?: unknown
  /** The worker for what is kept on disk: queues, topics, schedules. */
  keeper?: KeeperOptions
  /** Called when a worker has become ready; it counts as ready when this has resolved. */
  onReady?: (worker: HostedWorker) => Promise<void>
  limits?: WorkerLimits
  /** The ZeroMQ port for other nodes and programs; absent: the node is alone. */
  network?: NetworkOptions
  log?: Logger
  /** What is switched on of traces and metrics. Default: nothing. */
  telemetry?: TelemetrySettings
}

/** How long a stop waits for what is under way, in milliseconds. */
const DEFAULT_DRAIN_MS = 30_000

export class Node {
  readonly id: string
  readonly host: WorkerHost
  /** Metrics, live events and log levels of the whole node. */
  readonly telemetry: NodeTelemetry
  readonly #router: Router
  readonly #cpu: CpuPool
  /** Where other nodes and clients reach it, e.g. `tcp://127.0.0.1:7720`. */
  endpoint: string | undefined
  #stopping: Promise<void> | undefined

  constructor(options: NodeOptions) {
    this.id = options.nodeId ?? 'node'
    if (!/^[A-Za-z0-9.-]{1,64}$/.test(this.id) || this.id === 'client') {
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `'${this.id}' is no node id: letters, digits, dots and dashes`,
      )
    }
    const log = options.log ?? createLogger({ node: this.id }, options.telemetry?.logs)
    this.#router = new Router({ nodeId: this.id, log, network: options.network })
    this.#cpu = new CpuPool({ log })
    this.host = new WorkerHost({
      nodeId: this.id,
      workers: options.workers ?? availableParallelism(),
      boot: options.boot,
      config: typeof options.config === 'function' ? (options.config as () => unknown) : () => options.config,
      keeper: options.keeper,
      onReady: options.onReady,
      limits: options.limits,
      router: this.#router,
      cpu: this.#cpu,
      log,
      telemetry: options.telemetry,
    })
    const around = {
      id: this.id,
      workers: () => this.host.all,
      replaced: () => this.host.replaced,
      peers: () => this.#router.peers().length,
      log,
    }
    this.telemetry = new NodeTelemetry(around, options.telemetry)
  }

  /** Starts the workers, then opens the port. Rejects with a typed error, with nothing left running. */
  async start(): Promise<void> {
    try {
      await this.host.start()
      if (this.#stopping) throw new SignalboxError('SIGNALBOX_USAGE', 'the node was stopped while it started')
      this.endpoint = (await this.#router.start())?.endpoint
      await this.telemetry.start()
    } catch (error) {
      await this.stop(0)
      throw error
    }
  }

  /** Changes the number of workers; no message is lost. */
  scale(workers: number): Promise<void> {
    return this.host.scale(workers)
  }

  /** Calls a service, or a route as `route/NAME`. */
  invoke(service: string, payload?: unknown, timeoutMs = 30_000): Promise<unknown> {
    return this.ask(addressOf(service), payload, timeoutMs)
  }

  /** Asks an actor; the payload is copied. */
  ask(to: string, payload?: unknown, timeoutMs = 30_000): Promise<unknown> {
    return Promise.try(() => this.host.any().request('ask', { to, payload, timeoutMs }))
  }

  /** Plain data on the node, its workers and their actors. */
  async inspect(): Promise<NodeView> {
    const workers = this.host.all.map(async worker => ({
      slot: worker.slot,
      place: worker.place,
      state: worker.state,
      actors: worker.state === 'starting' ? [] : await worker.request('inspect', undefined).catch(() => []),
    }))
    return {
      node: this.id,
      endpoint: this.endpoint,
      replaced: this.host.replaced,
      peers: this.#router.peers(),
      workers: await Promise.all(workers),
    }
  }

  /** Takes nothing new, finishes what is under way within `drainMs`, then ends everything. Idempotent. */
  stop(drainMs: number = DEFAULT_DRAIN_MS): Promise<void> {
    this.#stopping ??= this.#stop(drainMs)
    return this.#stopping
  }

  async #stop(drainMs: number): Promise<void> {
    await this.telemetry.stop()
    await this.host.stop(drainMs)
    await this.#router.close()
    await this.#cpu.close()
  }
}

export interface NodeView {
  node: string
  endpoint: string | undefined
  replaced: number
  peers: { id: string; role: string; name: string }[]
  workers: { slot: number; place: string; state: string; actors: unknown }[]
}

/** Makes and starts a node. */
export async function startNode(options: NodeOptions): Promise<Node> {
  const node = new Node(options)
  await node.start()
  return node
}
