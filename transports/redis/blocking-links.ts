/** Links for commands that wait in the server: each has one of its own while it waits. */
import { SignalboxError } from '../../core/errors.ts'
import { type OpenClient, openClient } from './client.ts'
import type { RedisConnectionSettings } from './options.ts'

/** How long one command waits at most; longer waits are several. */
const SLICE_MS = 5_000

/** A pool of links, opened when they are needed. */
export class BlockingLinks {
  readonly #settings: RedisConnectionSettings
  readonly #name: string
  readonly #signal: AbortSignal
  readonly #idle: OpenClient[] = []
  readonly #busy = new Set<OpenClient>()
  #waiting = 0

  constructor(settings: RedisConnectionSettings, name: string, signal: AbortSignal) {
    this.#settings = settings
    this.#name = name
    this.#signal = signal
  }

  /** Takes from a list, waiting up to `waitMs`. Throws SIGNALBOX_OVERLOADED when too many wait already. */
  async pop(
    list: string,
    end: 'left' | 'right',
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer | undefined> {
    if (this.#waiting >= this.#settings.maxBlocking)
      throw new SignalboxError('SIGNALBOX_OVERLOADED', `${this.#waiting} pops wait already (maxBlocking)`)
    this.#waiting++
    let link: OpenClient | undefined
    try {
      link = this.#idle.pop() ?? (await this.#open())
      this.#busy.add(link)
      const taken = await this.#wait(link, list, end, performance.now() + waitMs, signal)
      this.#idle.push(link)
      return taken
    } catch (error) {
      link?.close()
      throw error
    } finally {
      this.#waiting--
      if (link) this.#busy.delete(link)
    }
  }

  close(): void {
    for (const link of [...this.#idle, ...this.#busy]) link.close()
    this.#idle.length = 0
  }

  async #wait(
    link: OpenClient,
    list: string,
    end: 'left' | 'right',
    until: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer | undefined> {
    // Who has given up takes nothing: the link is cut.
    const cut = () => link.close()
    signal?.addEventListener('abort', cut, { once: true })
    try {
      for (;;) {
        const leftMs = until - performance.now()
        if (leftMs <= 0) return undefined
        const seconds = Math.min(leftMs, SLICE_MS) / 1000
        const { client } = link
        const reply = await (end === 'left'
          ? client.blpopBuffer(list, seconds)
          : client.brpopBuffer(list, seconds))
        if (reply !== null) return reply[1]
      }
    } finally {
      signal?.removeEventListener('abort', cut)
    }
  }

  async #open(): Promise<OpenClient> {
    const { keyPrefix } = this.#settings
    const use = { name: this.#name, blockMs: SLICE_MS, ...(keyPrefix !== '' && { keyPrefix }) }
    const link = await openClient(this.#settings, use, this.#signal)
    void link.lost.then(() => {
      const at = this.#idle.indexOf(link)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    return link
  }
}
