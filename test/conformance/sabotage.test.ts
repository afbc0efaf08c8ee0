/**
 * Whether the suite finds what it is there to find: each defect, built into the memory transport, must fail the
 * scenario that is about it, and that scenario must pass without the defect.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Channel, Connection, Inbound, Transport } from '../../core/transport.ts'

// Before the modules that read it: a defect often shows as something that does not happen in time.
process.env.SIGNALBOX_TEST_DEADLINE_MS = '250'
const { CHANNEL_CONTENT } = await import('./channel-content.ts')
const { CHANNEL_DELIVERY } = await import('./channel-delivery.ts')
const { CHANNEL_LIFE } = await import('./channel-life.ts')
const { CONNECTION_CONTENT, CONNECTION_LIFE, CONNECTION_TIME } = await import('./connection-scenarios.ts')
const { ChannelBench, ConnectionBench } = await import('./scenario.ts')
const { openChannelEndpoint, openConnectionEndpoint } = await import('../../transports/memory/harness.ts')
const { memory } = await import('../../transports/memory/index.ts')

type ChannelDefect = (inner: Channel) => Partial<Channel>
type ConnectionDefect = (inner: Connection) => Partial<Connection>

/** A defect in what the bus is given, or in when it is given. */
const inbound = (change: (message: Inbound) => Inbound): ChannelDefect => {
  return inner => ({ connect: receive => inner.connect(message => receive(change(message))) })
}

const leaked: NodeJS.Timeout[] = []
const never = () => new Promise<never>(() => {})

const CHANNEL_DEFECTS: Record<string, [scenario: string, defect: ChannelDefect]> = {
  'ping that always succeeds': ['open, ping, close', () => ({ ping: async () => {} })],
  'close that hangs': ['close twice', () => ({ close: never })],
  'close that waits for deliveries': [
    'close while a delivery is blocked',
    inner => ({ close: () => inner.drain().then(() => inner.close()) }),
  ],
  'a leaked timer': [
    'no handle stays open',
    inner => ({
      connect(receive) {
        leaked.push(setInterval(() => {}, 60_000))
        return inner.connect(receive)
      },
    }),
  ],
  'a body cut off': [
    'a body of 1 MiB',
    inbound(message => ({ ...message, payload: (message.payload as Buffer).subarray(0, 65_536) })),
  ],
  'a body read as text': [
    'a binary body',
    inbound(message => ({ ...message, payload: (message.payload as Buffer).toString() })),
  ],
  'lost headers': ['headers arrive', inbound(message => ({ ...message, headers: {} }))],
  'capital header names': [
    'headers arrive',
    inbound(message => ({ ...message, headers: { ...message.headers, 'X-Loud': '1' } })),
  ],
  'a lost correlation id': ['the correlation id', inbound(({ cid: _, ...message }) => message)],
  'lost order': [
    'order is kept',
    inner => {
      let turn = 0
      return {
        connect: receive =>
          inner.connect(async message => {
            if (turn++ % 2 === 0) await new Promise(resolve => setImmediate(resolve))
            return await receive(message)
          }),
      }
    },
  ],
  'delivery twice': [
    'delivered exactly once',
    inner => ({
      connect: receive =>
        inner.connect(async message => {
          await receive(message)
          return await receive(message)
        }),
    }),
  ],
  'an answer before success': [
    'answered after success',
    inner => ({
      connect: receive =>
        inner.connect(async message => {
          receive(message).catch(() => {})
          return { payload: message.payload, headers: {}, cid: message.cid! }
        }),
    }),
  ],
  'settlement whatever happened': [
    'delivered again until it succeeds',
    inner => ({
      connect: receive =>
        inner.connect(message =>
          receive(message).catch(() => ({ payload: '', headers: {}, cid: message.cid! })),
        ),
    }),
  ],
  'a failure kept from the sender': [
    'a failure that repetition does not mend',
    inner => ({
      connect: receive =>
        inner.connect(message =>
          receive(message).catch(() => ({ payload: '', headers: {}, cid: message.cid! })),
        ),
    }),
  ],
  'acknowledged before success, lost in a crash': [
    'through a crash of ours',
    inner => ({
      connect: receive =>
        inner.connect(async message => {
          receive(message).catch(() => {})
          return { payload: '', headers: {}, cid: message.cid! }
        }),
    }),
  ],
  'no signal': ['the signal of a message', inbound(({ signal: _, ...message }) => message)],
  'drain that does not wait': ['drain finishes', () => ({ drain: async () => {} })],
}

const CONNECTION_DEFECTS: Record<string, [scenario: string, defect: ConnectionDefect]> = {
  'ping that always succeeds': ['open, ping, close', () => ({ ping: async () => {} })],
  'close that leaves sends alone': ['close while a send is blocked', () => ({ close: async () => {} })],
  'ignored time limit': [
    'ends at its time limit',
    inner => ({ send: ({ timeoutMs: _, ...message }) => inner.send(message) }),
  ],
  'ignored signal': [
    'cancelled by its signal',
    inner => ({ send: ({ signal: _, ...message }) => inner.send(message) }),
  ],
  'a signal that was aborted before': [
    'cancelled before it began',
    inner => ({ send: ({ signal: _, ...message }) => inner.send(message) }),
  ],
  'lost headers': [
    'headers arrive',
    inner => ({ send: ({ headers: _, ...message }) => inner.send(message) }),
  ],
  'another correlation id': [
    'the correlation id',
    inner => ({ send: message => inner.send({ ...message, cid: 'x' }) }),
  ],
  'swapped answers': [
    'every send gets its own answer',
    inner => {
      let previous: ReturnType<Connection['send']> | undefined
      return {
        send(message) {
          const own = inner.send(message)
          const given = previous ?? own
          previous = own
          return given
        },
      }
    },
  ],
  'untyped errors': [
    'ends at its time limit',
    inner => ({
      send: message =>
        inner.send(message).catch(error => {
          throw new Error(error.message)
        }),
    }),
  ],
}

function channelWith(defect: ChannelDefect): Transport {
  const side = memory.channel!
  return {
    ...memory,
    channel: {
      ...side,
      create(options, context) {
        const inner = side.create(options as never, context)
        const plain: Channel = {
          connect: receive => inner.connect(receive),
          drain: () => inner.drain(),
          close: () => inner.close(),
          ping: () => inner.ping(),
          endpoint: () => inner.endpoint(),
        }
        return { ...plain, ...defect(inner) }
      },
    },
  }
}

function connectionWith(defect: ConnectionDefect): Transport {
  const side = memory.connection!
  return {
    ...memory,
    connection: {
      ...side,
      create(options, context) {
        const inner = side.create(options as never, context)
        const plain: Connection = {
          connect: () => inner.connect(),
          close: () => inner.close(),
          ping: () => inner.ping(),
          endpoint: () => inner.endpoint(),
          send: message => inner.send(message),
        }
        return { ...plain, ...defect(inner) }
      },
    },
  }
}

/** Takes whatever maxInFlight says for a hundred. */
function greedy(): Transport {
  const side = memory.channel!
  const create: typeof side.create = (options, context) =>
    side.create({ ...options, maxInFlight: 100 }, context)
  return { ...memory, channel: { ...side, create: create as NonNullable<Transport['channel']>['create'] } }
}

interface Runnable<B> {
  name: string
  run(bench: B): Promise<void>
}

/** Runs the one scenario whose name contains `part`; resolves with what it failed with, undefined if it passed. */
async function failureOf<B extends { close(): Promise<void> }>(
  scenarios: readonly Runnable<B>[],
  part: string,
  bench: B,
): Promise<unknown> {
  const found = scenarios.filter(scenario => scenario.name.includes(part))
  assert.equal(found.length, 1, `${found.length} scenarios contain "${part}"`)
  try {
    await found[0]!.run(bench)
    return undefined
  } catch (error) {
    return error
  } finally {
    // A defect may be in close itself; the memory transport leaves nothing behind.
    await bench.close().catch(() => {})
    for (const timer of leaked.splice(0)) clearInterval(timer)
  }
}

describe('the suite finds defects of channels', () => {
  const scenarios = [...CHANNEL_LIFE, ...CHANNEL_CONTENT, ...CHANNEL_DELIVERY]
  for (const [name, [part, defect]] of Object.entries(CHANNEL_DEFECTS)) {
    test(name, async () => {
      const healthy = new ChannelBench(
        channelWith(() => ({})),
        await openChannelEndpoint(),
      )
      assert.equal(await failureOf(scenarios, part, healthy), undefined, 'passes without the defect')
      const broken = new ChannelBench(channelWith(defect), await openChannelEndpoint())
      assert.notEqual(await failureOf(scenarios, part, broken), undefined, 'fails with the defect')
    })
  }
})

test('the suite finds a channel that ignores maxInFlight', async () => {
  const broken = new ChannelBench(greedy(), await openChannelEndpoint())
  const failure = await failureOf(CHANNEL_DELIVERY, 'never has more than maxInFlight', broken)
  assert.match(String(failure), /24 !== 4/)
})

describe('the suite finds defects of connections', () => {
  const scenarios = [...CONNECTION_LIFE, ...CONNECTION_CONTENT, ...CONNECTION_TIME]
  for (const [name, [part, defect]] of Object.entries(CONNECTION_DEFECTS)) {
    test(name, async () => {
      const healthy = new ConnectionBench(
        connectionWith(() => ({})),
        await openConnectionEndpoint(),
      )
      assert.equal(await failureOf(scenarios, part, healthy), undefined, 'passes without the defect')
      const broken = new ConnectionBench(connectionWith(defect), await openConnectionEndpoint())
      assert.notEqual(await failureOf(scenarios, part, broken), undefined, 'fails with the defect')
    })
  }
})
