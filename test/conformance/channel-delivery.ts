/** Scenarios of settlement: once, after success only, again after failure, through crashes, within limits. */
import assert from 'node:assert/strict'
import { SignalboxError } from '../../core/errors.ts'
import type { Capabilities, Channel, Inbound } from '../../core/transport.ts'
import { withoutReply } from './channel-content.ts'
import { bytesOf, Inbox, text } from './messages.ts'
import { type ChannelBench, type Scenario, skip } from './scenario.ts'
import { deferred, turns, until, within } from './wait.ts'

const withoutAcknowledgement = (c: Capabilities) =>
  c.acknowledges ? undefined : 'capabilities.acknowledges is false'

export const CHANNEL_DELIVERY: readonly Scenario<ChannelBench>[] = [
  {
    name: 'channel: a message that succeeded is delivered exactly once',
    async run(bench) {
      const inbox = new Inbox()
      const { instance } = await bench.open(inbox.receive)
      const sent = Array.from({ length: 20 }, (_, i) => `message ${i}`)
      await within(Promise.all(sent.map(one => bench.send(text(one), instance))), 'all messages')
      await inbox.until(sent.length)
      await within(instance.drain(), 'drain')
      await turns()
      assert.deepEqual(inbox.texts.toSorted(), sent.toSorted())
    },
  },
  {
    name: 'channel: the sender is answered after success, not before',
    without: withoutReply,
    async run(bench) {
      const gate = deferred()
      const inbox = new Inbox(() => gate.promise)
      const { instance } = await bench.open(inbox.receive)
      let answered = false
      const sent = bench.send(text('slow'), instance).then(() => {
        answered = true
      })
      await inbox.until(1)
      await turns()
      assert.equal(answered, false)
      gate.resolve()
      await within(sent, 'the answer')
    },
  },
  {
    name: 'channel: the source keeps a message until it succeeded',
    without: withoutAcknowledgement,
    async run(bench) {
      const unsettled = bench.endpoint.unsettled?.bind(bench.endpoint)
      if (!unsettled) skip('the source cannot tell how many messages it keeps')
      const gate = deferred()
      const inbox = new Inbox(() => gate.promise)
      const { instance } = await bench.open(inbox.receive)
      void bench.send(text('kept'), instance)
      await inbox.until(1)
      await turns()
      assert.equal(await unsettled(), 1)
      gate.resolve()
      await until(async () => (await unsettled()) === 0, 'the source let go of the message')
    },
  },
  {
    name: 'channel: a message that failed is delivered again until it succeeds',
    without: withoutAcknowledgement,
    async run(bench) {
      const inbox = new Inbox((message, delivery) => {
        if (delivery < 3) throw new SignalboxError('SIGNALBOX_OVERLOADED', 'try again', { retryAfterMs: 1 })
        return message.payload
      })
      const { instance } = await bench.open(inbox.receive)
      const sent = bench.send(text('again'), instance)
      await inbox.until(3)
      await within(sent, 'success in the end')
      await within(instance.drain(), 'drain')
      assert.deepEqual(inbox.texts, ['again', 'again', 'again'])
    },
  },
  {
    name: 'channel: at least once through a crash of ours',
    without: withoutAcknowledgement,
    async run(bench) {
      const succeeded = new Set<string>()
      const sent = Array.from({ length: 10 }, (_, i) => `message ${i}`)
      const crashed = deferred()
      const first = new Inbox((message, delivery) =>
        delivery <= 4 ? note(succeeded, message) : crashed.promise,
      )
      const { instance } = await bench.open(first.receive, { maxInFlight: 3 })
      const outcomes = sent.map(one => bench.send(text(one), instance))
      await until(() => first.active === 3, 'deliveries are under way')
      await within(instance.close(), 'the crash')
      crashed.reject(new SignalboxError('SIGNALBOX_WORKER_LOST'))
      await bench.open(new Inbox(message => note(succeeded, message)).receive)
      await until(() => succeeded.size === sent.length, 'every message succeeded')
      await within(Promise.allSettled(outcomes), 'every sender knows')
    },
  },
  {
    name: 'channel: at least once through a crash of the server',
    without: c =>
      withoutAcknowledgement(c) ?? (c.persistent ? undefined : 'capabilities.persistent is false'),
    async run(bench) {
      const { peer } = bench.endpoint
      if (!peer) skip('there is no server that could crash')
      const gate = deferred()
      const blocked = new Inbox(() => gate.promise)
      const first = await bench.open(blocked.receive, { maxInFlight: 2 })
      const sent = Array.from({ length: 6 }, (_, i) => `message ${i}`)
      const accepted = sent.map(one => bench.send(text(one), first.instance))
      if (bench.transport.capabilities.requestReply) {
        // Nobody is answered yet; that the source has all messages shows only there.
        const unsettled = bench.endpoint.unsettled?.bind(bench.endpoint)
        if (!unsettled) skip('the source cannot tell how many messages it keeps')
        await until(async () => (await unsettled()) === sent.length, 'all accepted')
      } else await within(Promise.all(accepted), 'all accepted')
      await blocked.until(2)
      await peer.stop()
      await within(first.instance.close(), 'close')
      gate.reject(new SignalboxError('SIGNALBOX_WORKER_LOST'))
      await peer.start()
      const succeeded = new Set<string>()
      await bench.open(new Inbox(message => note(succeeded, message)).receive)
      await until(() => succeeded.size === sent.length, 'every message succeeded')
    },
  },
  {
    name: 'channel: a slow consumer never has more than maxInFlight messages',
    async run(bench) {
      const maxInFlight = 4
      const gate = deferred()
      const inbox = new Inbox(async message => {
        await gate.promise
        return message.payload
      })
      const { instance } = await bench.open(inbox.receive, { maxInFlight })
      const sent = Promise.all(
        Array.from({ length: 24 }, (_, i) => untilTaken(bench, `message ${i}`, instance)),
      )
      sent.catch(() => {}) // awaited below, unless the scenario fails before
      await until(() => inbox.active >= maxInFlight, 'the limit is reached')
      await turns(50)
      assert.equal(inbox.active, maxInFlight)
      gate.resolve()
      await within(sent, 'all messages in the end')
      await until(() => new Set(inbox.texts).size === 24, 'all messages were delivered')
      assert.equal(inbox.mostActive, maxInFlight)
    },
  },
  {
    name: 'channel: a timeout in the bus reaches the sender',
    without: withoutReply,
    async run(bench) {
      const inbox = new Inbox(() => {
        throw new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', 'too slow', { retryable: false })
      })
      const { instance } = await bench.open(inbox.receive)
      await assert.rejects(within(bench.send(text('late'), instance), 'the timeout'))
      assert.equal(inbox.deliveries.length, 1)
    },
  },
  {
    name: 'channel: the signal of a message is aborted when its sender gives up',
    without: withoutReply,
    async run(bench) {
      const gate = deferred()
      const inbox = new Inbox(() => gate.promise)
      const { instance } = await bench.open(inbox.receive)
      const caller = new AbortController()
      const sent = bench.send({ ...text('never mind'), signal: caller.signal }, instance)
      await inbox.until(1)
      const { signal } = inbox.deliveries[0]!
      assert.ok(signal, 'a delivery of a request/reply transport carries a signal')
      assert.equal(signal.aborted, false)
      caller.abort()
      await until(() => signal.aborted, 'the signal is aborted')
      await assert.rejects(within(sent, 'the sender stops waiting'))
      gate.resolve()
    },
  },
  {
    name: 'channel: drain finishes what is in flight and takes nothing new',
    async run(bench) {
      const gate = deferred()
      const inbox = new Inbox(async message => {
        await gate.promise
        return message.payload
      })
      const { instance } = await bench.open(inbox.receive)
      const inFlight = bench.send(text('in flight'), instance)
      await inbox.until(1)
      let drained = false
      const draining = instance.drain().then(() => {
        drained = true
      })
      void bench.send(text('too late'), instance)
      await turns(50)
      assert.equal(drained, false, 'drain waits for the delivery')
      gate.resolve()
      await within(draining, 'drain')
      await within(inFlight, 'the message in flight')
      await turns()
      assert.deepEqual(inbox.texts, ['in flight'])
    },
  },
]

function note(succeeded: Set<string>, message: Inbound): undefined {
  succeeded.add(bytesOf(message.payload).toString())
}

/** Sends until the channel takes the message: a full channel may refuse (HTTP 503) instead of letting wait. */
async function untilTaken(bench: ChannelBench, payload: string, channel: Channel): Promise<void> {
  await until(async () => {
    try {
      await bench.send(text(payload), channel)
      return true
    } catch {
      return false
    }
  }, `${payload} is taken`)
}
