/** Where the threads of a node send what they record, and how they begin to. */
import { randomBytes } from 'node:crypto'
import type { ActorSpec } from '../../core/actor/behaviour.ts'
import type { AuditLog } from '../../core/audit/audit-log.ts'
import { AuditPolicy, type AuditSettings } from '../../core/audit/policy.ts'
import { Recorder, type SendChunk, setRecorder } from '../../core/audit/recorder.ts'
import { toSignalboxError } from '../../core/errors.ts'
import type { WorkerContext } from '../../core/worker/worker-context.ts'

/** Every node has a log of its own: nothing of one is sent to that of another. */
export function auditAddress(node: string): string {
  return `system/audit/${node}`
}

/** Hands chunks to the log; the answer says that it has them, not that they are on disk. */
export function auditActor(log: AuditLog): ActorSpec {
  return {
    behaviour: () => ({
      receive: (payload, envelope) => {
        try {
          const { buffer, byteOffset, byteLength } = payload as Uint8Array
          log.take(Buffer.from(buffer, byteOffset, byteLength))
          envelope.resolve(undefined)
        } catch (thrown) {
          // A log that is behind is no failure of its actor.
          envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE'))
        }
      },
      inspect: () => ({ ...log.status() }),
    }),
  }
}

const SEND_MS = 10_000

/** Begins to record what passes this thread. `send`: where the thread has the log itself. */
export function startRecorder(
  worker: WorkerContext,
  settings: AuditSettings | undefined,
  send?: SendChunk,
): Recorder | undefined {
  if (!settings?.enabled) return undefined
  const { node, slot, place, system, log } = worker
  const address = auditAddress(node)
  const recorder = new Recorder({
    policy: new AuditPolicy(settings),
    // The same place comes again when the process does.
    source: `${place}-${randomBytes(6).toString('base64url')}`,
    worker: `${node}/${slot}`,
    send: send ?? (chunk => system.ask(address, chunk, { timeoutMs: SEND_MS, bytes: chunk.length })),
    clock: system.clock,
    onTrouble: (error, dropped) =>
      log.warn({ err: error, dropped }, 'the audit log does not keep up; records are dropped'),
  })
  setRecorder(recorder)
  return recorder
}
