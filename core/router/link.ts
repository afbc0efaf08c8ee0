/**
 * The path from this worker to one other place: batching, credit, asks under way, cancellation and monitors.
 * What carries the batches is a {@link Pipe}; what the messages mean is the actor system's matter.
 */
import type { Address } from '../actor/address.ts'
import type { Down } from '../actor/behaviour.ts'
import { Envelope, type MessageContext, NO_CONTEXT } from '../actor/envelope.ts'
import { type ActorSystem, unknownAddress } from '../actor/system.ts'
import { fromWire, SignalboxError } from '../errors.ts'
import { Decoder, Encoder } from './codec.ts'
import { IncomingAsk } from './incoming-ask.ts'
import { Outbound } from './outbound.ts'
import type { Place } from './place.ts'
import * as wire from './wire.ts'

/** Messages in one batch at most; more of them in a turn make several batches. */
const MAX_BATCH = 256

export interface LinkOptions {
  place: Place
  system: ActorSystem
  pipe: wire.Pipe
  /** Messages and bytes that may be on their way without the other side having taken them. */
  windowMessages?: number
  windowBytes?: number
  /** For a program outside the bus: what it may reach, and who it is to those it reaches. */
  guest?: { accepts: (address: Address) => boolean; origin: unknown }
}

export class Link {
  readonly place: Place
  readonly #system: ActorSystem
  readonly #pipe: wire.Pipe
  readonly #encoder = new Encoder()
  readonly #decoder = new Decoder()
  readonly #outbound: Outbound
  readonly #guest: LinkOptions['guest']
  readonly #asks = new Map<number, Envelope>()
  readonly #incoming = new Map<number, IncomingAsk>()
  readonly #watching = new Map<number, { address: Address; notify: (notice: Down) => void }>()
  readonly #watched = new Map<number, () => void>()
  /** Messages that wait outside a full mailbox here, by address. */
  readonly #parked = new Map<Address, number>()
  #ids = 0
  #batch: wire.Wire[] = []
  #flushArmed = false
  readonly #finished = Promise.withResolvers<void>()
  #closed: SignalboxError | undefined
  readonly #arm = () => process.nextTick(this.#flushNow)
  readonly #flushNow = () => this.flush()

  constructor(options: LinkOptions) {
    this.place = options.place
    this.#system = options.system
    this.#pipe = options.pipe
    this.#guest = options.guest
    this.#outbound = new Outbound(
      options.windowMessages ?? 8_192,
      options.windowBytes ?? 16 * 1024 * 1024,
      envelope => this.#put(envelope),
      options.place,
    )
  }

  /** Messages that this side sent or keeps and that are not settled: what `leastBusy` compares. */
  get load(): number {
    return this.#asks.size + this.#outbound.waiting
  }

  /** Sends a tell or an ask. Undefined: it is on its way; a promise: it waits for credit, or was refused. */
  deliver(envelope: Envelope): Promise<void> | undefined {
    if (this.#closed) {
      this.#system.deadLetter(envelope, this.#closed)
      return undefined
    }
    return this.#outbound.send(envelope, error => this.#system.deadLetter(envelope, error))
  }

  /** Has `notify` called once when the actor there stops or the link is lost. */
  monitor(address: Address, notify: (notice: Down) => void): () => void {
    if (this.#closed) {
      notify({ address, reason: this.#closed })
      return () => {}
    }
    const id = this.#ids++
    this.#watching.set(id, { address, notify })
    this.#push([wire.WATCH, id, address])
    return () => {
      if (this.#watching.delete(id) && !this.#closed) this.#push([wire.UNWATCH, id])
    }
  }

  /** Takes a batch from the other side. A batch that cannot be decoded closes the link. */
  receive(body: Uint8Array, attachments: readonly Uint8Array[] = []): void {
    if (this.#closed) return
    let messages: wire.Wire[]
    try {
      messages = this.#decoder.decode(body, attachments) as wire.Wire[]
      let taken = 0
      const bytes = body.byteLength + attachments.reduce((sum, part) => sum + part.byteLength, 0)
      const each = Math.ceil(bytes / messages.length)
      for (const message of messages) if (this.#take(message, each)) taken++
      const credit = this.#outbound.taken(taken, bytes)
      if (credit) this.#push([wire.CREDIT, credit.messages, credit.bytes])
    } catch (error) {
      this.lost(
        new SignalboxError('SIGNALBOX_LINK_CLOSED', `a batch from ${this.place} is malformed`, { cause: error }),
      )
    }
  }

  /** Sends what this turn has gathered. Called by itself at the end of the turn. */
  flush(): void {
    this.#flushArmed = false
    while (this.#batch.length > 0 && !this.#closed) {
      const batch = this.#batch.length <= MAX_BATCH ? this.#batch : this.#batch.slice(0, MAX_BATCH)
      this.#batch = batch === this.#batch ? [] : this.#batch.slice(MAX_BATCH)
      this.#encode(batch)
    }
  }

  /** Says that nothing more will be sent; the other side's {@link finished} resolves when it gets there. */
  finish(): void {
    this.#push([wire.FIN])
    this.flush()
  }

  /** Resolves when the other side has said that nothing more comes, or is gone. */
  finished(): Promise<void> {
    return this.#finished.promise
  }

  /** The other side is gone: everything that waits for it fails with `error`, at once. Idempotent. */
  lost(error: SignalboxError): void {
    if (this.#closed) return
    this.#closed = error
    this.#pipe.close()
    for (const envelope of this.#asks.values()) this.#system.deadLetter(envelope, error)
    this.#asks.clear()
    this.#outbound.fail(error, envelope => this.#system.deadLetter(envelope, error))
    for (const ask of this.#incoming.values()) ask.abandon(error)
    this.#incoming.clear()
    for (const stop of this.#watched.values()) stop()
    const watching = [...this.#watching.values()]
    this.#watching.clear()
    for (const { address, notify } of watching) notify({ address, reason: error })
    this.#finished.resolve()
  }

  /** @internal An incoming ask has been settled here. */
  answer(id: number, message: wire.Wire): void {
    this.#incoming.delete(id)
    if (!this.#closed) this.#push(message)
  }

  #put(envelope: Envelope): void {
    const context = wireContext(envelope.context)
    if (envelope.replyTo === undefined) {
      this.#push([wire.TELL, envelope.to, context, envelope.payload])
      return
    }
    const id = this.#ids++
    const ttlMs = envelope.deadline === 0 ? 0 : Math.max(1, envelope.deadline - this.#system.clock.monotonic())
    this.#asks.set(id, envelope)
    envelope.onCancel = reason => {
      if (this.#asks.delete(id) && !this.#closed) this.#push([wire.CANCEL, id, reason.toWire()])
    }
    this.#push([wire.ASK, id, envelope.to, ttlMs, context, envelope.payload])
  }

  #push(message: wire.Wire): void {
    this.#batch.push(message)
    if (this.#batch.length >= MAX_BATCH) {
      this.flush()
      return
    }
    if (this.#flushArmed) return
    this.#flushArmed = true
    // The microtask queues the tick behind all microtasks of this turn: what they send joins the batch.
    queueMicrotask(this.#arm)
  }

  #encode(batch: wire.Wire[]): void {
    for (;;) {
      try {
        const { body, attachments } = this.#encoder.encode(batch)
        const bytes = attachments.reduce((sum, part) => sum + part.byteLength, body.byteLength)
        this.#outbound.sent(bytes)
        this.#pipe.post(body, attachments)
        return
      } catch (thrown) {
        const error = thrown as SignalboxError
        const index = error.details?.index
        if (typeof index !== 'number') throw thrown
        this.#unencodable(batch, index, error)
        if (batch.length === 0) return
      }
    }
  }

  /** Takes the message that cannot travel out of its batch and tells whoever waits for it. */
  #unencodable(batch: wire.Wire[], index: number, error: SignalboxError): void {
    const message = batch[index]!
    if (message[0] === wire.REPLY) {
      batch[index] = [wire.ERROR, message[1], error.toWire()]
      return
    }
    batch.splice(index, 1)
    this.#outbound.returned(1)
    if (message[0] === wire.ASK) {
      const envelope = this.#asks.get(message[1])
      this.#asks.delete(message[1])
      if (envelope) this.#system.deadLetter(envelope, error)
    } else if (message[0] === wire.TELL) {
      const [, to, context, payload] = message
      this.#system.deadLetter(new Envelope(to, payload, context ?? NO_CONTEXT, 0, undefined, 0), error)
    }
  }

  /** Handles one message; true when it used the sender's credit. */
  #take(message: wire.Wire, bytes: number): boolean {
    switch (message[0]) {
      case wire.TELL:
        this.#accept(
          new Envelope(message[1], message[3], this.#contextOf(message[2]), 0, undefined, bytes),
        )
        return true
      case wire.ASK:
        this.#takeAsk(message, bytes)
        return true
      case wire.REPLY:
        this.#settle(message[1])?.resolve(message[3], message[2] ?? undefined)
        return false
      case wire.ERROR:
        this.#settle(message[1])?.reject(fromWire(message[2]))
        return false
      default:
        this.#takeSystem(message)
        return false
    }
  }

  #takeSystem(message: wire.Wire): void {
    switch (message[0]) {
      case wire.CANCEL: {
        const ask = this.#incoming.get(message[1])
        this.#incoming.delete(message[1])
        ask?.abandon(fromWire(message[2]))
        return
      }
      case wire.CREDIT:
        this.#outbound.credit(message[1], message[2])
        return
      case wire.PAUSE:
        this.#outbound.pause(message[1])
        return
      case wire.RESUME:
        this.#outbound.resume(message[1])
        return
      case wire.WATCH:
        this.#watch(message[1], message[2])
        return
      case wire.UNWATCH:
        this.#watched.get(message[1])?.()
        this.#watched.delete(message[1])
        return
      case wire.DOWN: {
        const watcher = this.#watching.get(message[1])
        this.#watching.delete(message[1])
        watcher?.notify({ address: watcher.address, reason: message[2] ? fromWire(message[2]) : undefined })
        return
      }
      case wire.FIN:
        this.#finished.resolve()
        return
      default:
        throw new SignalboxError('SIGNALBOX_CODEC_MALFORMED', `unknown message type ${String(message[0])}`)
    }
  }

  #takeAsk(message: Extract<wire.Wire, { 0: typeof wire.ASK }>, bytes: number): void {
    const [, id, to, ttlMs, context, payload] = message
    const ask = new IncomingAsk(this, this.#system.deadlines, id)
    const deadline = ttlMs === 0 ? 0 : this.#system.clock.monotonic() + ttlMs
    const envelope = new Envelope(to, payload, this.#contextOf(context), deadline, ask, bytes)
    ask.watch(envelope)
    this.#incoming.set(id, ask)
    this.#accept(envelope)
  }

  #settle(id: number): Envelope | undefined {
    const envelope = this.#asks.get(id)
    this.#asks.delete(id)
    return envelope
  }

  #contextOf(context: MessageContext | null): MessageContext {
    if (this.#guest === undefined) return context ?? NO_CONTEXT
    return { ...context, origin: this.#guest.origin }
  }

  /** Puts a message in its mailbox; while that is full the sender is told to hold back for this address. */
  #accept(envelope: Envelope): void {
    if (this.#guest && !this.#guest.accepts(envelope.to)) {
      this.#system.deadLetter(envelope, unknownAddress(envelope.to))
      return
    }
    const waiting = this.#system.deliver(envelope)
    if (waiting === undefined || envelope.refused) return
    const to = envelope.to
    const parked = this.#parked.get(to) ?? 0
    this.#parked.set(to, parked + 1)
    if (parked === 0) this.#push([wire.PAUSE, to])
    const unpark = () => this.#unpark(to)
    waiting.then(unpark, unpark)
  }

  #unpark(address: Address): void {
    const left = (this.#parked.get(address) ?? 1) - 1
    if (left > 0) {
      this.#parked.set(address, left)
      return
    }
    this.#parked.delete(address)
    if (!this.#closed) this.#push([wire.RESUME, address])
  }

  #watch(id: number, address: Address): void {
    if (this.#guest && !this.#guest.accepts(address)) {
      this.#push([wire.DOWN, id, unknownAddress(address).toWire()])
      return
    }
    const stop = this.#system.monitor(address, ({ reason }) => {
      this.#watched.delete(id)
      if (!this.#closed) this.#push([wire.DOWN, id, reason ? reason.toWire() : null])
    })
    this.#watched.set(id, stop)
  }
}

function wireContext(context: MessageContext): MessageContext | null {
  const { cid, headers, trace, origin } = context
  if (cid === undefined && headers === undefined && trace === undefined && origin === undefined) return null
  return { cid, headers, trace, origin }
}
