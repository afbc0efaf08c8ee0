/** A worker's way to places on other nodes and to clients: all batches go through the node's router, undecoded. */
import type { MessagePort } from 'node:worker_threads'
import type { Place } from './place.ts'
import { asBuffer, movable } from './thread-pipe.ts'
import type { Pipe } from './wire.ts'

/** What travels between a worker and its router: the other place, then the parts of the batch. */
export type Forwarded = [place: Place, body: Uint8Array, ...attachments: Uint8Array[]]

type Receive = (from: Place, body: Uint8Array, attachments: readonly Uint8Array[]) => void

export class RouterPipes {
  readonly #port: MessagePort
  readonly #known = new Set<Place>()

  constructor(port: MessagePort, receive: Receive) {
    this.#port = port
    port.on('message', ([from, body, ...attachments]: Forwarded) => {
      this.#known.add(from)
      receive(from, asBuffer(body), attachments.map(asBuffer))
    })
  }

  to(place: Place): Pipe {
    this.#known.add(place)
    return {
      post: (body, attachments) => {
        const [parts, transfer] = movable(body, attachments)
        if (this.#known.has(place)) this.#port.postMessage([place, ...parts], transfer)
      },
      close: () => this.forget(place),
    }
  }

  /** Nothing is sent there any more. */
  forget(place: Place): void {
    this.#known.delete(place)
  }

  close(): void {
    this.#port.close()
  }
}
