/** Scenarios of what a channel carries: bodies, headers, answers, order. */
import assert from 'node:assert/strict'
import { SignalboxError } from '../../core/errors.ts'
import type { Capabilities } from '../../core/transport.ts'
import { assertBytes, assertHeaders, BODIES, bytesOf, HEADERS, Inbox, text } from './messages.ts'
import type { ChannelBench, Scenario } from './scenario.ts'
import { within } from './wait.ts'

/** How many messages the order and concurrency scenarios send. */
const MANY = 100

export const withoutReply = (c: Capabilities) =>
  c.requestReply ? undefined : 'capabilities.requestReply is false'

export const CHANNEL_CONTENT: readonly Scenario<ChannelBench>[] = [
  ...BODIES.map(
    ({ name, payload }): Scenario<ChannelBench> => ({
      name: `channel: ${name} arrives, and comes back as an answer`,
      without: c =>
        c.maxBytes !== undefined && payload.length > c.maxBytes
          ? 'larger than capabilities.maxBytes'
          : undefined,
      async run(bench) {
        const inbox = new Inbox(message => bytesOf(message.payload))
        const { instance } = await bench.open(inbox.receive)
        const answer = await within(bench.send({ payload, headers: {} }, instance), name)
        await inbox.until(1)
        assertBytes(inbox.deliveries[0]!.payload, payload, 'received')
        if (bench.transport.capabilities.requestReply) assertBytes(answer?.payload, payload, 'answered')
      },
    }),
  ),
  {
    name: 'channel: headers arrive, with names in lower case',
    without: c => (c.headers ? undefined : 'capabilities.headers is false'),
    async run(bench) {
      const inbox = new Inbox()
      const { instance } = await bench.open(inbox.receive)
      const answer = await within(bench.send(text('with headers', HEADERS), instance), 'a message')
      await inbox.until(1)
      const { headers } = inbox.deliveries[0]!
      assertHeaders(headers, HEADERS)
      for (const name of Object.keys(headers)) assert.equal(name, name.toLowerCase())
      if (bench.transport.capabilities.requestReply) assertHeaders(answer!.headers, { 'x-answer': 'yes' })
    },
  },
  {
    name: 'channel: the correlation id of the sender arrives',
    without: c => (c.headers ? undefined : 'capabilities.headers is false'),
    async run(bench) {
      const inbox = new Inbox()
      const { instance } = await bench.open(inbox.receive)
      await within(bench.send({ ...text('with cid'), cid: 'cid-4711' }, instance), 'a message')
      await inbox.until(1)
      assert.equal(inbox.deliveries[0]!.cid, 'cid-4711')
    },
  },
  {
    name: 'channel: order is kept',
    without: c => (c.ordered ? undefined : 'capabilities.ordered is false'),
    async run(bench) {
      const inbox = new Inbox()
      const { instance } = await bench.open(inbox.receive)
      const sent = Array.from({ length: MANY }, (_, i) => `message ${i}`)
      await within(Promise.all(sent.map(one => bench.send(text(one), instance))), 'all messages')
      await inbox.until(MANY)
      assert.deepEqual(inbox.texts, sent)
    },
  },
  {
    name: 'channel: every sender gets its own answer',
    without: withoutReply,
    async run(bench) {
      const inbox = new Inbox(message => Buffer.from(`answer to ${bytesOf(message.payload)}`))
      const { instance } = await bench.open(inbox.receive)
      const asked = Array.from({ length: MANY }, (_, i) => `question ${i}`)
      const answers = await within(
        Promise.all(asked.map(one => bench.send(text(one), instance))),
        'all answers',
      )
      assert.deepEqual(
        answers.map(answer => answer!.payload.toString()),
        asked.map(one => `answer to ${one}`),
      )
    },
  },
  {
    name: 'channel: a failure that repetition does not mend reaches the sender, once; the next message is handled',
    async run(bench) {
      const inbox = new Inbox((message, delivery) => {
        if (delivery === 1) throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'not like this')
        return message.payload
      })
      const { instance } = await bench.open(inbox.receive)
      const refused = bench.send(text('bad'), instance)
      await inbox.until(1)
      if (bench.transport.capabilities.requestReply) await assert.rejects(within(refused, 'the refusal'))
      await within(bench.send(text('good'), instance), 'the next message')
      await inbox.until(2)
      assert.deepEqual(inbox.texts, ['bad', 'good'])
    },
  },
]
