/** Scenarios of a channel's life: open, ping, close in every state, lost peers, bad options. */
import assert from 'node:assert/strict'
import { SignalboxError } from '../../core/errors.ts'
import { leavesNoHandle } from './handles.ts'
import { Inbox, text } from './messages.ts'
import { type ChannelBench, rejection, type Scenario, skip } from './scenario.ts'
import { deferred, turns, until, within } from './wait.ts'

export const CHANNEL_LIFE: readonly Scenario<ChannelBench>[] = [
  {
    name: 'channel: open, ping, close',
    async run(bench) {
      const { instance } = await bench.open(new Inbox().receive)
      await within(instance.ping(), 'ping of an open channel')
      assert.ok(instance.endpoint().length > 0, 'endpoint() says where it listens or polls')
      await within(instance.close(), 'close')
      await rejection(instance.ping(), 'ping of a closed channel')
    },
  },
  {
    name: 'channel: ping before connect is rejected',
    async run(bench) {
      await rejection(bench.make().instance.ping(), 'ping of a channel that was never opened')
    },
  },
  {
    name: 'channel: close twice, one after the other and at once',
    async run(bench) {
      const first = (await bench.open(new Inbox().receive)).instance
      await within(first.close(), 'first close')
      await within(first.close(), 'second close')
      const second = (await bench.open(new Inbox().receive)).instance
      await within(Promise.all([second.close(), second.close(), second.close()]), 'three closes at once')
    },
  },
  {
    name: 'channel: close before connect',
    async run(bench) {
      await within(bench.make().instance.close(), 'close of a channel that was never opened')
    },
  },
  {
    name: 'channel: close while connecting',
    async run(bench) {
      const { instance } = bench.make()
      const connecting = instance.connect(new Inbox().receive)
      const outcome = connecting.then(
        () => undefined,
        (error: unknown) => error,
      )
      await within(instance.close(), 'close while connecting')
      const error = await within(outcome, 'connect settles after close')
      assert.ok(error === undefined || error instanceof SignalboxError, 'connect resolves or rejects typed')
      await rejection(instance.ping(), 'ping after close')
    },
  },
  {
    name: 'channel: close while a delivery is blocked',
    async run(bench) {
      const gate = deferred()
      const inbox = new Inbox(() => gate.promise)
      const { instance } = await bench.open(inbox.receive)
      void bench.send(text('blocked'), instance)
      await inbox.until(1)
      await within(instance.close(), 'close while a delivery is blocked')
      gate.resolve()
      await turns()
      assert.equal(inbox.deliveries.length, 1)
    },
  },
  {
    name: 'channel: reopen on the same endpoint',
    async run(bench) {
      for (const round of ['first', 'second', 'third']) {
        const inbox = new Inbox()
        const { instance } = await bench.open(inbox.receive)
        await within(bench.send(text(round), instance), `message of the ${round} round`)
        await inbox.until(1)
        assert.deepEqual(inbox.texts, [round])
        await within(instance.close(), 'close')
      }
    },
  },
  {
    name: 'channel: ping fails and lost() is called when the peer goes; a new instance works when it is back',
    async run(bench) {
      const { peer } = bench.endpoint
      if (!peer) skip('the channel has no server behind it that could go away')
      const first = await bench.open(new Inbox().receive)
      await peer.stop()
      await until(() => first.lost.length > 0, 'lost() is called')
      await rejection(first.instance.ping(), 'ping without a peer')
      await within(first.instance.close(), 'close without a peer')
      const failed = await rejection(bench.open(new Inbox().receive), 'connect without a peer')
      assert.equal(failed.retryable, true, 'a missing server is worth another try')
      await peer.start()
      const inbox = new Inbox()
      const { instance } = await bench.open(inbox.receive)
      await within(bench.send(text('again'), instance), 'a message after the return')
      await inbox.until(1)
    },
  },
  {
    name: 'channel: bad credentials are refused for good',
    async run(bench) {
      const { badCredentials } = bench.endpoint
      if (!badCredentials) skip('the channel presents no credentials to a server')
      const { instance } = bench.make(badCredentials)
      const code = 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS'
      const error = await rejection(
        instance.connect(new Inbox().receive),
        'connect with bad credentials',
        code,
      )
      assert.equal(error.retryable, false)
    },
  },
  {
    name: 'channel: a certificate that does not verify is refused',
    async run(bench) {
      const { badCertificate } = bench.endpoint
      if (!badCertificate) skip('the channel verifies no server certificate')
      const { instance } = bench.make(badCertificate)
      const connecting = instance.connect(new Inbox().receive)
      await rejection(connecting, 'connect to an unverified server', 'SIGNALBOX_TLS_UNVERIFIED')
    },
  },
  {
    name: 'channel: no handle stays open',
    async run(bench) {
      const inbox = new Inbox()
      await leavesNoHandle(async () => {
        const { instance } = await bench.open(inbox.receive)
        await within(bench.send(text('one'), instance), 'a message')
        await inbox.until(1)
        await within(instance.drain(), 'drain')
        await bench.close()
      })
    },
  },
]
