/** Link scenarios: back-pressure, windows and limits. */
import assert from 'node:assert/strict'
import { MAX_WAITING } from '../../core/actor/mailbox.ts'
import type { LinkScenario } from './link.ts'
import { echo, gated, spec } from './link-actors.ts'
import { turns, until, within } from './wait.ts'

export const flow: LinkScenario[] = [
  {
    name: 'a slow actor holds back its senders, while another on the same link keeps its pace',
    async run({ a, b }) {
      const slow = gated<number>({ mailboxCapacity: 8 })
      await b.spawn('service/slow', slow.spec)
      await b.spawn('service/fast', echo)
      let sent = 0
      const sending = (async () => {
        for (; sent < 30_000; sent++) await a.system.tell('service/slow', sent)
      })()
      await until(() => a.inspect().paused === 1, 'the address is paused')
      await turns(50)
      const held = sent
      assert.ok(held < 30_000, 'the sender is held back')
      for (let i = 0; i < 500; i++) assert.equal(await a.system.ask('service/fast', i), i)
      assert.equal(sent, held)
      slow.allow(1_000_000)
      await within(sending, 'the sender goes on')
      await until(() => slow.seen.length === 30_000, 'all have arrived')
      assert.deepEqual(slow.seen, [...slow.seen.keys()])
      await until(() => a.inspect().waiting === 0 && b.inspect().parked === 0, 'nothing waits')
    },
  },
  {
    name: 'never more messages are on their way than the window allows',
    options: { windowMessages: 100, windowBytes: 1_000_000 },
    async run({ a, b }) {
      const slow = gated<number>({ mailboxCapacity: 10 })
      const other = gated<number>({ mailboxCapacity: 10 })
      await b.spawn('service/slow', slow.spec)
      await b.spawn('service/other', other.spec)
      const tells = Array.from({ length: 2_000 }, (_, i) => [
        a.system.tell('service/slow', i),
        a.system.tell('service/other', i),
      ])
      let rounds = 0
      while (slow.seen.length < 2_000 || other.seen.length < 2_000) {
        assert.ok(rounds++ < 1_000_000)
        const { messagesInFlight } = a.inspect()
        assert.ok((messagesInFlight as number) <= 100, `${messagesInFlight} in flight`)
        assert.ok((b.inspect().parked as number) <= 200, `${b.inspect().parked} parked`)
        slow.allow(5)
        other.allow(3)
        await turns(1)
      }
      await Promise.all(tells.flat())
      assert.deepEqual(slow.seen, [...slow.seen.keys()])
      assert.deepEqual(other.seen, [...other.seen.keys()])
    },
  },
  {
    name: 'the window counts bytes as well',
    options: { windowMessages: 8_192, windowBytes: 100_000 },
    async run({ a, b }) {
      const slow = gated<Buffer>({ mailboxCapacity: 1 })
      await b.spawn('service/slow', slow.spec)
      const tells = Array.from({ length: 300 }, () => a.system.tell('service/slow', Buffer.alloc(10_000)))
      await turns(50)
      assert.ok((a.inspect().waiting as number) > 0, 'some wait')
      assert.ok((b.inspect().parkedBytes as number) < 3_000_000)
      slow.allow(300)
      await Promise.all(tells)
      await until(() => slow.seen.length === 300, 'all have arrived')
    },
  },
  {
    name: 'messages that never left give their credit back',
    options: { windowMessages: 4, windowBytes: 1_000_000 },
    async run({ a, b }) {
      const seen: unknown[] = []
      await b.spawn(
        'service/s',
        spec(n => void seen.push(n)),
      )
      for (let i = 0; i < 4; i++) void a.system.tell('service/s', () => {})
      for (let i = 0; i < 10; i++) void a.system.tell('service/s', i)
      await until(() => seen.length === 10, 'the others have arrived')
    },
  },
  {
    name: 'a flood that nobody awaits is refused past the limit, and nothing is lost before it',
    async run({ a, b }) {
      const slow = gated<number>({ mailboxCapacity: 8 })
      await b.spawn('service/slow', slow.spec)
      void a.system.tell('service/slow', 0)
      await until(() => slow.seen.length === 1, 'the first has arrived')
      const tells: unknown[] = []
      for (let i = 1; i <= MAX_WAITING + 20_000; i++) tells.push(a.system.tell('service/slow', i))
      const last = tells.at(-1) as Promise<void>
      await assert.rejects(last, { code: 'SIGNALBOX_LINK_SATURATED' })
      assert.ok(a.system.deadLetters > 0)
      slow.allow(1_000_000)
      const outcomes = await within(Promise.allSettled(tells), 'all are settled')
      const accepted = outcomes.filter(({ status }) => status === 'fulfilled').length
      await until(() => slow.seen.length === accepted + 1, 'all that were accepted have arrived')
      assert.equal(accepted + a.system.deadLetters, tells.length)
    },
  },
  {
    name: 'asks that were given up while they waited leave no trace',
    async run({ a, b }) {
      const slow = gated<string>({ mailboxCapacity: 2 })
      await b.spawn('service/slow', slow.spec)
      for (let i = 0; i < 5; i++) void a.system.tell('service/slow', 'before')
      await until(() => a.inspect().paused === 1, 'the address is paused')
      const asks = Array.from({ length: 1_000 }, () =>
        a.system.ask('service/slow', 'given up', { timeoutMs: 20 }),
      )
      for (const outcome of await Promise.allSettled(asks)) {
        assert.equal((outcome as PromiseRejectedResult).reason.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
      }
      assert.equal(a.inspect().waiting, 0)
      slow.allow(1_000)
      await a.system.ask('service/slow', 'after')
      assert.deepEqual(slow.seen, [...Array(5).fill('before'), 'after'])
    },
  },
  {
    name: 'a mailbox that rejects says so to the asker, with when to try again',
    async run({ a, b }) {
      const slow = gated({ mailboxCapacity: 2, overflow: 'reject' })
      await b.spawn('service/slow', slow.spec)
      const asks = Array.from({ length: 10 }, (_, i) => a.system.ask('service/slow', i))
      const outcomes = Promise.allSettled(asks)
      await until(() => b.system.deadLetters > 0, 'some are refused')
      slow.allow(100)
      const refused = (await outcomes).filter(
        ({ status }) => status === 'rejected',
      ) as PromiseRejectedResult[]
      assert.ok(refused.length >= 7 && refused.length < 10)
      for (const { reason } of refused) {
        assert.equal(reason.code, 'SIGNALBOX_MAILBOX_FULL')
        assert.equal(reason.retryAfterMs, 1000)
      }
    },
  },
  {
    name: 'a mailbox that drops the oldest keeps the newest',
    async run({ a, b }) {
      const slow = gated<number>({ mailboxCapacity: 2, overflow: 'dropOldest' })
      await b.spawn('service/slow', slow.spec)
      await a.system.tell('service/slow', 0)
      await until(() => slow.seen.length === 1, 'the first is handled')
      const dropped = a.system.ask('service/slow', 1)
      const outcome = assert.rejects(dropped, { code: 'SIGNALBOX_MAILBOX_DROPPED' })
      for (let i = 2; i < 10; i++) await a.system.tell('service/slow', i)
      await outcome
      await until(() => b.system.deadLetters === 7, 'the others are counted')
      slow.allow(100)
      await until(() => slow.seen.length === 3, 'the newest are handled')
      assert.deepEqual(slow.seen, [0, 8, 9])
    },
  },
]
