/** Carries batches between two workers of a node over a MessagePort; bytes move, they are not copied. */
import type { MessagePort, Transferable } from 'node:worker_threads'
import { isTransferable } from './transfer.ts'
import type { Pipe } from './wire.ts'

export class ThreadPipe implements Pipe {
  readonly #port: MessagePort

  constructor(port: MessagePort, receive: (body: Uint8Array, attachments: Uint8Array[]) => void) {
    this.#port = port
    port.on('message', ([body, ...attachments]: Uint8Array[]) => receive(body!, attachments.map(asBuffer)))
  }

  post(body: Uint8Array, attachments: readonly Uint8Array[]): void {
    const [message, transfer] = movable(body, attachments)
    this.#port.postMessage(message, transfer)
  }

  close(): void {
    this.#port.close()
  }
}

/** The parts of a batch, and the memory that may move with them: attachments are copied unless given up. */
export function movable(
  body: Uint8Array,
  attachments: readonly Uint8Array[],
): [Uint8Array[], Transferable[]] {
  if (attachments.length === 0) return [[body], [body.buffer as ArrayBuffer]]
  const owned = attachments.map(part => (isTransferable(part) ? part : Uint8Array.from(part)))
  const parts = [body, ...owned]
  return [parts, [...new Set(parts.map(part => part.buffer as ArrayBuffer))]]
}

/** What comes through a port is a plain Uint8Array; receivers expect the Buffer that was sent. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
