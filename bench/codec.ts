/** Encoding and decoding of batches of messages, beside msgpackr, JSON and v8.serialize. */
import v8 from 'node:v8'
import { Packr, Unpackr } from 'msgpackr'
import { Decoder, Encoder, type WireMessage } from '../core/router/codec.ts'
import { QUICK, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'

const MEASURE_MS = QUICK ? 5 : 150
const ROUNDS = QUICK ? 1 : 3
const BATCH_SIZES = [1, 16, 64, 256]

/** About 200 bytes of JSON. */
function smallOrder(i: number): Record<string, unknown> {
  return {
    id: 1_000 + i,
    customer: `C-${i % 977}`,
    currency: 'EUR',
    total: 1_234.5 + i,
    paid: i % 2 === 0,
    lines: [
      { sku: `A-${i}`, quantity: 2, price: 12.5 },
      { sku: 'B-17', quantity: 1, price: 99.95 },
    ],
    note: 'leave at the door',
    region: 'pl-mz',
  }
}

/** About 4 KiB of JSON. */
function largeOrder(i: number): Record<string, unknown> {
  const lines = Array.from({ length: 52 }, (_, n) => ({
    sku: `SKU-${n}-${i}`,
    quantity: n,
    price: n * 1.25,
    description: `item number ${n}`,
  }))
  return { ...smallOrder(i), lines }
}

interface Way {
  encode(): unknown
  decode(): unknown
  /** Makes the bodies for the next {@link CHUNK} calls of `decode`; not measured. */
  prepare?(): void
}

/** Calls between two looks at the clock. */
const CHUNK = 32

/** A body can be decoded once: the sequence numbers of a pair go on. */
function ours(batch: WireMessage[], selfContained: boolean): Way {
  const encoder = new Encoder({ selfContained })
  const source = new Encoder({ selfContained })
  const decoder = new Decoder()
  let bodies: Uint8Array[] = []
  let next = 0
  return {
    encode: () => encoder.encode(batch),
    decode: () => decoder.decode(bodies[next++]!),
    prepare: () => {
      next = 0
      bodies = Array.from({ length: CHUNK }, () => source.encode(batch).body)
    },
  }
}

/** With record structures that both ends share; the body is copied out of msgpackr's buffer, to be owned like ours. */
function msgpackr(batch: WireMessage[]): Way {
  const packr = new Packr({ structures: [], maxSharedStructures: 64, moreTypes: true })
  const body = Buffer.from(packr.pack(batch))
  const unpackr = new Unpackr({ structures: Reflect.get(packr, 'structures') as object[] })
  return { encode: () => new Uint8Array(packr.pack(batch)), decode: () => unpackr.unpack(body) }
}

function json(batch: WireMessage[]): Way {
  const body = Buffer.from(JSON.stringify(batch))
  return { encode: () => Buffer.from(JSON.stringify(batch)), decode: () => JSON.parse(body.toString()) }
}

function v8Serialize(batch: WireMessage[]): Way {
  const body = v8.serialize(batch)
  return { encode: () => v8.serialize(batch), decode: () => v8.deserialize(body) }
}

/** Calls per second. Only the calls are measured, not what prepares them. */
function rate(way: Way, step: 'encode' | 'decode'): number {
  let calls = 0
  let spentMs = 0
  while (spentMs < MEASURE_MS) {
    if (step === 'decode') way.prepare?.()
    const start = performance.now()
    for (let i = 0; i < CHUNK; i++) way[step]()
    spentMs += performance.now() - start
    calls += CHUNK
  }
  return (calls / spentMs) * 1_000
}

/** The median rate of each way, of rounds that alternate between them; the first round warms up. */
function rates(ways: Record<string, Way>, step: 'encode' | 'decode'): [string, number][] {
  const rounds = Array.from({ length: WARM_UPS + ROUNDS }, () =>
    Object.values(ways).map(way => rate(way, step)),
  )
  return Object.keys(ways).map((name, i) => {
    const sorted = rounds.slice(WARM_UPS).map(round => round[i]!)
    sorted.sort((a, b) => a - b)
    return [name, sorted[sorted.length >> 1]!]
  })
}

export async function run(): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  for (const [document, make] of Object.entries({ small: smallOrder, '4 KiB': largeOrder })) {
    for (const size of BATCH_SIZES) {
      const batch = Array.from({ length: size }, (_, i) => ['t', 123 + i, 'service/orders.create', make(i)])
      const ways: Record<string, Way> = {
        ours: ours(batch, false),
        'self-contained': ours(batch, true),
        msgpackr: msgpackr(batch),
        JSON: json(batch),
        'v8.serialize': v8Serialize(batch),
      }
      for (const step of ['encode', 'decode'] as const) rows.push(row(document, size, step, ways))
    }
  }
  return rows
}

function row(document: string, size: number, step: 'encode' | 'decode', ways: Record<string, Way>): BenchRow {
  const { ours: value, ...peers } = Object.fromEntries(
    rates(ways, step).map(([name, callsPerSecond]) => [name, Math.round(callsPerSecond * size)]),
  )
  return { name: `codec: ${step}, ${document}, batches of ${size}`, value: value!, unit: 'msg/s', peers }
}
