/**
 * The path from this worker to one other place: batching, credit, asks under way, cancellation and monitors.
 * What carries the batches is a {@link Pipe}; what the messages mean is the actor system's matter.
 */
import type { Address } from '../actor/address.ts'
import type { Down } from '../actor/behaviour.ts'
import { refused } from '../actor/cell.ts'
import { Envelope, type MessageContext, NO_CONTEXT } from '../actor/envelope.ts'
import { type ActorSystem, unknownAddress } from '../actor/system.ts'
import { fromWire, SignalboxError } from '../errors.ts'
import { Decoder, type Encoded, Encoder } from './codec.ts'
import { Inbound } from './inbound.ts'
import { IncomingAsk } from './incoming-ask.ts'
import { type Guest, guestContext, MAX_GUEST_WATCHES } from './link-guest.ts'
import { explain, substitute } from './link-unencodable.ts'
import { Outbound } from './outbound.ts'
import type { Place } from './place.ts'
import * as wire from './wire.ts'

/** Messages in one batch at most; more of them in a turn make several batches. */
const MAX_BATCH = 256
/** Messages are so many to a batch that it comes to about this many bytes. */
const BATCH_BYTES = 256 * 1024
/** A batch of several messages that came to more than this is taken apart. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024
const NO_PARTS: readonly Uint8Array[] = []

/** An encoder of this thread is at work: what a getter of a payload sends waits for the end of the turn. */
let encoding = false

export interface LinkOptions {
  place: Place
  system: ActorSystem
  pipe: wire.Pipe
  /**
   * Messages and bytes that may be on their way without the other side having taken them, the same at both ends.
   * Default 8,192 and 16 MiB.
   */
  windowMessages?: number
  windowBytes?: number
  /** For a program outside the bus. */
  guest?: Guest
}

export class Link {
  readonly place: Place
  readonly #system: ActorSystem
  readonly #pipe: wire.Pipe
  readonly #encoder = new Encoder()
  readonly #decoder = new Decoder()
  readonly #outbound: Outbound
  readonly #inbound: Inbound
  readonly #guest: Guest | undefined
  readonly #asks = new Map<number, Envelope>()
  readonly #incoming = new Map<number, IncomingAsk>()
  readonly #watching = new Map<number, { address: Address; notify: (notice: Down) => void }>()
  readonly #watched = new Map<number, () => void>()
  #ids = 0
  #batch: wire.Wire[] = []
  #batchLimit = MAX_BATCH
  #flushArmed = false
  readonly #finished = Promise.withResolvers<void>()
  #closed: SignalboxError | undefined
  readonly #arm = () => process.nextTick(this.#flushNow)
  readonly #flushNow = () => this.flush()
  readonly #pump = () => this.#outbound.pump()

  constructor(options: LinkOptions) {
    const { place, windowMessages = 8_192, windowBytes = 16 * 1024 * 1024 } = options
    this.place = place
    this.#system = options.system
    this.#pipe = options.pipe
    this.#guest = options.guest
    this.#inbound = new Inbound(windowMessages, windowBytes)
    this.#outbound = new Outbound({
      place,
      windowMessages,
      windowBytes,
      put: envelope => this.#put(envelope),
      refuse: (envelope, error) => this.#system.deadLetter(envelope, error),
    })
  }

  /** Messages that this side sent or keeps and that are not settled: what `leastBusy` compares. */
  get load(): number {
    return this.#asks.size + this.#outbound.waiting
  }

  get closed(): boolean {
    return this.#closed !== undefined
  }

  /** Sends a tell or an ask. Undefined: it is on its way; a promise: it waits for credit, or was refused. */
  deliver(envelope: Envelope): Promise<void> | undefined {
    if (this.#closed) {
      this.#system.deadLetter(envelope, this.#closed)
      return refused(this.#closed)
    }
    return this.#outbound.send(envelope)
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

  /** Takes a batch from the other side. A batch that cannot be read closes the link. */
  receive(body: Uint8Array, attachments: readonly Uint8Array[] = NO_PARTS): void {
    if (this.#closed) return
    try {
      this.#takeBatch(this.#decoder.decode(body, attachments) as wire.Wire[], sizeOf(body, attachments))
    } catch (error) {
      const message = `a batch from ${this.place} is malformed: ${(error as Error).message}`
      this.lost(new SignalboxError('SIGNALBOX_LINK_CLOSED', message, { cause: error }))
    }
  }

  /** Sends what this turn has gathered. Called by itself at the end of the turn. */
  flush(): void {
    this.#flushArmed = false
    const gathered = this.#batch
    this.#batch = []
    for (let sent = 0; sent < gathered.length && !this.#closed; ) {
      const count = Math.min(this.#batchLimit, gathered.length - sent)
      this.#send(count === gathered.length ? gathered : gathered.slice(sent, sent + count))
      sent += count
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
    const asks = [...this.#asks.values()]
    this.#asks.clear()
    for (const envelope of asks) envelope.reject(error)
    this.#outbound.fail(error)
    for (const message of this.#batch) if (message[0] === wire.TELL) this.#returnTell(message, error)
    this.#batch = []
    const incoming = [...this.#incoming.values()]
    this.#incoming.clear()
    for (const ask of incoming) ask.abandon(error)
    for (const stop of this.#watched.values()) stop()
    this.#watched.clear()
    const watching = [...this.#watching.values()]
    this.#watching.clear()
    for (const { address, notify } of watching) notify({ address, reason: error })
    this.#finished.resolve()
  }

  /** Plain data on what is under way. */
  inspect(): Record<string, unknown> {
    return {
      place: this.place,
      asked: this.#asks.size,
      asking: this.#incoming.size,
      watching: this.#watching.size,
      watched: this.#watched.size,
      ...this.#outbound.inspect(),
      ...this.#inbound.inspect(),
      ...(this.#closed && { closed: `${this.#closed.code}: ${this.#closed.message}` }),
    }
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
    const ttlMs =
      envelope.deadline === 0 ? 0 : Math.max(1, Math.ceil(envelope.deadline - this.#system.clock.monotonic()))
    this.#asks.set(id, envelope)
    envelope.onCancel = reason => {
      if (this.#asks.delete(id) && !this.#closed) this.#push([wire.CANCEL, id, reason.toWire()])
    }
    this.#push([wire.ASK, id, envelope.to, ttlMs, context, envelope.payload])
  }

  #push(message: wire.Wire): void {
    this.#batch.push(message)
    if (this.#batch.length >= this.#batchLimit && !encoding) {
      this.flush()
      return
    }
    if (this.#flushArmed) return
    this.#flushArmed = true
    // The microtask queues the tick behind all microtasks of this turn: what they send joins the batch.
    queueMicrotask(this.#arm)
  }

  #send(batch: wire.Wire[]): void {
    encoding = true
    const encoded = this.#encode(batch)
    encoding = false
    if (!encoded) return
    const { body, attachments } = encoded
    const bytes = sizeOf(body, attachments)
    this.#batchLimit = limitFor(bytes / batch.length)
    const tooLarge = bytes > (this.#pipe.maxBytes ?? Number.POSITIVE_INFINITY)
    if (tooLarge || (bytes > MAX_BATCH_BYTES && batch.length > 1)) {
      this.#sendParts(batch, bytes)
      return
    }
    this.#outbound.sent(bytes)
    this.#pipe.post(body, attachments)
  }

  /** Sends a batch that is too large in two parts, and returns a message that is too large by itself. */
  #sendParts(batch: wire.Wire[], bytes: number): void {
    // What was encoded is thrown away: the next body may not rely on it.
    this.#encoder.reset()
    if (batch.length > 1) {
      const middle = batch.length >> 1
      this.#send(batch.slice(0, middle))
      this.#send(batch.slice(middle))
      return
    }
    const limit = this.#pipe.maxBytes
    const message = `a message of ${bytes} bytes is larger than the ${limit} that fit on the link to ${this.place}`
    this.#withdraw(
      batch,
      0,
      new SignalboxError('SIGNALBOX_FORMAT_LIMIT', message, { details: { bytes, limit } }),
    )
    if (batch.length > 0) this.#send(batch)
  }

  /** Encodes what can be encoded; undefined when nothing is left. */
  #encode(batch: wire.Wire[]): Encoded | undefined {
    while (batch.length > 0) {
      try {
        return this.#encoder.encode(batch)
      } catch (thrown) {
        const error = thrown as SignalboxError
        const index = error.details?.index as number
        this.#withdraw(batch, index, explain(batch[index]!, error))
      }
    }
    return undefined
  }

  /** Takes a message that cannot travel out of its batch and tells whoever waits for it. */
  #withdraw(batch: wire.Wire[], index: number, error: SignalboxError): void {
    const message = batch[index]!
    const instead = substitute(message, error)
    if (instead) {
      batch[index] = instead
      return
    }
    batch.splice(index, 1)
    if (message[0] === wire.TELL) this.#returnTell(message, error)
    else if (message[0] === wire.ASK) this.#returnAsk(message[1], error)
    this.#outbound.returned()
    // A credit that nobody will give must not be waited for.
    if (this.#outbound.waiting > 0) queueMicrotask(this.#pump)
  }

  #returnTell(
    [, to, context, payload]: Extract<wire.Wire, { 0: typeof wire.TELL }>,
    error: SignalboxError,
  ): void {
    this.#system.deadLetter(new Envelope(to, payload, context ?? NO_CONTEXT, 0, undefined, 0), error)
  }

  #returnAsk(id: number, error: SignalboxError): void {
    const envelope = this.#settle(id)
    if (envelope) this.#system.deadLetter(envelope, error)
  }

  #takeBatch(messages: wire.Wire[], bytes: number): void {
    const each = messages.length === 0 ? 0 : Math.ceil(bytes / messages.length)
    let taken = 0
    for (const message of messages) if (message[0] === wire.TELL || message[0] === wire.ASK) taken++
    this.#inbound.took(taken, bytes)
    for (const message of messages) {
      this.#take(message, each)
      if (this.#closed) return
    }
    this.#giveCredit()
  }

  #giveCredit(): void {
    const credit = this.#inbound.credit()
    if (credit) this.#push([wire.CREDIT, credit.messages, credit.bytes])
  }

  #take(message: wire.Wire, bytes: number): void {
    switch (message[0]) {
      case wire.TELL:
        this.#accept(new Envelope(message[1], message[3], this.#contextOf(message[2]), 0, undefined, bytes))
        return
      case wire.ASK:
        this.#takeAsk(message, bytes)
        return
      case wire.REPLY:
        this.#settle(message[1])?.resolve(message[3], message[2] ?? undefined)
        return
      case wire.ERROR:
        this.#settle(message[1])?.reject(fromWire(message[2]))
        return
      default:
        this.#takeSystem(message)
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
        throw wire.malformed(`unknown message type ${String(message[0])}`)
    }
  }

  #takeAsk(message: Extract<wire.Wire, { 0: typeof wire.ASK }>, bytes: number): void {
    const [, id, to, ttlMs, context, payload] = message
    if (!(ttlMs >= 0) || (this.#guest && this.#incoming.has(id))) throw wire.malformed('a bad ask')
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
    return guestContext(context, this.#guest)
  }

  /** Puts a message in its mailbox; while that is full the sender is told to hold back for this address. */
  #accept(envelope: Envelope): void {
    if (this.#guest && !this.#guest.accepts(envelope.to)) {
      this.#system.deadLetter(envelope, unknownAddress(envelope.to))
      return
    }
    // A program knows the places of its node only: where a key or a turn belongs is decided here.
    const remote = this.#guest && this.#system.remote
    const waiting = remote ? remote.deliver(envelope) : this.#system.deliver(envelope)
    if (waiting === undefined || envelope.refused) return
    const { to, bytes } = envelope
    if (this.#inbound.park(to, bytes)) this.#push([wire.PAUSE, to])
    const unpark = () => this.#unpark(to, bytes)
    waiting.then(unpark, unpark)
  }

  #unpark(address: Address, bytes: number): void {
    const last = this.#inbound.unpark(address, bytes)
    if (this.#closed) return
    if (last) this.#push([wire.RESUME, address])
    this.#giveCredit()
  }

  /** Only an actor of this thread can be watched over a link: a watch is never handed on. */
  #watch(id: number, address: Address): void {
    if (this.#watched.has(id) || (this.#guest && this.#watched.size >= MAX_GUEST_WATCHES)) {
      throw wire.malformed('a watch too many')
    }
    const hidden = this.#guest !== undefined && !this.#guest.accepts(address)
    if (hidden || this.#system.cell(address) === undefined) {
      this.#push([wire.DOWN, id, unknownAddress(address).toWire()])
      return
    }
    const stop = this.#system.monitors.add(address, ({ reason }) => {
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

/** How many messages of this size make a batch. */
function limitFor(bytesEach: number): number {
  return Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_BYTES / bytesEach)))
}

function sizeOf(body: Uint8Array, attachments: readonly Uint8Array[]): number {
  let bytes = body.byteLength
  for (const part of attachments) bytes += part.byteLength
  return bytes
}
