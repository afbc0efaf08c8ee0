/** Queues and topics over HTTP: publish, subscribe, fetch, acknowledge, listen, webhooks. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type RunningProject, startProject } from '../cli/start.ts'
import { until } from './load.ts'

const PROJECT = new URL('./projects/pubsub', import.meta.url).pathname
const KEYS = {
  shop: 'the-key-of-the-shop-that-nobody-guesses',
  erp: 'the-key-of-the-erp-that-nobody-guesses',
}

let bus: RunningProject
let open: string
let partners: string
let state: string
let hook: Server
const hooked: { body: unknown; id: string | undefined }[] = []

before(async () => {
  hook = createServer(async (request, response) => {
    const id = request.headers['message-id'] as string
    const isFirst = !hooked.some(other => other.id === id)
    hooked.push({ body: JSON.parse(await textOf(request)), id })
    response.writeHead(isFirst ? 500 : 204).end()
  })
  await new Promise<void>(resolve => hook.listen(0, '127.0.0.1', resolve))
  process.env.SIGNALBOX_TEST_HOOK = `http://127.0.0.1:${(hook.address() as AddressInfo).port}`
  process.env.SIGNALBOX_TEST_SHOP_KEY = KEYS.shop
  process.env.SIGNALBOX_TEST_ERP_KEY = KEYS.erp
  state = await mkdtemp(join(tmpdir(), 'signalbox-pubsub-'))
  bus = await startProject(PROJECT, { stateFolder: state })
  const { workers } = await bus.node.inspect()
  const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
  const endpoint = (name: string) =>
    actors.find(({ address }) => address === `channel/http/${name}`)!.endpoint!
  open = `${endpoint('public')}/pubsub`
  partners = endpoint('partners')
})
after(async () => {
  await bus.stop()
  hook.closeAllConnections()
  hook.close()
  await rm(state, { recursive: true })
})

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

interface Message {
  seq: number
  lease: number
  attempt: number
  id?: string
  key?: string
  headers: Record<string, string>
  payload: unknown
}

/** What any of the operations answers. */
interface Body {
  code?: string
  seq: number
  duplicate: boolean
  messages: Message[]
}

async function send(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Body }> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: JSON.parse(text || 'null') as Body }
}

test('a program publishes, another one subscribes, fetches and acknowledges', async () => {
  const subscription = `${open}/topics/prices/subscriptions/desk`
  const made = await send('PUT', subscription, { filter: { 'x-currency': 'EUR' } })
  assert.deepEqual(made, { status: 201, body: { topic: 'prices', subscription: 'desk' } })
  const published = await send(
    'POST',
    `${open}/topics/prices/messages`,
    { usd: 1.1 },
    { 'message-id': 'p1', 'message-key': 'eur', 'x-currency': 'EUR' },
  )
  assert.equal(published.status, 202)
  assert.equal(published.body.duplicate, false)
  const again = await send('POST', `${open}/topics/prices/messages`, { usd: 1.1 }, { 'message-id': 'p1' })
  assert.deepEqual(again.body, { seq: published.body.seq, duplicate: true })
  await send('POST', `${open}/topics/prices/messages`, { usd: 1.2 }, { 'x-currency': 'CHF' })

  const fetched = await send('POST', `${subscription}/fetch`, { max: 10 })
  assert.equal(fetched.body.messages.length, 1)
  const message = fetched.body.messages[0]!
  assert.deepEqual(
    { id: message.id, key: message.key, attempt: message.attempt, payload: message.payload },
    { id: 'p1', key: 'eur', attempt: 1, payload: { usd: 1.1 } },
  )
  assert.equal(message.headers['x-currency'], 'EUR')
  const leases = [{ seq: message.seq, lease: message.lease }]
  const extended = await send('POST', `${subscription}/extend`, { messages: leases, leaseMs: 60_000 })
  assert.equal(extended.status, 204)
  assert.deepEqual((await send('POST', `${subscription}/ack`, { messages: leases })).body, { late: [] })
  assert.deepEqual((await send('POST', `${subscription}/ack`, { messages: leases })).body, { late: leases })
  assert.deepEqual((await send('POST', `${subscription}/fetch`, {})).body, { messages: [] })
  assert.equal((await send('DELETE', subscription)).status, 204)
  assert.equal((await send('POST', `${subscription}/fetch`, {})).status, 404)
})

test('what is given back comes again, then is a dead letter with the reason', async () => {
  await send('POST', `${open}/queues/jobs/messages`, 'work')
  const queue = `${open}/queues/jobs`
  for (const state of ['delayed', 'dead']) {
    const fetched = await send('POST', `${queue}/fetch`, { waitMs: 5_000 })
    const { seq, lease } = fetched.body.messages[0]!
    const refused = await send('POST', `${queue}/nack`, { messages: [{ seq, lease }], reason: 'no tools' })
    assert.deepEqual(refused.body, { messages: [{ seq, state }] })
  }
  const keeper = bus.node.host.keeper!
  const page = (await keeper.request('browseLog', { kind: 'queue', name: 'jobs', states: ['dead'] })) as {
    messages: { payload: unknown; failure: { message: string } }[]
  }
  assert.deepEqual(
    page.messages.map(({ payload, failure }) => [payload, failure.message]),
    [['work', 'no tools']],
  )
})

test('a fetch waits for a message', async () => {
  const waiting = send('POST', `${open}/queues/jobs/fetch`, { waitMs: 20_000 })
  await until(async () => {
    const { workers } = await bus.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; busy: number }[])
    return actors.some(({ address, busy }) => address === 'queue/jobs/ops' && busy > 0)
  }, 'the fetch waits')
  await send('POST', `${open}/queues/jobs/messages`, { n: 1 })
  const { messages } = (await waiting).body
  assert.deepEqual(
    messages.map(({ payload }) => payload),
    [{ n: 1 }],
  )
  await send('POST', `${open}/queues/jobs/ack`, {
    messages: [{ seq: messages[0]!.seq, lease: messages[0]!.lease }],
  })
})

test('events stream to a listener, and are settled as it takes them', async () => {
  const subscription = `${open}/topics/prices/subscriptions/screen`
  await send('PUT', subscription)
  const stop = new AbortController()
  const response = await fetch(`${subscription}/events`, {
    headers: { accept: 'text/event-stream' },
    signal: stop.signal,
  })
  assert.equal(
    response.headers.get('content-type'),
    'text/event-stream',
    response.ok ? '' : await response.text(),
  )
  for (const n of [1, 2, 3]) await send('POST', `${open}/topics/prices/messages`, { n })
  const seen: unknown[] = []
  let text = ''
  for await (const part of response.body!) {
    text += Buffer.from(part).toString()
    const events = text.split('\n\n')
    text = events.pop()!
    for (const event of events) {
      const data = event.split('\n').find(line => line.startsWith('data:'))
      if (data) seen.push(JSON.parse(data.slice(5)).payload)
    }
    if (seen.length === 3) break
  }
  assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { n: 3 }])
  stop.abort()
  // The last one may come again: nobody knows whether it was taken.
  await until(async () => {
    const { body } = await send('POST', `${subscription}/fetch`, { max: 10, leaseMs: 100 })
    return body.messages.every(({ payload }) => (payload as { n: number }).n === 3)
  }, 'the others are settled')
})

test('a webhook gets messages, and again what it did not take', async () => {
  const before = hooked.length
  await send('POST', `${open}/topics/prices/messages`, { hook: true }, { 'message-id': 'h1' })
  await until(
    () => hooked.slice(before).filter(({ id }) => id === 'h1').length >= 2,
    'the webhook is called again',
  )
  const calls = hooked.slice(before).filter(({ id }) => id === 'h1')
  assert.deepEqual(calls.slice(0, 2), [
    { body: { hook: true }, id: 'h1' },
    { body: { hook: true }, id: 'h1' },
  ])
})

test('who may publish and consume is checked, and a subscription is its owner’s alone', async () => {
  const as = (name: keyof typeof KEYS) => ({ 'x-api-key': KEYS[name] })
  const orders = `${partners}/topics/orders`
  assert.equal((await send('POST', `${orders}/messages`, {}, {})).status, 401)
  assert.equal((await send('POST', `${orders}/messages`, {}, as('erp'))).status, 403)
  assert.equal((await send('PUT', `${orders}/subscriptions/a`, {}, as('shop'))).status, 403)
  assert.equal((await send('PUT', `${orders}/subscriptions/a`, {}, as('erp'))).status, 201)
  assert.equal((await send('POST', `${orders}/messages`, { id: 1 }, as('shop'))).status, 202)
  const prices = `${partners}/topics/prices/subscriptions/private`
  assert.equal((await send('PUT', prices, {}, as('shop'))).status, 201)
  assert.equal((await send('POST', `${prices}/fetch`, {}, as('erp'))).status, 403)
  assert.equal((await send('DELETE', prices, undefined, as('erp'))).status, 403)
  assert.equal((await send('PUT', prices, {}, as('erp'))).status, 403)
  // From where nobody has a name neither.
  assert.equal((await send('POST', `${open}/topics/orders/messages`, {})).status, 403)
  const { body } = await send('POST', `${orders}/subscriptions/a/fetch`, {}, as('erp'))
  assert.deepEqual(body.messages[0]!.payload, { id: 1 })
  assert.equal('x-api-key' in body.messages[0]!.headers, false)
})

test('what is wrong is said', async () => {
  const wrong: [string, string, unknown, Record<string, string>, number, string][] = [
    ['POST', '/topics/price/messages', {}, {}, 404, 'SIGNALBOX_ADDRESS_UNKNOWN'],
    ['POST', '/topics/prices/messages', {}, { 'message-priority': '99' }, 400, 'SIGNALBOX_MESSAGE_INVALID'],
    ['POST', '/topics/prices/messages', {}, { 'message-delay-ms': 'soon' }, 400, 'SIGNALBOX_MESSAGE_INVALID'],
    ['POST', '/queues/jobs/fetch', { max: 0 }, {}, 400, 'SIGNALBOX_INPUT_INVALID'],
    ['POST', '/queues/jobs/ack', { messages: [{ seq: 'x' }] }, {}, 400, 'SIGNALBOX_INPUT_INVALID'],
    ['POST', '/queues/jobs/purge', {}, {}, 404, 'SIGNALBOX_NOT_FOUND'],
    ['POST', '/queues/..%2f..%2fetc/messages', {}, {}, 404, 'SIGNALBOX_NOT_FOUND'],
    ['PUT', '/topics/prices/subscriptions/a', { start: { at: 'noon' } }, {}, 400, 'SIGNALBOX_INPUT_INVALID'],
  ]
  for (const [method, path, body, headers, status, code] of wrong) {
    const answer = await send(method, `${open}${path}`, body, headers)
    assert.deepEqual([path, answer.status, answer.body.code], [path, status, code])
  }
})
