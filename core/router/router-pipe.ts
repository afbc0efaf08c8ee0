/** A worker's way to places on other nodes and to clients: all batches go through the node's router, undecoded. */
import type { Transferable } from 'node:worker_threads'
import { SignalboxError } from '../errors.ts'
import type { Place } from './place.ts'
import { asBuffer, postParts } from './thread-pipe.ts'
import type { Pipe } from './wire.ts'

/**
 * What travels between a worker and its router: the other place, the session numbers of the side that sends and of
 * the side that receives (0: not known yet), then the parts of a batch. Without parts it says that the sender has
 * closed its session.
 */
export type Forwarded = [place: Place, from: number, to: number, ...parts: Uint8Array<ArrayBuffer>[]]

/** The end of a channel to the router: a MessagePort, or what a program outside the bus has in its place. */
export interface RouterPort {
  on(event: 'message', listener: (message: Forwarded) => void): unknown
  postMessage(message: Forwarded, transfer?: readonly Transferable[]): void
  close(): void
}

type Receive = (from: Place, body: Uint8Array, attachments: readonly Uint8Array[]) => void

/** One life of the link to a place. The ends of a link rely on each other's state, so both must mean the same one. */
interface Session {
  readonly own: number
  /** The other side's number; 0 until it is heard of. */
  peer: number
}

/** A node refuses frames of more than 64 MiB unless it is told otherwise. */
const MAX_BYTES = 60 * 1024 * 1024

export class RouterPipes {
  readonly #port: RouterPort
  readonly #receive: Receive
  readonly #sessions = new Map<Place, Session>()
  #numbers = 0
  /** Called when the other side has closed its session, or has begun a new one. */
  onClosed: ((place: Place, error: SignalboxError) => void) | undefined

  constructor(port: RouterPort, receive: Receive) {
    this.#port = port
    this.#receive = receive
    port.on('message', (message: Forwarded) => this.#message(message))
  }

  /** Begins a session unless the other side has begun one already. */
  to(place: Place): Pipe {
    const session = this.#sessions.get(place) ?? this.#open(place, 0)
    return {
      maxBytes: MAX_BYTES,
      post: (body, attachments) => {
        if (this.#sessions.get(place) !== session) return
        postParts(this.#port, [place, session.own, session.peer], body, attachments)
      },
      close: () => {
        if (this.#sessions.get(place) !== session) return
        this.#sessions.delete(place)
        this.#port.postMessage([place, session.own, session.peer] satisfies Forwarded)
      },
    }
  }

  close(): void {
    this.#port.close()
  }

  #message([place, from, to, body, ...attachments]: Forwarded): void {
    const session = this.#sessions.get(place)
    if (to !== 0 && to !== session?.own) return // meant for a session that has ended here
    if (session && from < session.peer) return // what is left of one that has ended there
    if (body === undefined) {
      if (session && (to === session.own || from === session.peer)) this.#end(place)
      return
    }
    if (session && session.peer !== 0 && from > session.peer) this.#end(place)
    const current = this.#sessions.get(place)
    if (current) current.peer = from
    else this.#open(place, from)
    this.#receive(place, asBuffer(body), attachments.map(asBuffer))
  }

  #open(place: Place, peer: number): Session {
    const session = { own: ++this.#numbers, peer }
    this.#sessions.set(place, session)
    return session
  }

  #end(place: Place): void {
    this.#sessions.delete(place)
    const error = new SignalboxError('SIGNALBOX_LINK_CLOSED', `${place} has closed the link`)
    this.onClosed?.(place, error)
  }
}
