/** Writes answers at the pace of the client, and gives up on one that takes nothing. */
import type { ServerResponse } from 'node:http'
import type { Watchdog, Watched } from './watchdog.ts'

/** Bodies above this are written piece by piece, so that progress can be seen and memory stays flat. */
const ONE_WRITE_BYTES = 256 * 1024
const PIECE_BYTES = 64 * 1024

/** Cuts the connection of a client that takes nothing of an answer for `writeMs`. */
export class WriteGuard implements Watched {
  readonly #response: ServerResponse
  readonly #writeMs: number
  #pending = 0
  #sinceMs = -1

  constructor(response: ServerResponse, writeMs: number, watchdog: Watchdog) {
    this.#response = response
    this.#writeMs = writeMs
    watchdog.add(this)
    response.once('close', () => watchdog.delete(this))
  }

  check(nowMs: number): void {
    const pending = this.#response.socket?.writableLength ?? 0
    if (pending === 0 || pending !== this.#pending || this.#sinceMs < 0) {
      this.#pending = pending
      this.#sinceMs = nowMs
    } else if (nowMs - this.#sinceMs >= this.#writeMs) {
      this.#response.destroy()
    }
  }
}

/**
 * Ends an answer whose head is written. Small bodies leave in one write with the head; large ones in pieces.
 * Resolves when the client took all or went away; undefined when there is nothing to wait for.
 */
export function endWith(
  response: ServerResponse,
  body: string | Buffer,
  bytes: number,
  writeMs: number,
  watchdog: Watchdog,
): Promise<void> | undefined {
  if (bytes > ONE_WRITE_BYTES && response.req.method !== 'HEAD') {
    new WriteGuard(response, writeMs, watchdog)
    return writePieces(response, Buffer.isBuffer(body) ? body : Buffer.from(body))
  }
  response.end(body)
  if ((response.socket?.writableLength ?? 0) > 0) new WriteGuard(response, writeMs, watchdog)
  return undefined
}

async function writePieces(response: ServerResponse, body: Buffer): Promise<void> {
  for (let start = 0; start < body.length && !response.destroyed; start += PIECE_BYTES) {
    if (!response.write(body.subarray(start, start + PIECE_BYTES))) await drained(response)
  }
  response.end()
}

/** Resolves when more can be written or the client is gone. */
export function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed || !response.writableNeedDrain) return Promise.resolve()
  return new Promise(resolve => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
