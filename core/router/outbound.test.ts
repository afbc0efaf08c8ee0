import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Envelope, NO_CONTEXT } from '../actor/envelope.ts'
import { SignalboxError } from '../errors.ts'
import { Outbound } from './outbound.ts'

const WINDOW = 5
const BYTES = 1_000
const ADDRESSES = ['service/a', 'service/b', 'service/c'] as const

type Step =
  | { do: 'send' | 'pause' | 'resume'; address: string }
  | { do: 'credit' }
  | { do: 'return' }
  | { do: 'give up'; which: number }

const address = fc.constantFrom(...ADDRESSES)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), address }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const), address }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('credit' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('return' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('give up' as const), which: fc.nat(50) }) },
)

/** An outbound half with what a model of it knows. */
function bench() {
  const left: Envelope[] = []
  const state = { inFlight: 0, paused: new Set<string>(), sent: [] as Envelope[], late: [] as string[] }
  const outbound: Outbound = new Outbound({
    place: 'n/0:1',
    windowMessages: WINDOW,
    windowBytes: BYTES,
    refuse: () => assert.fail('refused'),
    put(envelope) {
      left.push(envelope)
      state.inFlight++
      outbound.sent(10)
      if (state.paused.has(envelope.to)) state.late.push(envelope.to)
    },
  })
  return { outbound, left, state }
}

function apply({ outbound, state }: ReturnType<typeof bench>, step: Step): void {
  switch (step.do) {
    case 'send': {
      const envelope = new Envelope(step.address, state.sent.length, NO_CONTEXT, 0, undefined, 0)
      state.sent.push(envelope)
      void outbound.send(envelope)
      return
    }
    case 'pause':
      state.paused.add(step.address)
      outbound.pause(step.address)
      return
    case 'resume':
      state.paused.delete(step.address)
      outbound.resume(step.address)
      return
    case 'credit':
    case 'return':
      if (state.inFlight === 0) return
      state.inFlight--
      if (step.do === 'credit') outbound.credit(1, 10)
      else {
        outbound.returned()
        outbound.credit(0, 10)
      }
      return
    case 'give up':
      state.sent[step.which]?.cancel(new SignalboxError('SIGNALBOX_CANCELLED'))
  }
}

test('property: never more than the window in flight, in order for each address, never while paused', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const it = bench()
      const { outbound, left, state } = it
      for (const step of steps) {
        apply(it, step)
        assert.ok(state.inFlight <= WINDOW)
        assert.equal(outbound.inspect().messagesInFlight, state.inFlight)
        const gone = state.sent.filter(envelope => envelope.cancelled && !left.includes(envelope)).length
        assert.equal(outbound.waiting, state.sent.length - left.length - gone)
      }
      assert.deepEqual(state.late, [])
      // In the end everything leaves that was not given up before.
      for (const paused of ADDRESSES) apply(it, { do: 'resume', address: paused })
      while (state.inFlight > 0) apply(it, { do: 'credit' })
      for (const to of ADDRESSES) {
        const wanted = state.sent.filter(
          envelope => envelope.to === to && (!envelope.cancelled || left.includes(envelope)),
        )
        assert.deepEqual(
          left.filter(envelope => envelope.to === to).map(({ payload }) => payload),
          wanted.map(({ payload }) => payload),
        )
      }
      assert.deepEqual(outbound.inspect(), { messagesInFlight: 0, bytesInFlight: 0, waiting: 0, paused: 0 })
    }),
    { numRuns: 500 },
  )
})

test('a message that waits leaves before later ones for the same address, also when it is paused meanwhile', () => {
  const it = bench()
  for (let i = 0; i < WINDOW + 1; i++) apply(it, { do: 'send', address: 'service/a' })
  apply(it, { do: 'pause', address: 'service/a' })
  apply(it, { do: 'send', address: 'service/a' })
  apply(it, { do: 'credit' })
  apply(it, { do: 'resume', address: 'service/a' })
  for (let i = 0; i < WINDOW + 1; i++) apply(it, { do: 'credit' })
  assert.deepEqual(
    it.left.map(({ payload }) => payload),
    [0, 1, 2, 3, 4, 5, 6],
  )
})

test('credit beyond the window, below nothing or of no number is malformed', () => {
  for (const [messages, bytes] of [
    [1, 0],
    [0, 1],
    [-1, 0],
    [Number.NaN, 0],
    [0.5, 0],
    ['1', 0],
  ]) {
    const { outbound } = bench()
    assert.throws(() => outbound.credit(messages as number, bytes as number), {
      code: 'SIGNALBOX_CODEC_MALFORMED',
    })
  }
})
