/** The client's side: one connection from a program outside the bus to one node. */
import type { Context } from 'zeromq'
import { type Clock, type Random, systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { Dialler } from './net-dialler.ts'
import { type CurveKeys, checkKeys, decodeKey } from './net-keys.ts'
import { Report } from './net-report.ts'
import type { Session } from './net-session.ts'
import {
  checkEndpoint,
  checkName,
  type LinkSettings,
  linkSettings,
  newContext,
  startBeat,
  waitAtMost,
} from './net-socket.ts'

export interface NetClientOptions {
  /** Where the node listens, `tcp://host:port`. */
  endpoint: string
  /** The node's public key. */
  serverKey: string
  /** The name under which the node lists our public key. */
  name: string
  keys: CurveKeys
  log: Logger
  clock?: Clock
  random?: Random
  /** As for {@link NetOptions}. */
  heartbeatMs?: number
  deadAfterMs?: number
  maxQueueBytes?: number
  maxFrameBytes?: number
  lingerMs?: number
  /** A message of the node. An error it throws is logged. */
  onFrames(frames: Buffer[]): void
  /** The node can be reached, or not any more; the client goes on dialling until it is closed. */
  onState(state: 'up' | 'down', reason?: string): void
}

export class NetClient {
  readonly #o: NetClientOptions
  readonly #settings: LinkSettings
  readonly #clock: Clock
  readonly #report: Report
  #context: Context | undefined
  #dialler: Dialler | undefined
  #stopBeat = () => {}
  #closing: Promise<void> | undefined

  /** Throws SIGNALBOX_OPTIONS_INVALID. */
  constructor(options: NetClientOptions) {
    this.#o = options
    this.#settings = linkSettings(options)
    this.#clock = options.clock ?? systemClock
    this.#report = new Report(options.log, this.#clock)
    checkName(options.name, 'name')
    checkKeys(options.keys, 'keys')
    checkEndpoint(options.endpoint, 'endpoint')
    decodeKey(options.serverKey, 'serverKey')
  }

  /** The id of the node while it is up. */
  get nodeId(): string | undefined {
    return this.#dialler?.session?.peer.id
  }

  /** Begins to dial; `onState` tells when the node answers. */
  start(): void {
    if (this.#dialler || this.#closing) {
      throw new SignalboxError('SIGNALBOX_USAGE', 'a NetClient is started once; make a new one')
    }
    const { name, endpoint, keys, log, serverKey } = this.#o
    this.#context = newContext()
    this.#dialler = new Dialler({
      context: this.#context,
      endpoint,
      serverKey,
      keys,
      log,
      role: 'client',
      id: name,
      expect: undefined,
      settings: this.#settings,
      clock: this.#clock,
      random: this.#o.random ?? Math.random,
      report: this.#report,
      onFrames: (_from, frames) => this.#guard('onFrames', () => this.#o.onFrames(frames)),
      onUp: () => this.#guard('onState', () => this.#o.onState('up')),
      onDown: (_session: Session, reason) => this.#guard('onState', () => this.#o.onState('down', reason)),
    })
    this.#stopBeat = startBeat(this.#clock, this.#settings.heartbeatMs, ms => this.#dialler?.beat(ms))
    this.#dialler.dial()
  }

  /** As {@link Net.send}: false when the node is not up or the queue is full. */
  send(frames: readonly Uint8Array[]): boolean {
    if (this.#closing) return false
    return this.#dialler?.session?.send(frames) ?? false
  }

  /** As {@link Net.close}. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const session = this.#dialler?.session
    if (session) await waitAtMost(this.#clock, this.#settings.lingerMs, [session.drained()])
    this.#stopBeat()
    this.#dialler?.close('closing', 'this client closes')
  }

  #guard(name: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#o.log.error({ err: error }, `${name} threw an error`)
    }
  }
}
