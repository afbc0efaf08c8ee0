/** Bytes whose owner gave them up: a thread link may move their ArrayBuffer instead of copying it. */
import { isMarkedAsUntransferable } from 'node:worker_threads'

const given = new WeakSet<Uint8Array>()

/**
 * Gives up `bytes` and the whole ArrayBuffer under it: when it is sent to another worker, the memory moves there
 * and every view of it here becomes empty. Returns the same view. Throws a TypeError for memory that cannot move: a
 * SharedArrayBuffer, or a Buffer from the pool that Node.js shares among small Buffers (`Buffer.from(text)`,
 * `Buffer.allocUnsafe(n)`), where others' bytes would go with it.
 */
export function transfer<T extends Uint8Array>(bytes: T): T {
  const { buffer } = bytes
  if (!(buffer instanceof ArrayBuffer)) throw new TypeError('transfer: a SharedArrayBuffer cannot be moved')
  if (isMarkedAsUntransferable(buffer)) {
    throw new TypeError('transfer: this memory cannot be moved, it is shared; use Buffer.allocUnsafeSlow')
  }
  given.add(bytes)
  return bytes
}

/** Whether {@link transfer} was called for this very view, and its memory has not been moved away since. */
export function isTransferable(bytes: Uint8Array): boolean {
  return given.has(bytes) && bytes.buffer instanceof ArrayBuffer && !bytes.buffer.detached
}
