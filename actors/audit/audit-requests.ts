/** What operators do with the audit log: search it, follow one message, send one again. */
import { join } from 'node:path'
import type { ActorSystem } from '../../core/actor/index.ts'
import { AuditLog, type AuditPage, type AuditStatus, type Retention } from '../../core/audit/audit-log.ts'
import type { AuditRecord, KeptBody } from '../../core/audit/entry.ts'
import type { AuditSettings } from '../../core/audit/policy.ts'
import { recorder } from '../../core/audit/recorder.ts'
import type { OpenJournal } from '../../core/audit/volume.ts'
import { idSource } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Origin } from '../../core/service/invocation.ts'
import type { WorkerContext } from '../../core/worker/worker-context.ts'
import type { RecordView, ReplayResult, TrailView } from '../admin/operator.ts'
import { auditActor, auditAddress, startRecorder } from './audit-actor.ts'

/** Names the record that a message was sent again from. */
const REPLAY_HEADER = 'signalbox-replay-of'

export interface ReplayRequest {
  id: string
  timeoutMs?: number | undefined
}

const makeCid = idSource()
const REPLAY_MS = 30_000
/** Bodies that are no text are shown up to here. */
const SHOWN_BYTES = 65_536

/** The audit log of a node, in its keeper. */
export class NodeAudit {
  readonly #log: AuditLog | SignalboxError
  readonly #system: ActorSystem

  private constructor(log: AuditLog | SignalboxError, system: ActorSystem) {
    this.#log = log
    this.#system = system
  }

  /** Opens the log and begins to take records. A log that does not open is reported: the bus goes on without. */
  static async open(
    worker: WorkerContext,
    folder: string,
    settings: AuditSettings | undefined,
    open: OpenJournal,
  ): Promise<NodeAudit> {
    const { system, log: logger, node } = worker
    if (!settings?.enabled) return new NodeAudit(off(), system)
    try {
      const { maxAgeMs, maxBytes } = settings
      const path = join(folder, 'audit')
      const log = await AuditLog.open({
        folder: path,
        open,
        clock: system.clock,
        log: logger,
        maxAgeMs,
        maxBytes,
      })
      worker.declare(auditAddress(node), { placement: 'everyWorker', spec: auditActor(log) })
      startRecorder(worker, settings, async chunk => log.take(chunk))
      return new NodeAudit(log, system)
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      logger.error(
        { code: error.code, err: error },
        'the audit log cannot be opened; messages are not recorded',
      )
      return new NodeAudit(error, system)
    }
  }

  /** What the node may ask of its keeper. */
  requests() {
    return {
      auditSearch: (query: unknown): Promise<AuditPage> => this.#open().search(query),
      auditTrail: (cid: string): Promise<TrailView> => this.#open().trail(cid),
      auditRecord: (id: string): Promise<RecordView> => this.#record(id),
      auditStatus: (): AuditStatus => this.#open().status(),
      auditRetention: (retention: Retention): Promise<void> => this.#open().configure(retention),
      auditReplay: (request: ReplayRequest): Promise<ReplayResult> => this.#replay(request),
    }
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    await recorder?.close()
    if (this.#log instanceof AuditLog) await this.#log.close()
  }

  #open(): AuditLog {
    if (this.#log instanceof AuditLog) return this.#log
    throw this.#log
  }

  async #record(id: string): Promise<RecordView> {
    const { record, kept } = await this.#open().get(id)
    return kept === undefined ? { record } : { record, payload: shown(kept.payload) }
  }

  async #replay({ id, timeoutMs }: ReplayRequest): Promise<ReplayResult> {
    const { record, kept } = await this.#open().get(id)
    const to = targetOf(record)
    const { payload, attributes } = sendable(record, kept)
    const cid = makeCid()
    const startedAt = performance.now()
    const headers = { ...record.headers, [REPLAY_HEADER]: id }
    const context = { cid, headers, origin: originOf(record, attributes), timeoutMs: timeoutMs ?? REPLAY_MS }
    let error: SignalboxError | undefined
    try {
      await this.#system.request(to, payload, context)
    } catch (thrown) {
      error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    }
    const from = `audit/${id}`
    const step = { kind: 'replay', cid, address: to, to, from, operation: record.cid, startedAt } as const
    recorder?.record({ ...step, error: error?.code, headers })
    if (!error) return { cid, to, outcome: 'ok' }
    return { cid, to, outcome: error.code, error: { code: error.code, message: error.message } }
  }
}

function off(): SignalboxError {
  return new SignalboxError('SIGNALBOX_AUDIT_OFF', 'audit.enabled is false in signalbox.yaml')
}

/** Where the message of a record went. */
function targetOf({ kind, address, to, id }: AuditRecord): string {
  if (kind === 'publish' || kind === 'service') return address
  if (kind === 'channel' && to !== undefined) return to
  if ((kind === 'delivery' || kind === 'dead') && to !== undefined && /^(?:service|route)\//.test(to))
    return to
  throw notReplayable(id, `a step of the kind '${kind}' at ${address} has no target on the bus`)
}

function sendable({ id, body, altered }: AuditRecord, kept: KeptBody | undefined): KeptBody {
  if (kept === undefined) throw notReplayable(id, WHY_NOT[body] ?? `its body was not kept (${body})`)
  if (altered)
    throw notReplayable(id, 'fields of its body are masked, so what was sent is not known any more')
  return kept
}

const WHY_NOT: Readonly<Record<string, string>> = {
  none: 'its body was not kept: set audit.bodies to errors or all',
  tooLarge: 'its body was not kept: it was larger than audit.maxBodyBytes',
  stream: 'its body was not kept: it was a stream',
  notData: 'its body was not kept: it was no plain data',
  notMaskable: 'its body was not kept: audit.mask is set and it is of a format that cannot be masked',
}

function notReplayable(id: string, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_AUDIT_NOT_REPLAYABLE', `record ${id} cannot be sent again: ${why}`)
}

/** A service sees the channel as it did; nobody's identity is taken over. */
function originOf(
  { kind, address }: AuditRecord,
  attributes: Record<string, unknown> | undefined,
): Origin | undefined {
  const [, transport, name] = address.split('/')
  if (kind !== 'channel' || transport === undefined || name === undefined) return undefined
  return { channel: { transport, name, attributes: attributes ?? {} } }
}

/** Bytes as text where they are text, otherwise as base64. */
function shown(payload: unknown): unknown {
  if (!(payload instanceof Uint8Array)) return payload
  const text = Buffer.from(payload).toString('utf8')
  if (Buffer.byteLength(text) === payload.length) return text
  return { base64: Buffer.from(payload.subarray(0, SHOWN_BYTES)).toString('base64') }
}
