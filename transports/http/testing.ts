/** For the tests of this folder: a channel on a free port and a raw socket to send it anything. */
import net, { type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, Outbound, TransportContext } from '../../core/transport.ts'
import { HttpChannel } from './channel.ts'
import { HttpChannelOptions, type HttpChannelSettings } from './channel-options.ts'

export const DEADLINE_MS = 10_000

export function testContext(name = 'test'): TransportContext {
  return {
    name,
    log: silentLogger,
    clock: systemClock,
    signal: new AbortController().signal,
    lost: error => {
      throw error
    },
  }
}

export type Answer = Partial<Omit<Outbound, 'payload'>> & { payload?: unknown }
export type Receiver = (message: Inbound) => Answer | Promise<Answer>

export interface TestChannel {
  channel: HttpChannel
  url: string
  port: number
  /** What was received, in order. */
  received: Inbound[]
}

/** Starts a channel; it is closed when the test ends. */
export async function startChannel(
  t: TestContext,
  options: Record<string, unknown>,
  receiver: Receiver = message => ({ payload: message.payload }),
): Promise<TestChannel> {
  const settings = parseOptions<HttpChannelSettings>(HttpChannelOptions, { port: 0, ...options }, 'test')
  const channel = new HttpChannel(settings, testContext())
  const received: Inbound[] = []
  t.after(() => channel.close())
  await channel.connect(async message => {
    received.push(message)
    const answer = await receiver(message)
    return { payload: undefined, headers: {}, cid: message.cid ?? '', ...answer }
  })
  const url = channel.endpoint()
  return { channel, url, port: Number(new URL(url).port), received }
}

/** A raw connection that remembers what it got. */
export class RawClient {
  readonly socket: Socket
  text = ''
  closed = false
  readonly #waiting = new Set<() => void>()

  constructor(t: TestContext, port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1' })
    const wake = () => {
      for (const waiting of this.#waiting) waiting()
    }
    this.socket.setEncoding('latin1').on('data', (chunk: string) => {
      this.text += chunk
      wake()
    })
    // Being cut off is what many tests are about: `closed` tells.
    this.socket.on('error', wake)
    this.socket.on('close', () => {
      this.closed = true
      wake()
    })
    t.after(() => this.socket.destroy())
  }

  send(text: string | Buffer): this {
    this.socket.write(text)
    return this
  }

  /** Resolves when the condition holds for what came so far; rejects at the deadline. */
  async until(condition: (client: this) => boolean, what: string, deadlineMs = DEADLINE_MS): Promise<this> {
    if (condition(this)) return this
    await new Promise<void>((resolve, reject) => {
      const check = () => {
        if (!condition(this)) return
        done()
        resolve()
      }
      const timer = setTimeout(() => {
        done()
        reject(
          new Error(`no ${what} within ${deadlineMs} ms; got ${JSON.stringify(this.text.slice(0, 500))}`),
        )
      }, deadlineMs)
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(check)
      }
      this.#waiting.add(check)
    })
    return this
  }

  untilClosed(deadlineMs?: number): Promise<this> {
    return this.until(client => client.closed, 'end of the connection', deadlineMs)
  }

  untilText(text: string): Promise<this> {
    return this.until(client => client.text.includes(text), JSON.stringify(text))
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.text)?.[1])
  }
}

/** Waits until a condition holds; rejects at the deadline. */
export async function eventually(
  condition: () => boolean,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`no ${what} within ${deadlineMs} ms`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
