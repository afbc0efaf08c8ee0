import assert from 'node:assert/strict'
import http, { type IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import { as, type Started, startAdmin } from './admin-harness.ts'
import type { TailEvent } from './operator.ts'

const EVENT: TailEvent = { at: 1, node: 'n1', worker: 0, event: 'handled', address: 'service/orders.get' }

function open(port: number, query = ''): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, path: `/v1/tail${query}`, headers: as('operator'), agent: false }, resolve)
      .on('error', reject)
  })
}

/** Reads until the text satisfies the condition; the test's own time limit is the deadline. */
async function until(stream: IncomingMessage, condition: (text: string) => boolean): Promise<string> {
  let text = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (condition(text)) return text
  }
  throw new Error(`the stream ended: ${text.slice(-200)}`)
}

async function waitFor(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'the condition did not come true in 5 s')
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

function emit({ operator }: Started, event: TailEvent): void {
  for (const listener of operator.listeners) listener(event)
}

describe('tail', { timeout: 20_000 }, () => {
  test('sends events with the filter of the query, and stops when the client leaves', async t => {
    const started = await startAdmin()
    t.after(() => started.server.close(0))
    const stream = await open(started.port, '?name=service/orders.*&outcome=ok')
    assert.equal(stream.headers['content-type'], 'text/event-stream')
    await until(stream, text => text.includes(': connected'))
    assert.deepEqual(started.operator.filter, { name: 'service/orders.*', outcome: 'ok' })
    emit(started, { ...EVENT, note: 'line\nbreak' })
    const text = await until(stream, all => all.includes('\n\n'))
    assert.deepEqual(JSON.parse(/^data: (.*)$/m.exec(text)![1]!), { ...EVENT, note: 'line\nbreak' })
    stream.destroy()
    await waitFor(() => started.operator.listeners.size === 0)
  })

  test('an idle stream has heartbeats', async t => {
    const started = await startAdmin({ timeouts: { heartbeatMs: 5 } })
    t.after(() => started.server.close(0))
    const stream = await open(started.port)
    await until(stream, text => text.split('\n:\n').length > 3)
    stream.destroy()
  })

  test('a client that does not read loses events, is told how many, and memory stays bounded', async t => {
    const started = await startAdmin({ timeouts: { heartbeatMs: 20 } })
    t.after(() => started.server.close(0))
    const stream = await open(started.port)
    await waitFor(() => started.operator.listeners.size === 1)
    const note = 'x'.repeat(10_000)
    const sent = 4000
    for (let i = 0; i < sent; i++) emit(started, { ...EVENT, note })
    const text = await until(stream, all => all.includes('event: skipped'))
    const rest = await until(stream, () => true)
    const skipped = Number(/event: skipped\ndata: {"count":(\d+)}/.exec(text + rest)![1])
    const arrived = text.split('event: message').length - 1
    assert.equal(arrived + skipped, sent)
    assert.ok(skipped > sent / 2, `${skipped} skipped`)
    stream.destroy()
  })

  test('a client that takes nothing at all is cut', async t => {
    const started = await startAdmin({ timeouts: { heartbeatMs: 10, writeMs: 50 } })
    t.after(() => started.server.close(0))
    const stream = await open(started.port)
    stream.on('error', () => stream.destroy())
    await waitFor(() => started.operator.listeners.size === 1)
    stream.pause()
    // More and more, because the buffers of the system take some megabytes before anything has to wait.
    await waitFor(() => {
      for (let i = 0; i < 100; i++) emit(started, { ...EVENT, note: 'x'.repeat(10_000) })
      return started.operator.listeners.size === 0
    })
    stream.destroy()
  })

  test('an event that is no JSON does not reach the one who sent it', async t => {
    const started = await startAdmin({ timeouts: { heartbeatMs: 5 } })
    t.after(() => started.server.close(0))
    const stream = await open(started.port)
    await waitFor(() => started.operator.listeners.size === 1)
    emit(started, { ...EVENT, note: 1n })
    assert.match(await until(stream, all => all.includes('skipped')), /"count":1/)
    stream.destroy()
  })

  test('closing the server ends tails', async () => {
    const started = await startAdmin()
    const stream = await open(started.port)
    const text = until(stream, all => all.includes('event: end'))
    await waitFor(() => started.operator.listeners.size === 1)
    await started.server.close()
    await text
    assert.equal(started.operator.listeners.size, 0)
  })
})
