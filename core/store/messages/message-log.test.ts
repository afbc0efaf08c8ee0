import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TestClock } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import { SimulatedDisk, SimulatedJournal } from './journal-test-kit.ts'
import type { LogSettings, NewMessage } from './message.ts'
import { MessageLog } from './message-log.ts'

const text = (content: string, more: Partial<NewMessage> = {}): NewMessage => ({
  content: Buffer.from(content),
  ...more,
})

interface Bench {
  log: MessageLog
  clock: TestClock
  disk: SimulatedDisk
  errors: SignalboxError[]
  reopen(settings?: Partial<LogSettings>): Promise<MessageLog>
}

async function queue(settings: Partial<LogSettings> = {}, segmentBytes?: number): Promise<Bench> {
  const clock = new TestClock(1_000_000)
  const disk = new SimulatedDisk()
  const errors: SignalboxError[] = []
  const open = (given: Partial<LogSettings>) =>
    MessageLog.open({
      journal: new SimulatedJournal(disk, journal => setImmediate(() => journal.step()), segmentBytes),
      settings: given,
      clock,
      random: () => 0,
      onError: error => errors.push(error),
    })
  const log = await open(settings)
  const bench: Bench = {
    log,
    clock,
    disk,
    errors,
    reopen: async (given = settings) => {
      bench.log = await open(given)
      return bench.log
    },
  }
  await log.subscribe('q')
  return bench
}

const take = async (log: MessageLog, max = 100, sub = 'q', consumer = '') =>
  (await log.take(sub, max, consumer)).map(({ message, attempt, lease }) => ({
    seq: message.seq,
    content: message.content.toString(),
    attempt,
    lease,
  }))
const contents = async (log: MessageLog, max = 100, sub = 'q') =>
  (await take(log, max, sub)).map(({ content }) => content)
const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SignalboxError)
  assert.equal(error.code, expected)
  return true
}
const failure = { code: 'SIGNALBOX_SERVICE_FAILED', message: 'no' }

describe('a message log', () => {
  it('delivers in order, and no more once settled', async () => {
    const { log, reopen } = await queue()
    await log.publish([text('a'), text('b')])
    await log.publish([text('c')])
    const taken = await take(log)
    assert.deepEqual(
      taken.map(({ content, attempt }) => [content, attempt]),
      [
        ['a', 1],
        ['b', 1],
        ['c', 1],
      ],
    )
    assert.deepEqual(await take(log), [])
    assert.deepEqual(await log.settle('q', taken), [])
    assert.equal(log.counts().messages, 0)
    const again = await reopen()
    assert.deepEqual(await take(again), [])
    await again.publish([text('d')])
    assert.deepEqual(await contents(again), ['d'])
  })

  it('delivers what was not settled again after a restart, in order', async () => {
    const { log, reopen } = await queue()
    await log.publish(['a', 'b', 'c', 'd'].map(content => text(content)))
    const [a, b] = await take(log, 3)
    await log.settle('q', [b!])
    assert.ok(a)
    assert.deepEqual(await contents(await reopen()), ['a', 'c', 'd'])
  })

  it('refuses a settlement after the lease, and delivers the message again as a second attempt', async () => {
    const { log, clock } = await queue()
    await log.publish([text('a')])
    const [first] = await take(log)
    clock.advance(30_000)
    await log.publish([text('b')])
    assert.deepEqual(await log.settle('q', [first!]), [first])
    clock.advance(1_000)
    const taken = await take(log)
    assert.deepEqual(
      taken.map(({ content, attempt }) => [content, attempt]),
      [
        ['a', 2],
        ['b', 1],
      ],
    )
  })

  it('extends a lease', async () => {
    const { log, clock } = await queue()
    await log.publish([text('a')])
    const [first] = await take(log)
    clock.advance(29_000)
    log.extend('q', first!, 60_000)
    clock.advance(59_000)
    assert.deepEqual(await log.settle('q', [first!]), [])
    assert.throws(() => log.extend('q', first!, 1), code('SIGNALBOX_LEASE_LOST'))
  })

  it('retries with backoff, then keeps a dead letter with the reason; others are not held up', async () => {
    const { log, clock, reopen } = await queue()
    await log.publish([text('bad'), text('good')])
    const pauses = [1_000, 2_000, 4_000, 8_000]
    for (const [i, pause] of pauses.entries()) {
      const taken = await take(log)
      assert.equal(taken[0]!.attempt, i + 1)
      if (i === 0) await log.settle('q', [taken[1]!])
      assert.equal(await log.fail('q', taken[0]!, failure), 'delayed')
      clock.advance(pause - 1)
      assert.deepEqual(await take(log), [])
      clock.advance(1)
    }
    const [last] = await take(log)
    assert.equal(await log.fail('q', last!, { ...failure, details: { stack: 'at x' } }), 'dead')
    for (const open of [log, await reopen()]) {
      const { messages } = await open.browse({ subscription: 'q', states: ['dead'] })
      assert.equal(messages.length, 1)
      assert.equal(messages[0]!.attempts, 5)
      assert.deepEqual(messages[0]!.failure, { ...failure, details: { stack: 'at x' }, at: 1_015_000 })
      assert.equal(open.counts().subscriptions.q!.dead, 1)
      assert.deepEqual(await take(open), [])
    }
  })

  it('counts attempts over a restart', async () => {
    const { log, clock, reopen } = await queue()
    await log.publish([text('a')])
    await log.fail('q', (await take(log))[0]!, failure)
    const again = await reopen()
    assert.deepEqual(await take(again), [])
    assert.equal(again.counts().subscriptions.q!.delayed, 1)
    clock.advance(1_000)
    assert.equal((await take(again))[0]!.attempt, 2)
  })

  it('edits a dead letter and delivers it again', async () => {
    const { log, reopen } = await queue()
    await log.publish([text('broken', { headers: { a: '1' } })])
    await log.fail('q', (await take(log))[0]!, failure, { dead: true })
    await log.edit(1, { content: Buffer.from('mended') })
    assert.equal(await log.revive('q', [1, 2]), 1)
    const again = await reopen()
    const [delivery] = await again.take('q', 1)
    assert.equal(delivery!.message.content.toString(), 'mended')
    assert.deepEqual(delivery!.message.headers, { a: '1' })
    assert.equal(delivery!.attempt, 1)
    await again.settle('q', [{ seq: 1, lease: delivery!.lease }])
    assert.equal(again.counts().messages, 0)
  })

  it('gives back without counting the attempt', async () => {
    const { log } = await queue()
    await log.publish([text('a'), text('b')])
    const [a] = await take(log, 1)
    log.giveBack('q', a!)
    const [again] = await take(log, 1)
    assert.deepEqual([again!.content, again!.attempt], ['a', 1])
    assert.throws(() => log.giveBack('q', a!), code('SIGNALBOX_LEASE_LOST'))
  })

  it('fails what a consumer had that is gone', async () => {
    const { log, clock } = await queue()
    await log.publish([text('a'), text('b')])
    await take(log, 1, 'q', 'one')
    await take(log, 1, 'q', 'two')
    assert.equal(await log.abandon('q', 'one', failure), 1)
    clock.advance(1_000)
    assert.deepEqual(await contents(log), ['a'])
  })

  it('delivers higher priorities first, equal ones in order', async () => {
    const { log, reopen } = await queue()
    await log.publish([text('n1'), text('low', { priority: 0 }), text('n2'), text('high', { priority: 9 })])
    const order = ['high', 'n1', 'n2', 'low']
    assert.deepEqual(await contents(await reopen()), order)
    assert.deepEqual(await contents(log), order)
  })

  it('delivers messages of one key one at a time and in order, through failures and restarts', async () => {
    const { log, clock, reopen } = await queue()
    await log.publish([
      text('a1', { key: 'a' }),
      text('a2', { key: 'a' }),
      text('b1', { key: 'b' }),
      text('x'),
    ])
    const taken = await take(log)
    assert.deepEqual(
      taken.map(({ content }) => content),
      ['a1', 'b1', 'x'],
    )
    assert.equal(log.counts().subscriptions.q!.ready, 1)
    await log.fail('q', taken[0]!, failure)
    assert.deepEqual(await take(log), [])
    const again = await reopen()
    assert.deepEqual(await contents(again), ['b1', 'x'])
    clock.advance(1_000)
    const [a1] = await take(again)
    assert.equal(a1!.content, 'a1')
    assert.deepEqual(await take(again), [])
    await again.settle('q', [a1!])
    assert.deepEqual(await contents(again), ['a2'])
  })

  it('lets the next of a key go on behind a dead letter', async () => {
    const { log } = await queue()
    await log.publish([text('a1', { key: 'a' }), text('a2', { key: 'a' })])
    const [a1] = await take(log)
    assert.deepEqual(await take(log), [])
    await log.fail('q', a1!, failure, { dead: true })
    assert.deepEqual(await contents(log), ['a2'])
  })

  it('delays, also over a restart and a clock that is put back', async () => {
    const { log, clock, reopen } = await queue()
    await log.publish([text('later', { delayMs: 5_000 }), text('now')])
    assert.deepEqual(await contents(log), ['now'])
    clock.advance(4_999)
    const again = await reopen()
    assert.deepEqual(await contents(again), ['now'])
    clock.advance(1)
    assert.deepEqual(await contents(again), ['later'])
    assert.deepEqual(await contents(log), ['later'])
  })

  it('drops what has expired', async () => {
    const { log, clock, reopen } = await queue({ maxAgeMs: 10_000 })
    await log.publish([text('short', { expiresInMs: 100 }), text('long')])
    clock.advance(100)
    assert.deepEqual(await contents(log), ['long'])
    await until(() => log.counts().expired === 1 && log.counts().messages === 1)
    clock.advance(10_000)
    const again = await reopen()
    assert.deepEqual(await take(again), [])
  })

  it('drops duplicates of an id within the window, also those that come at once and after a restart', async () => {
    const { log, clock, reopen } = await queue({ dedupWindowMs: 1_000 })
    const [[first], [second]] = await Promise.all([
      log.publish([text('a', { id: 'x' })]),
      log.publish([text('b', { id: 'x' })]),
    ])
    assert.deepEqual(first, { seq: 1, duplicate: false })
    assert.deepEqual(second, { seq: 1, duplicate: true })
    const again = await reopen()
    assert.deepEqual(await again.publish([text('c', { id: 'x' })]), [{ seq: 1, duplicate: true }])
    clock.advance(1_001)
    assert.deepEqual(await again.publish([text('d', { id: 'x' })]), [{ seq: 2, duplicate: false }])
  })

  it('does not take a message for a duplicate of one that could not be written', async () => {
    const { log, disk } = await queue()
    disk.failure = new SignalboxError('SIGNALBOX_STORE_FULL', 'no room')
    await assert.rejects(log.publish([text('a', { id: 'x' })]), code('SIGNALBOX_STORE_FULL'))
    assert.equal(log.counts().messages, 0)
    disk.failure = undefined
    assert.deepEqual(await log.publish([text('a', { id: 'x' })]), [{ seq: 2, duplicate: false }])
    assert.deepEqual(await contents(log), ['a'])
  })

  it('delivers again what could not be settled', async () => {
    const { log, disk } = await queue()
    await log.publish([text('a')])
    const [a] = await take(log)
    disk.failure = new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', 'broken')
    await assert.rejects(log.settle('q', [a!]), code('SIGNALBOX_STORE_UNAVAILABLE'))
    disk.failure = undefined
    assert.deepEqual(await contents(log), ['a'])
  })

  it('refuses what is over its limits, or drops the oldest', async () => {
    const full = await queue({ maxMessages: 2 })
    await full.log.publish([text('a'), text('b')])
    await assert.rejects(full.log.publish([text('c')]), code('SIGNALBOX_LOG_FULL'))
    await full.log.settle('q', await take(full.log, 1))
    await full.log.publish([text('c')])
    const dropping = await queue({ maxMessages: 2, overflow: 'dropOldest' })
    for (const content of ['a', 'b', 'c', 'd']) await dropping.log.publish([text(content)])
    assert.deepEqual(await contents(dropping.log), ['c', 'd'])
    assert.equal(dropping.log.counts().dropped, 2)
  })

  it('refuses properties that it cannot keep', async () => {
    const { log } = await queue()
    const wrong = [
      { id: '' },
      { key: 'k'.repeat(257) },
      { priority: 10 },
      { priority: 1.5 },
      { delayMs: -1 },
      { expiresInMs: Number.NaN },
      { headers: { a: 1 as never } },
    ]
    for (const more of wrong) {
      await assert.rejects(
        log.publish([text('a', more)]),
        code('SIGNALBOX_MESSAGE_INVALID'),
        JSON.stringify(more),
      )
    }
    assert.equal(log.counts().published, 0)
  })
})

describe('subscriptions of a message log', () => {
  it('get a message each, by their filters', async () => {
    const { log, reopen } = await queue()
    await log.unsubscribe('q')
    await log.subscribe('all')
    await log.subscribe('de', { filter: { country: 'DE' } })
    await log.subscribe('dach', { filter: { country: ['DE', 'AT', 'CH'], type: 'invoice' } })
    await log.publish([
      text('1', { headers: { country: 'DE', type: 'order' } }),
      text('2', { headers: { country: 'AT', type: 'invoice' } }),
      text('3'),
    ])
    for (const open of [log, await reopen()]) {
      assert.deepEqual(await contents(open, 9, 'all'), ['1', '2', '3'])
      assert.deepEqual(await contents(open, 9, 'de'), ['1'])
      assert.deepEqual(await contents(open, 9, 'dach'), ['2'])
    }
  })

  it('replay from the beginning, a time and a number what is kept; a filter holds there too', async () => {
    const { log, clock, reopen } = await queue({ keep: { ageMs: 60_000, bytes: 1_000_000 } })
    await log.publish([text('1', { headers: { a: '1' } })])
    clock.advance(10)
    await log.publish([text('2')])
    await log.settle('q', await take(log))
    assert.equal(log.counts().kept, 2)
    await log.subscribe('beginning', {}, { at: 'beginning' })
    await log.subscribe('time', {}, { at: 'time', time: 1_000_005 })
    await log.subscribe('seq', {}, { at: 'seq', seq: 2 })
    await log.subscribe('end')
    await log.subscribe('filtered', { filter: { a: '1' } }, { at: 'beginning' })
    const expected: Record<string, string[]> = {
      beginning: ['1', '2'],
      time: ['2'],
      seq: ['2'],
      end: [],
      filtered: ['1'],
    }
    for (const open of [log, await reopen()]) {
      for (const [sub, wanted] of Object.entries(expected))
        assert.deepEqual(await contents(open, 9, sub), wanted, sub)
    }
  })

  it('go back and forward', async () => {
    const { log, reopen } = await queue({ keep: { ageMs: 60_000, bytes: 1_000_000 } })
    await log.publish(['1', '2', '3'].map(content => text(content)))
    await log.settle('q', await take(log))
    await log.seek('q', { at: 'seq', seq: 2 })
    let open = await reopen()
    assert.deepEqual(await contents(open), ['2', '3'])
    assert.deepEqual(await contents(log), ['2', '3'])
    await open.seek('q', { at: 'end' })
    assert.equal(open.counts().messages, 0)
    open = await reopen()
    assert.deepEqual(await take(open), [])
  })

  it('let kept messages go by age and by size', async () => {
    const aged = await queue({ keep: { ageMs: 10_000, bytes: 1_000_000 } })
    await aged.log.publish([text('1')])
    await aged.log.settle('q', await take(aged.log))
    aged.clock.advance(12_000)
    assert.equal(aged.log.counts().kept, 0)
    const sized = await queue({ keep: { ageMs: 10_000, bytes: 150 } })
    for (const content of ['1', '2', '3', '4']) {
      await sized.log.publish([text(content)])
      await sized.log.settle('q', await take(sized.log))
    }
    assert.equal(sized.log.counts().kept, 3)
    await sized.log.publish([text('5')])
    assert.equal(sized.log.counts().kept, 3)
  })

  it('release what only one of them was waiting for when they end', async () => {
    const { log, reopen } = await queue()
    await log.subscribe('slow')
    await log.publish([text('1')])
    await log.settle('q', await take(log))
    assert.equal(log.counts().messages, 1)
    await log.unsubscribe('slow')
    assert.equal(log.counts().messages, 0)
    await assert.rejects(log.take('slow', 1), code('SIGNALBOX_SUBSCRIPTION_UNKNOWN'))
    assert.equal((await reopen()).counts().messages, 0)
  })

  it('tell their owner when there is something to take', async () => {
    const { log, clock } = await queue()
    let calls = 0
    log.onReady('q', () => calls++)
    await log.publish([text('1')])
    assert.equal(calls, 1)
    const [one] = await take(log)
    await log.fail('q', one!, failure)
    assert.equal(calls, 1)
    clock.advance(1_000)
    assert.equal(calls, 2)
  })
})

describe('looking into a message log', () => {
  it('gives pages, states and searches', async () => {
    const { log } = await queue()
    await log.publish(Array.from({ length: 5 }, (_, i) => text(`m${i + 1}`)))
    await take(log, 1)
    const first = await log.browse({ subscription: 'q', limit: 2 })
    assert.deepEqual(
      first.messages.map(({ message, state }) => [message.seq, state]),
      [
        [1, 'leased'],
        [2, 'ready'],
      ],
    )
    const second = await log.browse({ subscription: 'q', limit: 9, after: first.next })
    assert.deepEqual(
      second.messages.map(({ message }) => message.seq),
      [3, 4, 5],
    )
    assert.equal(second.next, undefined)
    const found = await log.browse({ subscription: 'q', where: ({ content }) => content.includes('m4') })
    assert.deepEqual(
      found.messages.map(({ message }) => message.seq),
      [4],
    )
    const little = await log.browse({ subscription: 'q', where: () => false, maxReads: 2 })
    assert.deepEqual([little.messages.length, little.next], [0, 2])
  })

  it('purges what nobody has in hand', async () => {
    const { log, reopen } = await queue()
    await log.publish([text('1'), text('2'), text('3', { delayMs: 1_000 })])
    const [one] = await take(log, 1)
    assert.equal(await log.purge('q'), 2)
    assert.deepEqual(await log.settle('q', [one!]), [])
    assert.equal(log.counts().messages, 0)
    assert.equal((await reopen()).counts().messages, 0)
  })
})

describe('the space of a message log', () => {
  it('is given back, while old messages that nobody took stay', async () => {
    const bench = await queue({}, 4_096)
    const { log, disk, reopen } = bench
    await log.publish([text('old', { key: 'k' })])
    await log.subscribe('idle')
    const dead = await take(log)
    await log.fail('q', dead[0]!, failure, { dead: true })
    for (let i = 0; i < 200; i++) {
      await log.publish([text('x'.repeat(200))])
      for (const sub of ['q', 'idle']) await log.settle(sub, await take(log, 9, sub))
    }
    await log.publish([text('last')])
    await log.settle('idle', [])
    await until(() => [...disk.records.values()].reduce((sum, { length }) => sum + length, 0) < 20_000)
    assert.deepEqual(bench.errors, [])
    const again = await reopen()
    const { messages } = await again.browse({ subscription: 'q' })
    assert.deepEqual(
      messages.map(({ message, state, failure }) => [message.content.toString(), state, failure?.message]),
      [
        ['old', 'dead', 'no'],
        ['last', 'ready', undefined],
      ],
    )
    assert.deepEqual(await contents(again, 9, 'idle'), ['last'])
  })
})

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not reached: ${condition}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}
