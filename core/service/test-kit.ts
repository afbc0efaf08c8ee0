/**
 * Tests of services without a bus: the service runs as it does on the bus, with its schemas, its errors, its
 * deadline and its cancellation; what it calls is given by the test.
 *
 * ```ts
 * import { test } from 'node:test'
 * import { fakeConnection, testService } from 'signalbox/test'
 * import CreateOrder from './create.ts'
 *
 * test('an order reserves its stock', async t => {
 *   const orders = testService(CreateOrder, {
 *     services: { 'stock.reserve': () => ({ ok: true }) },
 *     connections: { erp: fakeConnection({ send: async () => ({ payload: 'saved', headers: {}, cid: '' }) }) },
 *   })
 *   const reply = await orders.invoke({ id: 7 })
 *   t.assert.equal(reply.status, 201)
 *   t.assert.deepEqual(orders.calls[0], { kind: 'invoke', service: 'stock.reserve', payload: 7, headers: {} })
 * })
 * ```
 */

import { cancellation } from '../actor/ask.ts'
import type { AskOptions } from '../actor/behaviour.ts'
import { refused } from '../actor/cell.ts'
import { ActorSystem } from '../actor/system.ts'
import { type Clock, systemClock } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import { nearest } from '../schema.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Connection } from '../transport.ts'
import type { Origin, ServicePorts } from './invocation.ts'
import { addressOf, ServiceRunner } from './runner.ts'
import {
  type ChannelInfo,
  type Identity,
  isServiceClass,
  type KeepOptions,
  type ServiceClass,
  type ServiceContext,
  service,
} from './service.ts'

export { TestClock } from '../clock.ts'

/** Stands in for another service: gets the input and the context, returns the answer or throws. */
export type FakeService = { fake(input: unknown, context: ServiceContext): unknown }['fake']

/** What comes with a message. */
export interface TestMessage {
  headers?: Record<string, string>
  identity?: Identity
  channel?: ChannelInfo
  /** Correlation id. Default: a new one. */
  cid?: string
}

export interface TestServiceOptions extends TestMessage {
  /** What the service may call, by name: functions, or real services (which call what is here as well). */
  services?: Record<string, FakeService | ServiceClass>
  /** What the service may use, by name; see {@link fakeConnection}. */
  connections?: Record<string, Connection>
  /** Default: the real one. With a {@link TestClock} deadlines pass when the test says so. */
  clock?: Clock
}

export interface TestInvokeOptions extends TestMessage {
  /** Default 30,000 ms. */
  timeoutMs?: number
  /** Cancels the call. */
  signal?: AbortSignal
}

export interface TestReply {
  payload: unknown
  /** What the service set; undefined when it set none. */
  status: number | undefined
  headers: Record<string, string>
}

/** A call that a service has made. */
export interface TestCall {
  kind: 'invoke' | 'tell'
  service: string
  payload: unknown
  headers: Record<string, string>
}

/** A message that a service has published, or put into a queue. */
export interface TestMessageKept {
  kind: 'topic' | 'queue'
  name: string
  payload: unknown
  options: KeepOptions
}

/** A line that a service, or the bus on its behalf, has logged. */
export interface TestLogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string | undefined
  data: Record<string, unknown>
}

export interface ServiceUnderTest {
  /** Invokes the service. Rejects with the SignalboxError that a caller on the bus would get. */
  invoke(payload?: unknown, options?: TestInvokeOptions): Promise<TestReply>
  /** Sends to the service without waiting for an answer; resolves when everything that follows is done. */
  tell(payload?: unknown, options?: TestMessage): Promise<void>
  /** Calls made so far, in order, by the service and by real services among `services`. */
  readonly calls: TestCall[]
  /** Messages published and put into queues so far, in order. Any topic and queue takes them. */
  readonly kept: TestMessageKept[]
  readonly log: TestLogLine[]
}

/** Makes a service ready to be invoked by a test. Throws SIGNALBOX_SERVICE_INVALID for a schema that is none. */
export function testService(type: ServiceClass, options: TestServiceOptions = {}): ServiceUnderTest {
  const log: TestLogLine[] = []
  const calls: TestCall[] = []
  const kept: TestMessageKept[] = []
  const system = new ActorSystem({ clock: options.clock ?? systemClock, log: capturing(log, {}) })
  const name = type.serviceName ?? 'service-under-test'
  const services = { [name]: type, ...options.services }
  const ports = portsOf(system, options, Object.keys(services), { calls, kept })
  for (const [key, one] of Object.entries(services))
    start(system, new ServiceRunner(key, classOf(one), ports))
  const address = `service/${name}`
  return {
    calls,
    kept,
    log,
    async invoke(payload, given = {}) {
      const { timeoutMs, signal, ...message } = given
      const ask: AskOptions = { ...contextOf({ ...options, ...message }), timeoutMs, signal }
      const answer = await system.request(address, payload, ask)
      return { payload: answer.payload, status: answer.head?.status, headers: answer.head?.headers ?? {} }
    },
    async tell(payload, given = {}) {
      await system.tell(address, payload, contextOf({ ...options, ...given }))
      await system.whenIdle()
    },
  }
}

/**
 * A connection for tests: the operations that the test gives, typed as those of the transport. Any other
 * operation throws SIGNALBOX_USAGE with its name.
 */
export function fakeConnection<C extends Connection = Connection>(operations: Partial<C>): C {
  return new Proxy(operations, {
    get(target, name) {
      // Whoever awaits it asks for `then`.
      if (name in target || typeof name === 'symbol' || name === 'then') return Reflect.get(target, name)
      throw new SignalboxError('SIGNALBOX_USAGE', `the fake connection of this test has no '${name}'`)
    },
  }) as C
}

/** @internal */
export function classOf(one: FakeService | ServiceClass): ServiceClass {
  return isServiceClass(one) ? one : service({ handle: (input, context) => one(input, context) })
}

/** @internal */
export function start(system: ActorSystem, runner: ServiceRunner): void {
  system.spawn(addressOf(runner.name), {
    concurrency: runner.type.concurrency ?? 256,
    behaviour: () => ({ receive: (_, envelope) => runner.run(envelope) }),
  })
}

/** @internal */
export function contextOf({ headers, identity, channel, cid }: TestMessage): AskOptions {
  const origin: Origin = { identity, channel }
  return { cid, origin, headers: headers && lowerCase(headers) }
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

/** @internal What a service under test is given of the bus; `known` are the services there are. */
export function portsOf(
  system: ActorSystem,
  options: TestServiceOptions,
  known: string[],
  { calls, kept }: Pick<ServiceUnderTest, 'calls' | 'kept'>,
): ServicePorts {
  const record = (kind: TestCall['kind'], called: string, payload: unknown, { headers }: AskOptions) => {
    calls.push({ kind, service: called, payload, headers: { ...headers } })
    if (!known.includes(called)) throw unknown(`no actor lives at ${addressOf(called)}`, called, known)
  }
  return {
    clock: system.clock,
    log: system.log,
    async ask(called, payload, ask) {
      record('invoke', called, payload, ask)
      return system.ask(addressOf(called), payload, ask)
    },
    tell(called, payload, context) {
      try {
        record('tell', called, payload, context)
      } catch (error) {
        return refused(error as SignalboxError)
      }
      return system.tell(addressOf(called), payload, context)
    },
    async keep(kind, name, { payload, options: given }) {
      kept.push({ kind, name, payload, options: given })
      return { seq: kept.length, duplicate: false }
    },
    connection(name) {
      const connection = options.connections?.[name]
      if (connection) return connection
      throw unknown(`there is no connection '${name}'`, name, Object.keys(options.connections ?? {}))
    },
    cpu: (file, payload, timeoutMs, signal) => runHere(system.clock, file, payload, timeoutMs, signal),
  }
}

function unknown(message: string, name: string, known: string[]): SignalboxError {
  const near = nearest(name, known)
  return new SignalboxError(
    'SIGNALBOX_ADDRESS_UNKNOWN',
    `${message}${near ? `; did you mean '${near}'?` : ''}`,
  )
}

/** Runs CPU work in this thread: the same file and answer as on the bus, where it has a thread of its own. */
function runHere(
  clock: Clock,
  file: string,
  payload: unknown,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(cancellation(signal))
    if (signal.aborted) {
      giveUp()
      return
    }
    const message = `${file} took longer than ${timeoutMs} ms`
    const timer = clock.after(timeoutMs, () => reject(new SignalboxError('SIGNALBOX_CPU_TIMEOUT', message)))
    signal.addEventListener('abort', giveUp, { once: true })
    const running = import(file).then((module: { default: (payload: unknown) => unknown }) => {
      return module.default(payload)
    })
    running
      .then(resolve, error => reject(toSignalboxError(error, 'SIGNALBOX_CPU_FAILED')))
      .finally(() => {
        timer.cancel()
        signal.removeEventListener('abort', giveUp)
      })
  })
}

/** @internal */
export function capturing(lines: TestLogLine[], bindings: Record<string, unknown>): Logger {
  const line = (level: TestLogLine['level']) => (data: object, message?: string) => {
    lines.push({ level, message, data: { ...bindings, ...data } })
  }
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: more => capturing(lines, { ...bindings, ...more }),
  }
}
