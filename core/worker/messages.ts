/** What a worker thread and its node say to each other on the control port. */
import type { MessagePort } from 'node:worker_threads'
import type { Address } from '../actor/address.ts'
import type { WireError } from '../errors.ts'
import type { Balance } from '../router/balance.ts'
import type { DirectoryChange } from '../router/directory.ts'
import type { Place } from '../router/place.ts'
import type { TelemetrySettings } from '../telemetry/options.ts'

/** What a worker is started with. */
export interface WorkerInit {
  place: Place
  node: string
  slot: number
  /** Module whose default export sets up the actors of a worker; a file URL. */
  boot: string
  /** Plain data for the boot module. */
  config: unknown
  /** What is switched on of logs, traces and metrics. */
  telemetry: TelemetrySettings | undefined
  /** Carries batches between this worker and the router, for places on other nodes. */
  routerPort: MessagePort
  /**
   * Two integers that the node watches: a counter that the worker moves on while its event loop turns, and the
   * MiB that were in use in its heap after the last full collection.
   */
  heartbeat: SharedArrayBuffer
  heartbeatMs: number
}

export type ToWorker =
  | { type: 'peer'; place: Place; port: MessagePort }
  | { type: 'lost'; place: Place; error: WireError }
  | { type: 'directory'; change: DirectoryChange }
  /** Where its spans go from now on. */
  | { type: 'spans'; port: MessagePort }
  /** Start or stop the one actor of this address in the cluster. */
  | { type: 'activate'; address: Address }
  | { type: 'deactivate'; address: Address }
  /** Another worker is about to leave: send nothing more there. */
  | { type: 'finish'; place: Place }
  /** Take nothing more from outside, finish what is under way, then say `drained`. `handover`: others stay. */
  | { type: 'drain'; handover: boolean }
  | { type: 'stop' }
  | { type: 'request'; id: number; verb: string; payload: unknown }
  | { type: 'cpuResult'; id: number; value?: unknown; error?: WireError }

export type FromWorker =
  | { type: 'ready' }
  | { type: 'register'; address: Address; balance: Balance }
  | { type: 'unregister'; address: Address }
  /** This worker can run the actor that is the only one in the cluster. */
  | { type: 'candidate'; address: Address }
  /** It cannot any more. */
  | { type: 'noCandidate'; address: Address }
  | { type: 'drained' }
  | { type: 'reply'; id: number; value?: unknown; error?: WireError }
  | { type: 'cpu'; id: number; file: string; payload: unknown; timeoutMs: number }
  | { type: 'cpuCancel'; id: number }
