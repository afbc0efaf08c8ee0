import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AbortSource } from '../../core/abort.ts'
import { TestClock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, Receive, TransportContext } from '../../core/transport.ts'
import { deferred, turns, within } from '../../test/conformance/wait.ts'
import { MemoryChannel } from './channel.ts'
import { MemoryConnection } from './connection.ts'
import { channelOptions, connectionOptions } from './options.ts'
import { queueSize } from './queue.ts'

const clock = new TestClock()
const context: TransportContext = {
  name: 'test',
  log: silentLogger,
  clock,
  signal: new AbortController().signal,
  lost: () => {},
}
const answer = { payload: 'ok', headers: {}, cid: 'c' }

async function connection(options: Record<string, unknown>) {
  const made = new MemoryConnection(parseOptions(connectionOptions, options, 'connection'), context)
  await made.connect()
  return made
}

async function channel(receive: Receive, options: Record<string, unknown>) {
  const made = new MemoryChannel(parseOptions(channelOptions, options, 'channel'), context)
  await made.connect(receive)
  return made
}

test('a full queue holds senders back, in order', async () => {
  const sender = await connection({ queue: 'full', reply: false, maxQueued: 2 })
  const taken: number[] = []
  const sends = [1, 2, 3, 4].map(async payload => {
    await sender.send({ payload })
    taken.push(payload)
  })
  await turns()
  assert.deepEqual(taken, [1, 2])
  const received: unknown[] = []
  const receiver = await channel(
    async message => {
      received.push(message.payload)
      return answer
    },
    { queue: 'full', maxInFlight: 1 },
  )
  await within(Promise.all(sends), 'all are taken')
  await receiver.drain()
  await receiver.close()
  await sender.close()
  assert.deepEqual(received.slice(0, 3), [1, 2, 3])
})

test('a retryable failure is delivered again after its delay, with the attempt, until the limit', async () => {
  const attempts: unknown[] = []
  const receiver = await channel(
    async (message: Inbound) => {
      attempts.push(message.attributes.attempt)
      throw new SignalboxError('SIGNALBOX_OVERLOADED')
    },
    { queue: 'retry', maxAttempts: 3, redeliveryDelayMs: 500 },
  )
  const sender = await connection({ queue: 'retry' })
  const sent = sender.send({ payload: 1 })
  sent.catch(() => {})
  for (const expected of [[1], [1, 2], [1, 2, 3]]) {
    await turns()
    assert.deepEqual(attempts, expected)
    clock.advance(499)
    await turns()
    assert.deepEqual(attempts, expected, 'not before the delay')
    clock.advance(1)
  }
  await assert.rejects(within(sent, 'the last failure'), { code: 'SIGNALBOX_OVERLOADED' })
  await receiver.close()
  await sender.close()
  assert.equal(queueSize('retry'), 0)
})

test('a send past its deadline leaves the queue, and its delivery is told', async () => {
  const gate = deferred()
  const signals: AbortSource[] = []
  const sender = await connection({ queue: 'late', timeoutMs: 1000 })
  const receiver = await channel(
    async message => {
      signals.push(message.signal!)
      await gate.promise
      return answer
    },
    { queue: 'late', maxInFlight: 1 },
  )
  const sends = [sender.send({ payload: 'under way' }), sender.send({ payload: 'waiting', timeoutMs: 400 })]
  for (const sent of sends) sent.catch(() => {})
  clock.advance(400)
  await assert.rejects(sends[1]!, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  assert.equal(queueSize('late'), 1)
  clock.advance(600)
  await assert.rejects(sends[0]!, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  assert.equal(signals[0]!.aborted, true)
  gate.resolve()
  await receiver.drain()
  assert.equal(signals.length, 1, 'the message that left the queue is never delivered')
  await receiver.close()
  await sender.close()
})

test('channels on one queue take turns', async () => {
  const shares = [0, 0]
  const receivers = await Promise.all(
    shares.map((_, i) =>
      channel(
        async () => {
          shares[i]!++
          return answer
        },
        { queue: 'shared' },
      ),
    ),
  )
  const sender = await connection({ queue: 'shared' })
  await Promise.all(Array.from({ length: 10 }, () => sender.send({ payload: 1 })))
  assert.deepEqual(shares, [5, 5])
  await Promise.all([...receivers, sender].map(one => one.close()))
})

test('messages that were taken survive until a channel comes; an empty queue is forgotten', async () => {
  const sender = await connection({ queue: 'kept', reply: false })
  await sender.send({ payload: 'kept' })
  await sender.close()
  assert.equal(queueSize('kept'), 1)
  const payloads: unknown[] = []
  const receiver = await channel(
    async message => {
      payloads.push(message.payload)
      return answer
    },
    { queue: 'kept' },
  )
  await receiver.drain()
  await receiver.close()
  assert.deepEqual(payloads, ['kept'])
  assert.equal(queueSize('kept'), 0)
})
