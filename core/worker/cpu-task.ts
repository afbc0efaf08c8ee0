/** The thread side of the CPU pool: loads the file of a task, calls its default export, brings back what it gives. */
import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { threadId } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import type { SignalboxError, WireError } from '../errors.ts'
import { Decoder, type Encoded, Encoder } from '../router/codec.ts'
import { isTransferable } from '../router/transfer.ts'

/** What the pool sends to a thread. The payload is the only field of the only message of the batch. */
export interface CpuRequest {
  /** file: URL of the module. */
  file: string
  payload: Encoded
  /** One shared cell, in which the thread says who it is when it begins. */
  thread: Int32Array
}

/**
 * What a thread sends back. `failure` is an error that the task chose itself; `crash` is any other, as text for the
 * log. In both the payload is a WireError.
 */
export interface CpuResponse {
  outcome: 'value' | 'failure' | 'crash'
  /** Stack of the error and its causes. */
  trace?: string
  payload: Encoded
}

/** The memory of an encoded value, each part alone in its ArrayBuffer, so that it can be moved to another thread. */
export function movable(encoded: Encoded): { encoded: Encoded; buffers: ArrayBuffer[] } {
  const attachments = encoded.attachments.map(bytes =>
    isTransferable(bytes) ? bytes : Uint8Array.from(bytes),
  )
  const buffers = new Set([encoded.body, ...attachments].map(bytes => bytes.buffer as ArrayBuffer))
  return { encoded: { body: encoded.body, attachments }, buffers: [...buffers] }
}

export function encodePayload(payload: unknown): Encoded {
  return new Encoder({ selfContained: true }).encode([[payload]])
}

export function decodePayload({ body, attachments }: Encoded): unknown {
  return new Decoder().decode(body, attachments)[0]![0]
}

/** Called by piscina, in the thread. */
export default async function runTask(request: CpuRequest): Promise<object> {
  Atomics.store(request.thread, 0, threadId)
  const response = await respond(request)
  const { encoded, buffers } = movable(response.payload)
  return move({ [transferableSymbol]: buffers, [valueSymbol]: { ...response, payload: encoded } })
}

async function respond({ file, payload }: CpuRequest): Promise<CpuResponse> {
  let handler: (payload: unknown) => unknown
  try {
    handler = await load(file)
  } catch (error) {
    return crash(`CPU task ${file} does not load`, error)
  }
  try {
    return { outcome: 'value', payload: encodePayload(await handler(decodePayload(payload))) }
  } catch (error) {
    return ownFailure(error) ?? crash(`CPU task ${file} failed`, error)
  }
}

/** A file that was changed since its last task is loaded again; the modules that it imports are not. */
async function load(file: string): Promise<(payload: unknown) => unknown> {
  const { mtimeMs } = await stat(fileURLToPath(file))
  const module: { default?: unknown } = await import(`${file}?changed=${mtimeMs}`)
  if (typeof module.default !== 'function') throw new TypeError('it has no default-exported function')
  return module.default as (payload: unknown) => unknown
}

/** A SignalboxError, or an error that says what it is in the same way: with a code and a status. */
function ownFailure(thrown: unknown): CpuResponse | undefined {
  if (!(thrown instanceof Error)) return undefined
  const { code, status, details, retryable, retryAfterMs } = thrown as Partial<SignalboxError>
  if (typeof code !== 'string' || typeof status !== 'number') return undefined
  const wire: WireError = { code, message: thrown.message, status }
  if (typeof details === 'object' && details !== null) wire.details = details
  if (typeof retryable === 'boolean') wire.retryable = retryable
  if (typeof retryAfterMs === 'number') wire.retryAfterMs = retryAfterMs
  try {
    return { outcome: 'failure', payload: encodePayload(wire) }
  } catch (error) {
    return crash(`CPU task failed with ${code} and details that cannot travel`, error)
  }
}

function crash(what: string, thrown: unknown): CpuResponse {
  const wire: WireError = { code: 'SIGNALBOX_CPU_FAILED', message: `${what}: ${reasons(thrown)}` }
  return { outcome: 'crash', trace: inspect(thrown), payload: encodePayload(wire) }
}

/** The message of an error and of its causes, in one line each. */
function reasons(thrown: unknown, levels = 5): string {
  if (!(thrown instanceof Error)) return inspect(thrown)
  const own = `${thrown.name}: ${thrown.message}`
  return thrown.cause === undefined || levels === 0
    ? own
    : `${own} (cause: ${reasons(thrown.cause, levels - 1)})`
}
