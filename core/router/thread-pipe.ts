/** Carries batches between two workers of a node over a MessagePort; bytes move, they are not copied. */
import type { MessagePort, Transferable } from 'node:worker_threads'
import { SignalboxError } from '../errors.ts'
import { isTransferable } from './transfer.ts'
import type { Pipe } from './wire.ts'

export interface ThreadPipeOptions {
  receive(body: Uint8Array, attachments: readonly Uint8Array[]): void
  /** The other side has closed the pipe, or its thread has ended. */
  closed(error: SignalboxError): void
}

const NO_PARTS: readonly Uint8Array[] = []
/** Says that the pipe is closed on purpose; without it the thread at the other end has died. */
const GOODBYE = null

export class ThreadPipe implements Pipe {
  readonly #port: MessagePort

  constructor(port: MessagePort, { receive, closed }: ThreadPipeOptions) {
    this.#port = port
    port.on('message', (message: Uint8Array | Uint8Array[] | typeof GOODBYE) => {
      if (message instanceof Uint8Array) receive(message, NO_PARTS)
      else if (message === GOODBYE) closed(linkClosed('the worker at the other end has closed the link'))
      else receive(message[0]!, message.slice(1).map(asBuffer))
    })
    port.on('messageerror', error => closed(linkClosed(`a batch did not arrive: ${error}`)))
    port.on('close', () => {
      closed(new SignalboxError('SIGNALBOX_WORKER_LOST', 'the worker at the other end of the link is gone'))
    })
  }

  post(body: Uint8Array<ArrayBuffer>, attachments: readonly Uint8Array[]): void {
    if (attachments.length === 0) this.#port.postMessage(body, [body.buffer])
    else postParts(this.#port, [], body, attachments)
  }

  close(): void {
    this.#port.postMessage(GOODBYE)
    this.#port.close()
  }
}

/** Posts a head and the parts of a batch as one array; the memory of the body, and of parts given up, moves. */
export function postParts(
  port: { postMessage(message: never, transfer: readonly Transferable[]): void },
  head: readonly unknown[],
  body: Uint8Array<ArrayBuffer>,
  attachments: readonly Uint8Array[],
): void {
  const moving = new Set<Transferable>([body.buffer])
  const parts = attachments.map(part => {
    const own = isTransferable(part) ? part : copyOf(part)
    moving.add(own.buffer as ArrayBuffer)
    return own
  })
  try {
    port.postMessage([...head, body, ...parts] as never, [...moving])
  } catch {
    // Given-up memory that the platform will not move, e.g. of WebAssembly: nothing has moved, so copy.
    const copies = attachments.map(copyOf)
    port.postMessage([...head, body, ...copies] as never, [body.buffer, ...copies.map(copy => copy.buffer)])
  }
}

/** What comes through a port is a plain Uint8Array; receivers expect the Buffer that was sent. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

function linkClosed(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_LINK_CLOSED', message)
}
