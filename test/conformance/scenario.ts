/** How a scenario is written, run, skipped and cleaned up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type {
  Capabilities,
  Channel,
  Connection,
  Receive,
  Transport,
  TransportContext,
} from '../../core/transport.ts'
import type { ChannelEndpoint, ConnectionEndpoint, TestMessage } from './harness.ts'
import { DEADLINE_MS, within } from './wait.ts'

/** One scenario: a name and what happens on a fresh endpoint. */
export interface Scenario<B> {
  name: string
  /** Why a transport of these capabilities does not have the scenario; undefined when it does. */
  without?(capabilities: Capabilities): string | undefined
  run(bench: B): Promise<void>
}

class Skipped extends Error {}

/** Ends the scenario as skipped, with the reason. */
export function skip(reason: string): never {
  throw new Skipped(reason)
}

/** An instance on the bench, with what it reported to its context. */
export interface Opened<I> {
  instance: I
  /** Errors given to `context.lost`. */
  lost: Error[]
}

/** Makes instances of one side of a transport and closes them all in the end. */
abstract class Bench<E extends ChannelEndpoint | ConnectionEndpoint, I extends Channel | Connection> {
  readonly transport: Transport
  readonly endpoint: E
  readonly #made: I[] = []
  readonly #controllers: AbortController[] = []

  constructor(transport: Transport, endpoint: E) {
    this.transport = transport
    this.endpoint = endpoint
  }

  /** Makes an instance from validated options; it is not connected yet. */
  make(overrides: Record<string, unknown> = {}): Opened<I> {
    const options = { ...this.endpoint.options, ...overrides }
    const lost: Error[] = []
    const controller = new AbortController()
    const context: TransportContext = {
      name: 'conformance',
      log: silentLogger,
      clock: systemClock,
      signal: controller.signal,
      lost: error => lost.push(error),
    }
    const instance = this.create(options, context)
    this.#made.push(instance)
    this.#controllers.push(controller)
    return { instance, lost }
  }

  protected abstract create(options: Record<string, unknown>, context: TransportContext): I

  async close(): Promise<void> {
    for (const controller of this.#controllers) controller.abort()
    await Promise.all(this.#made.map(instance => within(instance.close(), 'close in the end')))
    await within(this.endpoint.close(), 'the endpoint closes')
  }
}

/** The bench of one channel scenario. */
export class ChannelBench extends Bench<ChannelEndpoint, Channel> {
  protected override create(options: Record<string, unknown>, context: TransportContext): Channel {
    const side = this.transport.channel!
    return side.create(parseOptions(side.options, options, 'channel'), context)
  }

  /** Opens a channel. */
  async open(receive: Receive, overrides?: Record<string, unknown>): Promise<Opened<Channel>> {
    const opened = this.make(overrides)
    await within(opened.instance.connect(receive), 'the channel connects')
    return opened
  }

  /** Sends in from outside without waiting; a rejection is kept for whoever awaits it. */
  send(message: TestMessage, channel: Channel): ReturnType<ChannelEndpoint['send']> {
    const sent = this.endpoint.send(message, channel)
    sent.catch(() => {})
    return sent
  }
}

/** The bench of one connection scenario. */
export class ConnectionBench extends Bench<ConnectionEndpoint, Connection> {
  protected override create(options: Record<string, unknown>, context: TransportContext): Connection {
    const side = this.transport.connection!
    return side.create(parseOptions(side.options, options, 'connection'), context)
  }

  /** Opens a connection. */
  async open(overrides?: Record<string, unknown>): Promise<Opened<Connection>> {
    const opened = this.make(overrides)
    await within(opened.instance.connect(), 'the connection connects')
    return opened
  }
}

/** Registers one test for each scenario. */
export function registerScenarios<B extends { close(): Promise<void> }>(
  scenarios: readonly Scenario<B>[],
  capabilities: Capabilities,
  waived: Record<string, string>,
  prepare: () => Promise<B>,
): void {
  for (const scenario of scenarios) {
    const reason = scenario.without?.(capabilities) ?? waived[scenario.name]
    test(scenario.name, { skip: reason ?? false, timeout: 6 * DEADLINE_MS }, async t => {
      const bench = await prepare()
      try {
        await scenario.run(bench)
      } catch (error) {
        if (!(error instanceof Skipped)) throw error
        t.skip(error.message)
      } finally {
        await bench.close()
      }
    })
  }
}

/** Waits for a rejection, checks that it is typed (and has the code), and returns it. */
export async function rejection(
  promise: Promise<unknown>,
  what: string,
  code?: string,
): Promise<SignalboxError> {
  let thrown: unknown
  try {
    await within(promise, what)
  } catch (error) {
    thrown = error
  }
  assert.ok(thrown !== undefined, `${what}: must be rejected`)
  assert.ok(thrown instanceof SignalboxError, `${what}: must be a SignalboxError, was ${String(thrown)}`)
  if (code !== undefined) assert.equal(thrown.code, code, thrown.message)
  return thrown
}
