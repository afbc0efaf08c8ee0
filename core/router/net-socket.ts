/** What all sockets of the net have in common. */
import { Context, type Dealer, type Router } from 'zeromq'
import type { Clock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { NAME } from './net-wire.ts'

/** Limits and times that are the same for every connection of a node or client. */
export interface LinkSettings {
  /** How often each side shows that it lives. */
  heartbeatMs: number
  /** A side that was silent for so long is down. */
  deadAfterMs: number
  /** Waiting messages per peer, beside the window that is on its way. */
  maxQueueBytes: number
  maxFrameBytes: number
  /** How long `close` waits for peers to take what was sent. */
  lingerMs: number
}

const DEFAULTS: LinkSettings = {
  heartbeatMs: 1000,
  deadAfterMs: 4000,
  maxQueueBytes: 64 * 1024 * 1024,
  maxFrameBytes: 64 * 1024 * 1024,
  lingerMs: 1000,
}

/** How long a TCP connection may take to prove its key. */
const HANDSHAKE_MS = 10_000
/** How long a closed socket goes on sending its last word in the background. */
export const LAST_WORD_MS = 200

/** Fills in defaults. Throws SIGNALBOX_OPTIONS_INVALID. */
export function linkSettings(given: Partial<LinkSettings>): LinkSettings {
  const settings = { ...DEFAULTS }
  for (const name of Object.keys(DEFAULTS) as (keyof LinkSettings)[]) {
    const value = given[name] ?? DEFAULTS[name]
    const least = name === 'lingerMs' ? 0 : 1
    if (!Number.isSafeInteger(value) || value < least || value > 0xffffffff) {
      throw invalid(`${name} must be an integer from ${least} to 4294967295, got ${value}`)
    }
    settings[name] = value
  }
  if (settings.deadAfterMs < 2 * settings.heartbeatMs) {
    throw invalid(`deadAfterMs must be at least twice heartbeatMs (${settings.heartbeatMs})`)
  }
  return settings
}

export function checkEndpoint(endpoint: string, name: string): void {
  const port = Number(/^tcp:\/\/(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})$/.exec(endpoint)?.[1])
  if (!(port > 0 && port < 65536)) throw invalid(`${name} must look like tcp://host:port, got '${endpoint}'`)
}

export function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message)
}

/** A context of its own: ZAP is served once for each context, and closing one net must not touch another. */
export function newContext(): Context {
  return new Context({ blocky: false, maxSockets: 4096 })
}

/**
 * No time to wait in `send` and no limit of messages inside: the session's window is the limit, so a send is done
 * or has failed when it returns, and two can never meet (EBUSY).
 */
export function socketOptions(settings: LinkSettings, address: string) {
  return {
    sendTimeout: 0,
    sendHighWaterMark: 0,
    receiveHighWaterMark: 1024,
    linger: 0,
    handshakeInterval: HANDSHAKE_MS,
    // The limit is on encrypted frames, which are a little longer.
    maxMessageSize: settings.maxFrameBytes + 256,
    ipv6: address.includes('['),
  }
}

/** Sends without waiting; `failed` is called later, never from within. */
export function post(
  socket: Dealer | Router,
  parts: readonly Uint8Array[],
  failed: (error: Error) => void,
): void {
  try {
    socket.send(parts as Uint8Array[]).catch(failed)
  } catch (error) {
    queueMicrotask(() => failed(error as Error))
  }
}

/** Closes a socket that may still have a last word to say. */
export function closeSoftly(socket: Dealer | Router): void {
  if (socket.closed) return
  socket.linger = LAST_WORD_MS
  socket.close()
}

/**
 * Calls `beat` every `heartbeatMs` with the time that has passed. The time is capped: when our own thread was
 * held up or stopped, the peers' signs of life still wait in the sockets, and nobody must be called dead for it.
 */
export function startBeat(clock: Clock, heartbeatMs: number, beat: (passedMs: number) => void): () => void {
  let last = clock.monotonic()
  let timer = clock.after(heartbeatMs, run)
  let stopped = false
  function run(): void {
    const now = clock.monotonic()
    const passed = Math.min(now - last, heartbeatMs * 1.5)
    last = now
    beat(passed)
    if (!stopped) timer = clock.after(heartbeatMs, run)
  }
  return () => {
    stopped = true
    timer.cancel()
  }
}

/** Whether a session that was silent for so long will be overdue before the next beat. */
export function isOverdue(silentMs: number, settings: LinkSettings): boolean {
  return silentMs > settings.deadAfterMs - settings.heartbeatMs
}

/** Resolves when all have resolved, or after the time. */
export async function waitAtMost(clock: Clock, ms: number, all: Promise<void>[]): Promise<void> {
  let stop = () => {}
  const late = new Promise<void>(resolve => {
    const timer = clock.after(ms, resolve)
    stop = () => timer.cancel()
  })
  await Promise.race([Promise.all(all), late])
  stop()
}

/** Checks a node id or client name. Throws SIGNALBOX_OPTIONS_INVALID. */
export function checkName(name: string, what: string): void {
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw invalid(`${what} must be 1 to 128 letters, digits, dots, dashes or underscores, got '${name}'`)
  }
}
