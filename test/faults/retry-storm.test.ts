/**
 * A backend goes down and comes back while a thousand clients go on asking: the circuit opens soon, hardly anything
 * reaches the backend meanwhile, and when it is back it is neither left alone for long nor run over.
 */
import assert from 'node:assert/strict'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../core/clock.ts'
import type { SignalboxError } from '../../core/errors.ts'
import { testRoute } from '../../core/route/test-kit.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { HttpConnection } from '../../transports/http/connection.ts'
import { http } from '../../transports/http/index.ts'

const DOWN_MS = Number(process.env.SIGNALBOX_DOWN_MS ?? 15_000)
const CLIENTS = Number(process.env.SIGNALBOX_CLIENTS ?? 1_000)
/** A client asks once in so long, on average. */
const PAUSE_MS = 2_000
const NORMAL_MS = 5_000
const RECOVERED_MS = 10_000
const OPENS_WITHIN_MS = 5_000
/** In no second after the outage may the backend get so many times what it gets normally. */
const MAX_SURGE = 2

/** What the backend does to a request when it is down. */
type Failing = (response: ServerResponse) => void

const resets: Failing = response => response.destroy()
const overloaded: Failing = response => response.writeHead(503, { 'retry-after': '1' }).end()

/** A server that counts what reaches it, also when it is down. */
class Backend {
  readonly arrivedMs: number[] = []
  failing: Failing | undefined
  readonly #server: Server

  constructor() {
    this.#server = createServer((_, response) => {
      this.arrivedMs.push(performance.now())
      if (this.failing) this.failing(response)
      else response.end('"ok"')
    })
  }

  async open(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** How many arrived from one time to another. */
  count(fromMs: number, toMs: number): number {
    return this.arrivedMs.filter(ms => ms >= fromMs && ms < toMs).length
  }

  /** Just after the first arrival that is followed by so much silence. */
  silentFrom(fromMs: number, silenceMs: number): number {
    const times = this.arrivedMs.filter(ms => ms >= fromMs)
    const at = times.findIndex((ms, i) => (times[i + 1] ?? Number.POSITIVE_INFINITY) - ms > silenceMs)
    return (times[at] ?? fromMs) + 1
  }

  /** The most that arrived within any second of the time. */
  busiest(fromMs: number, toMs: number): number {
    const times = this.arrivedMs.filter(ms => ms >= fromMs && ms < toMs)
    let most = 0
    for (let first = 0, last = 0; last < times.length; last++) {
      while (times[last]! - times[first]! > 1_000) first++
      most = Math.max(most, last - first + 1)
    }
    return most
  }
}

interface Outcome {
  /** When it was known. */
  ms: number
  startedMs: number
  code: string
}

/** Clients that ask, wait for the outcome, and pause, until they are stopped. */
class Clients {
  readonly outcomes: Outcome[] = []
  readonly #stopping = new AbortController()
  readonly #all: Promise<void>[]

  constructor(ask: () => Promise<unknown>) {
    this.#all = Array.from({ length: CLIENTS }, () => this.#run(ask))
  }

  async #run(ask: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await sleep(Math.random() * 2 * PAUSE_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const startedMs = performance.now()
      const code = await ask().then(
        () => 'ok',
        (error: SignalboxError) => error.code ?? String(error),
      )
      this.outcomes.push({ ms: performance.now(), startedMs, code })
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#all)
  }

  firstMs(code: string): number {
    return this.outcomes.find(outcome => outcome.code === code)?.ms ?? Number.POSITIVE_INFINITY
  }

  started(fromMs: number, toMs: number): Outcome[] {
    return this.outcomes.filter(({ startedMs }) => startedMs >= fromMs && startedMs < toMs)
  }
}

async function storm(t: TestContext, backend: Backend, failing: Failing, ask: () => Promise<unknown>) {
  const clients = new Clients(ask)
  try {
    await sleep(2 * PAUSE_MS)
    const warmMs = performance.now()
    await sleep(NORMAL_MS)
    const downMs = performance.now()
    backend.failing = failing
    await sleep(DOWN_MS)
    const upMs = performance.now()
    backend.failing = undefined
    await sleep(2 * RECOVERED_MS)
    await clients.stop()
    check(t, backend, clients, { warmMs, downMs, upMs, endMs: upMs + 2 * RECOVERED_MS })
  } finally {
    await clients.stop()
  }
}

function check(
  t: TestContext,
  backend: Backend,
  clients: Clients,
  { warmMs, downMs, upMs, endMs }: Record<'warmMs' | 'downMs' | 'upMs' | 'endMs', number>,
): void {
  const normal = backend.busiest(warmMs, downMs)
  // What was on its way when the circuit opened still arrives; what comes after that is a probe.
  const openMs = backend.silentFrom(downMs, 1_000)
  // Who retries is told late.
  const openedMs = Math.min(openMs, clients.firstMs('SIGNALBOX_CIRCUIT_OPEN'))
  const probes = backend.busiest(openMs, upMs)
  const all = backend.count(openMs, upMs)
  const closedMs = backend.arrivedMs.find(ms => ms > upMs) ?? endMs
  const soon = clients.started(upMs, upMs + RECOVERED_MS)
  const late = clients.started(upMs + RECOVERED_MS, endMs)
  const good = (outcomes: Outcome[]) => outcomes.filter(({ code }) => code === 'ok').length / outcomes.length
  const surge = backend.busiest(upMs, endMs) / normal
  t.diagnostic(
    `normally ${normal} requests in the busiest second; opened after ${Math.round(openedMs - downMs)} ms, quiet after ${Math.round(openMs - downMs)} ms; ` +
      `${all} probes in ${Math.round((upMs - openMs) / 1_000)} s, at most ${probes} in a second; ` +
      `asked again ${Math.round(closedMs - upMs)} ms after it was back, ${percent(good(soon))} good within ` +
      `${RECOVERED_MS / 1_000} s, ${percent(good(late))} after; busiest second ${surge.toFixed(2)} times the normal one`,
  )
  assert.ok(openedMs - downMs <= OPENS_WITHIN_MS, `it opened after ${openedMs - downMs} ms`)
  assert.ok(clients.started(openMs, upMs).some(({ code }) => code === 'SIGNALBOX_CIRCUIT_OPEN'))
  assert.ok(probes <= 1, `${probes} probes in a second`)
  assert.ok(all >= 1, 'it was probed')
  assert.ok(good(late) > 0.999, `${percent(good(late))} good in the end`)
  const settled = clients.started(closedMs, upMs + RECOVERED_MS)
  assert.ok(good(settled) > 0.9, `${percent(good(settled))} good once it was asked again`)
  assert.ok(surge < MAX_SURGE, `a surge of ${surge} times the normal rate`)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

async function connection(
  t: TestContext,
  backend: Backend,
  options: Record<string, unknown> = {},
): Promise<HttpConnection> {
  const url = await backend.open()
  const context = {
    name: 'backend',
    log: silentLogger,
    clock: systemClock,
    signal: new AbortController().signal,
    lost: () => {},
  }
  const given = parseOptions<never>(http.connection!.options, { url, ...options }, 'test')
  const made = http.connection!.create(given, context) as HttpConnection
  t.after(async () => {
    await made.close()
    await backend.close()
  })
  await made.connect()
  return made
}

for (const [what, failing] of Object.entries({ 'breaks connections': resets, 'answers 503': overloaded })) {
  test(`HTTP connection: the backend ${what} for ${DOWN_MS / 1_000} s`, async t => {
    const backend = new Backend()
    const made = await connection(t, backend)
    await storm(t, backend, failing, () => made.get('/'))
  })
}

test(`route with retry and circuit: the backend breaks connections for ${DOWN_MS / 1_000} s`, async t => {
  const backend = new Backend()
  const made = await connection(t, backend, { retry: { attempts: 1 }, circuitBreaker: { enabled: false } })
  const route = await testRoute(
    {
      steps: [
        {
          retry: {
            attempts: 3,
            steps: [{ circuit: { steps: [{ send: 'backend' }] } }],
          },
        },
      ],
    },
    { connections: { backend: made } },
  )
  t.after(() => route.close())
  await storm(t, backend, resets, () => route.send({ a: 1 }))
})
