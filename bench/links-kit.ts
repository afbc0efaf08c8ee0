/** What both sides of the link benchmarks share. */
import type { Envelope } from '../core/actor/envelope.ts'
import { ActorSystem } from '../core/actor/system.ts'

/** About 200 bytes of JSON. */
export const SMALL = {
  id: 'b1946ac9-2492-4d23-a8e1-6f1b0c3d7e55',
  customer: 'ACME Trading GmbH',
  currency: 'EUR',
  total: 1234.5,
  express: true,
  placedAt: '2026-11-25T09:30:00Z',
  lines: [{ sku: 'A-100', quantity: 2, price: 617.25 }],
}

/** About 4 KiB of JSON. */
export const LARGE = {
  ...SMALL,
  lines: Array.from({ length: 64 }, (_, i) => ({ ...SMALL.lines[0], sku: `A-${i}`, note: 'as agreed' })),
}

/** A system with an actor that echoes, and one that counts tells and answers when all have come. */
export function benchSystem(): ActorSystem {
  const system = new ActorSystem()
  system.spawn('service/echo', { behaviour: () => ({ receive: payload => payload }) })
  system.spawn('service/sink', {
    concurrency: 2,
    mailboxCapacity: 65_536,
    behaviour: () => {
      let left = 0
      let asked: Envelope | undefined
      const look = () => {
        if (left === 0) asked?.resolve('done')
      }
      return {
        receive(payload, envelope) {
          if (typeof payload !== 'number') left--
          else {
            left += payload
            asked = envelope
            if (left !== 0) return new Promise(() => {})
          }
          return look()
        },
      }
    },
  })
  return system
}

/** Messages a second. */
export async function rate(count: number, run: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await run()
  return (count / (performance.now() - start)) * 1000
}

/** Keeps `width` calls under way until `count` are done. */
export async function inFlight(count: number, width: number, call: () => Promise<unknown>): Promise<void> {
  let left = count
  const one = async () => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: width }, one))
}

/** Milliseconds of `count` calls, one after the other, sorted. */
export async function latencies(count: number, call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    await call()
    times.push(performance.now() - start)
  }
  return times.sort((a, b) => a - b)
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

/** Tells `count` messages, as a service that awaits does, and waits until all were handled. */
export async function tellAll(system: ActorSystem, count: number, payload: object): Promise<void> {
  for (let i = 0; i < count; i++) {
    const waiting = system.tell('service/sink', payload)
    if (waiting) await waiting
    // As many come in one turn of the event loop at most.
    else if (i % 256 === 255) await null
  }
  await system.ask('service/sink', count)
}
