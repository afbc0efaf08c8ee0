/** Messages that the suite sends, and a receiver that remembers what it got. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Inbound, Outbound, Receive } from '../../core/transport.ts'
import type { TestMessage } from './harness.ts'
import { until } from './wait.ts'

/** A message whose payload is text. */
export function text(payload: string, headers: Record<string, string> = {}): TestMessage {
  return { payload: Buffer.from(payload), headers }
}

/** Bodies that have broken transports before. */
export const BODIES: readonly { name: string; payload: Buffer }[] = [
  { name: 'an empty body', payload: Buffer.alloc(0) },
  { name: 'a binary body', payload: Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256)) },
  { name: 'line ends and terminators', payload: Buffer.from('.\r\n.\r\n\n\0\x1a\x1c\r\0\r\n--\r\n') },
  { name: 'a body of 1 MiB', payload: noise(1 << 20) },
]

/** Headers that are legal everywhere and look like syntax somewhere. */
export const HEADERS: Readonly<Record<string, string>> = {
  'x-plain': 'value',
  'x-syntax': 'a=b; c="d", e: f & <g> {h} %20 \\ /',
  'x-number': '0012',
}

/** Bytes that do not compress and are the same in each run. */
function noise(bytes: number): Buffer {
  const blocks: Buffer[] = []
  for (let i = 0; i * 64 < bytes; i++) blocks.push(createHash('sha512').update(String(i)).digest())
  return Buffer.concat(blocks, bytes)
}

/** The bytes of a payload, however the transport gave it. */
export function bytesOf(payload: unknown): Buffer {
  if (payload === undefined || payload === null) return Buffer.alloc(0)
  if (typeof payload === 'string') return Buffer.from(payload)
  assert.ok(payload instanceof Uint8Array, `payload must be bytes or text, was ${typeof payload}`)
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
}

/** Asserts equal bytes without printing a megabyte. */
export function assertBytes(actual: unknown, expected: Buffer, what: string): void {
  const bytes = bytesOf(actual)
  assert.equal(bytes.length, expected.length, `${what}: length`)
  assert.ok(bytes.equals(expected), `${what}: bytes differ`)
}

/** Asserts that all expected headers came, whatever else the protocol added. */
export function assertHeaders(actual: Record<string, string>, expected: Record<string, string>): void {
  const found = Object.fromEntries(Object.keys(expected).map(name => [name, actual[name]]))
  assert.deepEqual(found, expected)
}

/** The receiving end of a channel: remembers each delivery and settles it as the scenario says. */
export class Inbox {
  readonly deliveries: Inbound[] = []
  /** Deliveries under way, and the most there ever were at once. */
  active = 0
  mostActive = 0
  readonly #behave: (message: Inbound, delivery: number) => Promise<unknown> | unknown

  /** `behave` returns the payload of the answer, or throws. Default: echo. */
  constructor(behave: (message: Inbound, delivery: number) => Promise<unknown> | unknown = echo) {
    this.#behave = behave
  }

  readonly receive: Receive = async (message): Promise<Outbound> => {
    this.deliveries.push(message)
    this.active++
    this.mostActive = Math.max(this.mostActive, this.active)
    try {
      const payload = await this.#behave(message, this.deliveries.length)
      return { payload, headers: { 'x-answer': 'yes' }, cid: message.cid ?? 'conformance' }
    } finally {
      this.active--
    }
  }

  /** Payloads as text, in order of delivery. */
  get texts(): string[] {
    return this.deliveries.map(message => bytesOf(message.payload).toString())
  }

  async until(count: number): Promise<void> {
    await until(
      () => this.deliveries.length >= count,
      `${count} deliveries (there were ${this.deliveries.length})`,
    )
  }
}

function echo(message: Inbound): unknown {
  return message.payload
}
