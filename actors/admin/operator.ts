/**
 * What can be done to a running node. The admin API is this interface over HTTP; the command line and the web
 * admin use nothing else.
 */
import type { AuditPage } from '../../core/audit/audit-log.ts'
import type { AuditRecord } from '../../core/audit/entry.ts'
import type { AuditQuery } from '../../core/audit/query.ts'
import type { Trail } from '../../core/audit/trail.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import type { KeptOperator } from './kept-operator.ts'

/** Who does it, for permissions and the audit chain. */
export interface Actor {
  name: string
  roles: readonly string[]
  /** IP address that the request came from. */
  remoteAddress?: string
}

/** An actor of a worker, as `signalbox ps` shows it. */
export interface ActorView {
  address: string
  state: string
  queued?: number
  waiting?: number
  busy?: number
  handled?: number
  dropped?: number
  restarts?: number
  /** Messages a second since the last look, where it is measured. */
  rate?: number
  lastError?: string
  /** Where a channel listens or a connection leads. */
  endpoint?: string
  [more: string]: unknown
}

export interface WorkerView {
  slot: number
  /** The keeper keeps queues, topics and schedules, and runs no services. */
  role: 'worker' | 'keeper'
  place: string
  state: string
  actors: ActorView[]
}

export interface NodeView {
  node: string
  name: string
  version: string
  startedAt: number
  endpoint: string | undefined
  peers: { id: string; role: string; name: string }[]
  /** Workers that died and were replaced since the start. */
  replaced: number
  workers: WorkerView[]
}

export interface HealthView {
  ok: boolean
  reasons: string[]
}

export interface ServiceView {
  name: string
  file: string
  version: string
  description?: string
  /** JSON Schemas, where the service declares them. */
  input?: unknown
  output?: unknown
}

/** Anything configured, as the operator wrote it: secrets are references. */
export interface ResourceView {
  kind: string
  type: string
  name: string
  options: unknown
  /** Security definitions of which one must let a message in; channels only. Absent: all messages come in. */
  security?: string[]
  revision: number
  changedAt: number
}

/** What is to be configured. */
export interface WantedResource {
  kind: string
  type: string
  name: string
  options: unknown
  /** Undefined: as it is now. Empty: none. */
  security?: readonly string[]
}

/** What would change, or has. */
export interface ChangeView {
  action: 'create' | 'update' | 'delete'
  /** `kind/type/name` */
  id: string
  /** For an update: JSON pointers with the values before and after; secrets are shown as `(secret)`. */
  fields?: { pointer: string; before?: unknown; after?: unknown }[]
}

export interface ApplyResult {
  changes: ChangeView[]
  /** The same for people: lines with +, ~ and -. */
  text: string
  /** Names the state of all resources that a difference was made from, or that applying has led to. */
  etag: string
}

export interface DeployView {
  file: string
  name: string
  version: string
}

/** One step of a message, as `signalbox tail` shows it. */
export interface TailEvent {
  at: number
  node: string
  worker: number
  event: string
  address: string
  cid?: string
  outcome?: string
  durationMs?: number
  bytes?: number
  [more: string]: unknown
}

export interface TailFilter {
  /** Glob over addresses, e.g. `service/invoices.*`. */
  name?: string
  cid?: string
  /** An error code, `ok` or `failed`. */
  outcome?: string
}

/** Begins to call the listener; returns what ends it. */
export type Tail = (listener: (event: TailEvent) => void) => () => void

/** The way of a message, with what a reader has to know of the log. */
export type TrailView = Trail & { notes: string[] }

/** One record with its body, where that was kept. */
export interface RecordView {
  record: AuditRecord
  payload?: unknown
}

/** What came of a message that was sent again. */
export interface ReplayResult {
  /** The new correlation id. */
  cid: string
  /** Where it went. */
  to: string
  outcome: string
  error?: { code: string; message: string }
}

export interface AuditView {
  seq: number
  at: number
  who: string
  what: string
  target: string
  result: string
  before?: unknown
  after?: unknown
  remoteAddress?: string | null
}

/** Every method that takes an `actor` records the act in the audit chain. Errors are SignalboxErrors. */
export interface Operator {
  readonly log: Logger
  /** Queues, topics, messages and schedules. */
  readonly kept: KeptOperator
  /** Records what somebody who is known wanted to do and may not: the permission that it takes, and to what. */
  denied(actor: Actor, permission: string, target: string): Promise<void>
  node(): Promise<NodeView>
  live(): Promise<HealthView>
  ready(): Promise<HealthView>
  /** Prometheus text. */
  metrics(): Promise<string>
  scale(actor: Actor, workers: number): Promise<{ workers: number }>

  services(): Promise<ServiceView[]>
  invoke(actor: Actor, service: string, payload: unknown, timeoutMs: number): Promise<unknown>
  deploy(actor: Actor, file: string, source: string): Promise<DeployView>
  undeploy(actor: Actor, file: string): Promise<void>
  deployRoute(actor: Actor, file: string, source: string): Promise<DeployView>
  undeployRoute(actor: Actor, file: string): Promise<void>

  resources(kind?: string): Promise<ResourceView[]>
  resource(id: string): Promise<ResourceView>
  /** `ifRevision`: refuse with SIGNALBOX_STORE_CONFLICT when it has changed since. */
  put(actor: Actor, resource: WantedResource, ifRevision?: number): Promise<ResourceView>
  remove(actor: Actor, id: string, ifRevision?: number): Promise<void>
  /** Tries a channel or connection. */
  ping(id: string): Promise<{ ok: boolean; error?: string }>
  /** What `apply` of this signalbox.yaml would change. */
  diff(yaml: string): Promise<ApplyResult>
  /** `ifEtag`: refuse with SIGNALBOX_STORE_CONFLICT when resources have changed since the difference with this etag. */
  apply(actor: Actor, yaml: string, ifEtag?: string): Promise<ApplyResult>
  /** What runs, as signalbox.yaml. */
  export(): Promise<string>

  /** Names only. */
  secrets(): Promise<{ name: string; changedAt: number }[]>
  setSecret(actor: Actor, name: string, value: string): Promise<void>
  removeSecret(actor: Actor, name: string): Promise<void>

  /** OpenAPI 3.1 of the channels of this node. */
  openapi(): Promise<unknown>
  /** Gives what calls `listener` for each event, until the function that it returns is called. */
  tail(actor: Actor, filter: TailFilter): Promise<Tail>
  /** Recorded steps of messages; see `AuditQuery`. */
  messages(query: AuditQuery): Promise<AuditPage>
  /** The way of one message through this node. */
  trail(cid: string): Promise<TrailView>
  messageBody(actor: Actor, id: string): Promise<RecordView>
  /** Sends a recorded message again. */
  replay(actor: Actor, id: string, timeoutMs: number): Promise<ReplayResult>
  audit(after: number, limit: number): Promise<AuditView[]>
  /** The first broken entry of the audit chain; undefined when it is whole. */
  verifyAudit(): Promise<{ brokenAt: number | undefined; entries: number }>
}
