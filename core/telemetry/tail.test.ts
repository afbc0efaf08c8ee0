import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type TailEvent, TailHub } from './tail.ts'

function event(over: Partial<TailEvent> = {}): TailEvent {
  return {
    event: 'handled',
    kind: 'service',
    at: 1,
    cid: 'c1',
    from: 'channel/http/public',
    to: 'service/orders.create',
    outcome: 'ok',
    durationMs: 1,
    bytes: 3,
    ...over,
  }
}

function seen(filter: object, events: TailEvent[]): TailEvent[] {
  const hub = new TailHub()
  const id = hub.open(filter)
  for (const one of events) hub.emit(one)
  const batch = hub.read(id)
  hub.close(id)
  return batch.events
}

test('filters by glob on either end, correlation id and outcome', () => {
  const failed = event({
    event: 'failed',
    outcome: 'SIGNALBOX_CONFLICT',
    cid: 'c2',
    to: 'service/stock.take',
  })
  const begun = event({ event: 'received', kind: 'channel', outcome: undefined, to: undefined })
  const all = [event(), failed, begun]
  assert.deepEqual(seen({}, all), all)
  assert.deepEqual(seen({ name: 'service/orders.*' }, all), [all[0]])
  assert.deepEqual(seen({ name: 'service/stock.take' }, all), [failed])
  assert.deepEqual(seen({ name: 'channel/*/public' }, all), all)
  assert.deepEqual(seen({ cid: 'c2' }, all), [failed])
  assert.deepEqual(seen({ outcome: 'ok' }, all), [all[0]])
  assert.deepEqual(seen({ outcome: 'error' }, all), [failed])
  assert.deepEqual(seen({ outcome: 'SIGNALBOX_CONFLICT' }, all), [failed])
})

test('a full buffer skips and counts; the next batch has room again', () => {
  const hub = new TailHub()
  const id = hub.open({ buffer: 2 })
  for (let i = 0; i < 5; i++) hub.emit(event())
  const first = hub.read(id)
  assert.deepEqual([first.events.length, first.skipped], [2, 3])
  hub.emit(event())
  const second = hub.read(id)
  assert.deepEqual([second.events.length, second.skipped], [1, 0])
  hub.close(id)
})

test('bodies are shown only when asked for, masked and cut', () => {
  const hub = new TailHub()
  const plain = hub.open({})
  const bodies = hub.open({ bodies: true, maxBodyBytes: 60 })
  hub.emit(event(), { user: 'ann', password: 'p4ss', inner: [{ apiToken: 't0k' }] })
  hub.emit(event(), Buffer.from('{"secret":"s3c","a":1}'))
  hub.emit(event(), 'password=p4ss in free text')
  hub.emit(event(), { text: 'x'.repeat(1000) })
  hub.emit(event(), '{"broken')
  assert.ok(hub.read(plain).events.every(({ body }) => body === undefined))
  const shown = hub.read(bodies).events.map(({ body }) => body!)
  assert.ok(
    shown.every(body => !/p4ss|t0k|s3c/.test(body)),
    shown.join('\n'),
  )
  assert.match(shown[0]!, /ann/)
  assert.match(shown[1]!, /"a":1/)
  assert.equal(shown[2], '(26 characters of text)')
  assert.ok(shown[3]!.length < 100)
  hub.close(plain)
  hub.close(bodies)
})

test('says when the first comes and the last goes; an idle listener goes by itself', async () => {
  const changes: boolean[] = []
  const hub: TailHub = new TailHub(() => changes.push(hub.listening), 10)
  const one = hub.open({})
  const two = hub.open({})
  hub.close(one)
  hub.close(one)
  assert.deepEqual(changes, [true])
  for (const end = performance.now() + 5_000; hub.listening && performance.now() < end; ) await wait(2)
  assert.deepEqual(changes, [true, false])
  assert.throws(() => hub.read(two), { code: 'SIGNALBOX_NOT_FOUND' })
})

test('refuses a bad filter and too many listeners', () => {
  const hub = new TailHub()
  assert.throws(() => hub.open({ nme: 'x' }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
    message: /did you mean 'name'/,
  })
  const ids = Array.from({ length: 32 }, () => hub.open({}))
  assert.throws(() => hub.open({}), { code: 'SIGNALBOX_OVERLOADED' })
  for (const id of ids) hub.close(id)
})
