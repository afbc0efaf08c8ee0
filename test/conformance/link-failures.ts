/** Link scenarios: deadlines, cancellation, what cannot travel, monitors, and the loss of the link. */
import assert from 'node:assert/strict'
import type { Down } from '../../core/actor/behaviour.ts'
import type { Envelope } from '../../core/actor/envelope.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { LinkScenario } from './link.ts'
import { echo, gated, spec } from './link-actors.ts'
import { deferred, turns, until, within } from './wait.ts'

const code = (wanted: string) => (error: { code?: string }) => {
  assert.equal(error.code, wanted)
  return true
}

export const failures: LinkScenario[] = [
  {
    name: 'an ask that gets no answer fails at its deadline, and its handler is cancelled with that',
    async run({ a, b }) {
      const aborted = deferred<SignalboxError>()
      await b.spawn(
        'service/silent',
        spec((_: unknown, { signal }: Envelope) => {
          signal.addEventListener('abort', () => aborted.resolve(signal.reason))
          return new Promise(() => {})
        }),
      )
      await assert.rejects(
        a.system.ask('service/silent', 1, { timeoutMs: 40 }),
        code('SIGNALBOX_TIMEOUT_DEADLINE'),
      )
      assert.equal((await within(aborted.promise, 'the abort')).code, 'SIGNALBOX_TIMEOUT_DEADLINE')
      await until(() => a.inspect().asked === 0 && b.inspect().asking === 0, 'nothing is left of it')
    },
  },
  {
    name: 'an ask that expires while it is queued is not worked on',
    async run({ a, b }) {
      const slow = gated<string>()
      await b.spawn('service/slow', slow.spec)
      const first = a.system.ask('service/slow', 'first')
      await until(() => slow.seen.length === 1, 'the first is handled')
      await assert.rejects(
        a.system.ask('service/slow', 'late', { timeoutMs: 30 }),
        code('SIGNALBOX_TIMEOUT_DEADLINE'),
      )
      await until(() => b.inspect().asking === 1, 'the receiver knows')
      slow.allow(9)
      await first
      await a.system.ask('service/slow', 'third')
      assert.deepEqual(slow.seen, ['first', 'third'])
    },
  },
  {
    name: 'cancellation reaches the running handler and the asks it has under way',
    async run({ a, b }) {
      const inner = deferred<SignalboxError>()
      const outer = deferred<SignalboxError>()
      const started = deferred()
      await a.spawn(
        'service/inner',
        spec((_: unknown, { signal }: Envelope) => {
          signal.addEventListener('abort', () => inner.resolve(signal.reason))
          started.resolve()
          return new Promise(() => {})
        }),
      )
      await b.spawn(
        'service/outer',
        spec((_: unknown, envelope: Envelope) => {
          envelope.signal.addEventListener('abort', () => outer.resolve(envelope.signal.reason))
          return b.system.ask('service/inner', 1, { parent: envelope }).catch(() => {})
        }),
      )
      const controller = new AbortController()
      const ask = a.system.ask('service/outer', 1, { signal: controller.signal })
      await within(started.promise, 'the inner handler runs')
      controller.abort(new SignalboxError('SIGNALBOX_CANCELLED', 'enough'))
      await assert.rejects(ask, code('SIGNALBOX_CANCELLED'))
      assert.equal((await within(outer.promise, 'the outer abort')).message, 'enough')
      assert.equal((await within(inner.promise, 'the inner abort')).code, 'SIGNALBOX_CANCELLED')
      await until(() => a.inspect().asked === 0 && a.inspect().asking === 0, 'nothing is left of it')
    },
  },
  {
    name: 'what cannot travel fails alone: its neighbours in the batch arrive',
    async run({ a, b }) {
      const seen: unknown[] = []
      await b.spawn(
        'service/s',
        spec(payload => void seen.push(payload)),
      )
      await b.spawn('service/echo', echo)
      const letters: string[] = []
      a.system.onDeadLetter = ({ to, error }) => letters.push(`${to} ${error.code}`)
      const results = [
        a.system.tell('service/s', 1),
        a.system.tell('service/s', { bad: () => {} }),
        a.system.ask('service/echo', 'good'),
        a.system.ask('service/echo', { a: [{ b: Symbol('no') }] }),
        a.system.tell('service/s', 2),
      ]
      const outcomes = await Promise.allSettled(results)
      await until(() => seen.length === 2, 'the neighbours have arrived')
      assert.deepEqual(seen, [1, 2])
      assert.deepEqual(letters.sort(), [
        'service/echo SIGNALBOX_CODEC_UNENCODABLE',
        'service/s SIGNALBOX_CODEC_UNENCODABLE',
      ])
      assert.equal((outcomes[2] as PromiseFulfilledResult<unknown>).value, 'good')
      const { reason } = outcomes[3] as PromiseRejectedResult
      assert.equal(reason.code, 'SIGNALBOX_CODEC_UNENCODABLE')
      assert.equal(reason.details.path, '/a/0/b')
      assert.match(reason.message, /service\/echo/)
    },
  },
  {
    name: 'an answer that cannot travel reaches the asker as an error with the path',
    async run({ a, b }) {
      await b.spawn(
        'service/bad',
        spec(() => ({ list: [1, () => {}] })),
      )
      await b.spawn('service/echo', echo)
      const [good, bad] = await Promise.allSettled([
        a.system.ask('service/echo', 1),
        a.system.ask('service/bad', 1),
      ])
      assert.equal(good.status, 'fulfilled')
      const { reason } = bad as PromiseRejectedResult
      assert.equal(reason.code, 'SIGNALBOX_CODEC_UNENCODABLE')
      assert.equal(reason.details.path, '/list/1')
    },
  },
  {
    name: 'an error whose details cannot travel reaches the asker without them',
    async run({ a, b }) {
      await b.spawn(
        'service/bad',
        spec(() => {
          throw new SignalboxError('ODD', 'odd', { status: 409, details: { fn: () => {} } })
        }),
      )
      await assert.rejects(a.system.ask('service/bad', 1), (error: SignalboxError) => {
        assert.deepEqual(
          [error.code, error.message, error.status, error.details],
          ['ODD', 'odd', 409, undefined],
        )
        return true
      })
    },
  },
  {
    name: 'a message to nobody is a dead letter there; an ask fails',
    async run({ a, b }) {
      await b.spawn('service/gone', echo)
      await b.system.stop('service/gone')
      await assert.rejects(a.system.ask('service/gone', 1), code('SIGNALBOX_ADDRESS_UNKNOWN'))
      void a.system.tell('service/gone', 1)
      await until(() => b.system.deadLetters === 2, 'both are counted')
    },
  },
  {
    name: 'monitors hear of a stop, of a failure with its reason, and of nobody being there',
    async run({ a, b }) {
      await b.spawn('service/stops', echo)
      await b.spawn(
        'service/fails',
        spec(
          () => {
            throw new SignalboxError('BROKEN', 'it broke')
          },
          { restart: 'temporary' },
        ),
      )
      const notices: Down[] = []
      const notify = (notice: Down) => void notices.push(notice)
      a.system.monitor('service/stops', notify)
      const unwatch = a.system.monitor('service/stops', () =>
        assert.fail('it was told although it stopped watching'),
      )
      a.system.monitor('service/fails', notify)
      await until(() => b.inspect().watched === 3, 'all watch')
      unwatch()
      await until(() => b.inspect().watched === 2, 'one watches no more')
      await b.system.stop('service/stops')
      await until(() => notices.length === 1, 'the stop is known')
      assert.deepEqual(notices[0], { address: 'service/stops', reason: undefined })
      await assert.rejects(a.system.ask('service/fails', 1), code('BROKEN'))
      await until(() => notices.length === 2, 'the failure is known')
      assert.equal(notices[1]!.reason?.code, 'BROKEN')
      a.system.monitor('service/stops', notify)
      await until(() => notices.length === 3, 'there is nobody')
      assert.equal(notices[2]!.reason?.code, 'SIGNALBOX_ADDRESS_UNKNOWN')
    },
  },
  {
    name: 'the loss of the link fails all that waits for it at once, and cancels the work for it',
    async run({ a, b, cut, cutCode }) {
      const slow = gated({ mailboxCapacity: 1 })
      await b.spawn('service/slow', slow.spec)
      const aborted = deferred()
      await b.spawn(
        'service/silent',
        spec((_: unknown, { signal }: Envelope) => {
          signal.addEventListener('abort', () => aborted.resolve())
          return new Promise(() => {})
        }),
      )
      const asks = Array.from({ length: 20 }, () => a.system.ask('service/silent', 1))
      const notices: Down[] = []
      a.system.monitor('service/silent', notice => void notices.push(notice))
      for (let i = 0; i < 10; i++) void a.system.tell('service/slow', i)
      await until(() => a.inspect().paused === 1 && b.inspect().asking === 20, 'all is under way')
      const tell = a.system.tell('service/slow', 'waits')
      assert.ok(tell instanceof Promise)
      const queuedAsk = a.system.ask('service/slow', 'waits')
      const outcomes = Promise.allSettled([...asks, tell, queuedAsk])
      await cut()
      for (const outcome of await within(outcomes, 'all have failed')) {
        assert.equal((outcome as PromiseRejectedResult).reason?.code, cutCode)
      }
      await within(aborted.promise, 'the handler is cancelled')
      assert.deepEqual([notices.length, notices[0]!.reason!.code], [1, cutCode])
      await assert.rejects(a.system.ask('service/silent', 1))
      await assert.rejects(async () => a.system.tell('service/silent', 1))
      slow.allow(99)
    },
  },
  {
    name: 'a malformed batch closes the link, with typed errors at both ends, and harms nothing else',
    async run({ a, b, inject }) {
      await b.spawn('service/echo', echo)
      await b.spawn(
        'service/silent',
        spec(() => new Promise(() => {})),
      )
      assert.equal(await a.system.ask('service/echo', 1), 1)
      const ask = a.system.ask('service/silent', 1)
      await until(() => b.inspect().asking === 1, 'the ask is under way')
      inject(new Uint8Array([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]))
      await assert.rejects(within(ask, 'the ask fails'), code('SIGNALBOX_LINK_CLOSED'))
      assert.equal(await b.system.ask('service/echo', 'still there'), 'still there')
      await turns()
    },
  },
]
