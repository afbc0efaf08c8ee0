/** What the tests of the net share: waiting for conditions, nets that remember what they saw, raw hostile peers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { Context, Dealer } from 'zeromq'
import { type Logger, silentLogger } from '../telemetry/log.ts'
import { type CurveKeys, makeCurveKeys, Net, type NetOptions, type PeerInfo } from './net.ts'
import { decodeKey, sharedSecret } from './net-keys.ts'
import { encodeHello, type Hello, PROTOCOL_VERSION } from './net-wire.ts'

/** Resolves when the condition holds; rejects after the deadline, naming what was waited for. */
export async function until(what: string, condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

export interface Seen {
  net: Net
  endpoint: string
  keys: CurveKeys
  frames: { from: PeerInfo; frames: Buffer[] }[]
  /** `b up`, `b down: reason`. */
  events: string[]
  warnings: Record<string, unknown>[]
}

/** Starts a net that remembers; it is closed after the test. */
export async function startNet(t: TestContext, nodeId: string, o: Partial<NetOptions> = {}): Promise<Seen> {
  const seen: Omit<Seen, 'net' | 'endpoint'> = {
    keys: o.keys ?? makeCurveKeys(),
    frames: [],
    events: [],
    warnings: [],
  }
  const net = new Net({
    nodeId,
    peers: [],
    clients: [],
    log: recordingLogger(seen.warnings),
    onFrames: (from, frames) => void seen.frames.push({ from, frames }),
    onPeer: (peer, state, reason) =>
      void seen.events.push(`${peer.id} ${state}${reason ? `: ${reason}` : ''}`),
    ...o,
    keys: seen.keys,
  })
  t.after(() => net.close())
  const { endpoint } = await net.start()
  return { net, endpoint, ...seen }
}

/** Two nets that list each other; `a` dials `b`. */
export async function startPair(t: TestContext, o: Partial<NetOptions> = {}): Promise<{ a: Seen; b: Seen }> {
  const [a, b] = [await startNet(t, 'a', o), await startNet(t, 'b', o)]
  b.net.setPeers([peerOf('a', a)], [])
  a.net.setPeers([peerOf('b', b)], [])
  await until('a and b are up', () => a.net.peers().length === 1 && b.net.peers().length === 1)
  return { a, b }
}

export function peerOf(
  nodeId: string,
  { endpoint, keys }: { endpoint: string; keys: { publicKey: string } },
) {
  return { nodeId, endpoint, publicKey: keys.publicKey }
}

export function recordingLogger(warnings: Record<string, unknown>[]): Logger {
  const keep = (level: string) => (data: object, message?: string) =>
    void warnings.push({ level, ...data, message })
  const log: Logger = { ...silentLogger, warn: keep('warn'), error: keep('error'), child: () => log }
  return log
}

/** A bare DEALER: with no keys at all it speaks no CURVE. `beforeConnect` can set up its monitor. */
export function rawDealer(
  t: TestContext,
  endpoint: string,
  serverKey?: string,
  keys?: CurveKeys,
  beforeConnect: (socket: Dealer) => void = () => {},
): Dealer {
  const socket = new Dealer({
    context: new Context({ blocky: false }),
    linger: 0,
    reconnectInterval: 10,
    ...(keys && {
      curveServerKey: serverKey!,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
    }),
  })
  beforeConnect(socket)
  socket.connect(endpoint)
  t.after(() => socket.close())
  return socket
}

/** Makes a hello, right unless told otherwise. */
export function helloOf(keys: CurveKeys, serverKey: string, id: string, o: Partial<Hello> = {}): Buffer {
  const receiver = decodeKey(serverKey, 'serverKey')
  const publicKey = decodeKey(keys.publicKey, 'publicKey')
  const hello: Hello = {
    version: PROTOCOL_VERSION,
    role: 'client',
    id,
    publicKey,
    maxFrameBytes: 1 << 20,
    ...o,
  }
  return encodeHello(hello, sharedSecret(keys.secretKey, receiver), receiver)
}

export interface Child {
  process: ChildProcess
  /** Parsed lines of standard output. */
  lines: Record<string, unknown>[]
  exit: Promise<number | null>
}

/** Runs net-test-peer.ts as a process of its own; it is killed after the test. */
export function startChild(t: TestContext, options: object): Child {
  const file = new URL('./net-test-peer.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [file, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines: Record<string, unknown>[] = []
  createInterface(child.stdout).on('line', line => lines.push(JSON.parse(line)))
  const exit = new Promise<number | null>(resolve => child.on('exit', resolve))
  t.after(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return { process: child, lines, exit }
}
