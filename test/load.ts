/** HTTP load for fault tests: connections that are kept alive, each with one request after the other. */
import { Agent, type IncomingMessage, request } from 'node:http'

/** What became of one request. */
export interface Outcome {
  /** Thread that served this connection before; undefined for its first request. */
  thread: number | undefined
  status: number | undefined
  error: string | undefined
  ms: number
}

export interface Answer {
  status: number
  body: string
  headers: IncomingMessage['headers']
}

/** One request; rejects when the connection breaks. */
export function call(
  url: string,
  options: { method?: string; agent?: Agent; timeoutMs?: number } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', agent, timeoutMs = 30_000 } = options
    const sent = request(url, { method, ...(agent && { agent }) }, response => {
      const parts: Buffer[] = []
      response.on('data', part => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(parts).toString()
        resolve({ status: response.statusCode!, body, headers: response.headers })
      })
    })
    sent.setTimeout(timeoutMs, () => sent.destroy(new Error('timed out')))
    sent.on('error', reject)
    sent.end()
  })
}

/** Load on one path until it is stopped, at the latest when its scope ends. */
export class Load implements AsyncDisposable {
  readonly outcomes: Outcome[] = []
  readonly #url: string
  readonly #lines: Promise<void>[]
  #stopped = false

  constructor(url: string, connections: number) {
    this.#url = url
    this.#lines = Array.from({ length: connections }, () => this.#line())
  }

  /** Opens connections until `threads` threads serve some: the kernel spreads them as it likes. */
  async spread(threads: number): Promise<void> {
    const seen = () => new Set(this.outcomes.flatMap(({ thread }) => thread ?? []))
    while (seen().size < threads) {
      const before = this.outcomes.length
      this.#lines.push(this.#line())
      await until(() => this.outcomes.length > before + 2 * this.#lines.length, 'requests are answered')
    }
  }

  get ok(): number {
    return this.outcomes.filter(({ status }) => status === 200).length
  }

  get failed(): Outcome[] {
    return this.outcomes.filter(({ status }) => status !== 200)
  }

  /** The time that 99 of 100 of these outcomes stayed below, in milliseconds. */
  p99(from = 0, to = this.outcomes.length, of: (outcome: Outcome) => boolean = () => true): number {
    const times = this.outcomes
      .slice(from, to)
      .filter(of)
      .map(({ ms }) => ms)
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#lines)
  }

  /** One connection; a new one is opened when it breaks. */
  async #line(): Promise<void> {
    let agent = new Agent({ keepAlive: true, maxSockets: 1 })
    let thread: number | undefined
    while (!this.#stopped) {
      const start = performance.now()
      try {
        const { status, body, headers } = await call(this.#url, { agent })
        this.outcomes.push({ thread, status, error: undefined, ms: performance.now() - start })
        thread = (JSON.parse(body) as { thread?: number }).thread
        if (headers.connection === 'close') thread = undefined
      } catch (error) {
        this.outcomes.push({ thread, status: undefined, error: String(error), ms: performance.now() - start })
        agent.destroy()
        agent = new Agent({ keepAlive: true, maxSockets: 1 })
        thread = undefined
      }
    }
    agent.destroy()
  }
}

/** Resolves when `condition` holds; rejects with `what` after `ms`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 15_000,
): Promise<void> {
  const end = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
