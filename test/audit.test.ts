/** The audit log of a node: one cid over HTTP, a service, a queue, its consumer and a connection; and what is left. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { AuditPage } from '../core/audit/audit-log.ts'
import type { Trail } from '../core/audit/trail.ts'
import { type Fixture, fixture } from './fixture.ts'
import { freePort } from './free-port.ts'
import { until } from './load.ts'
import { SpawnedNode } from './spawned-node.ts'

const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const PROJECT = fileURLToPath(new URL('./projects/audited', import.meta.url))
const SECRET = '4111-1111-never'

let state: Fixture
let partner: Server
let received: { body: string; cid: string }[] = []
let port: number
let node: SpawnedNode

before(async () => {
  state = fixture({})
  port = await freePort()
  partner = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    received.push({ body, cid: String(request.headers['x-signalbox-cid']) })
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(partner, 'listening')
  node = await start()
})
after(async () => {
  await node.stop('SIGKILL')
  partner.close()
  state[Symbol.dispose]()
})

const order = (body: unknown, cid: string, path = '/orders') =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', 'x-signalbox-cid': cid, 'x-partner': 'ACME' },
  })

test('one cid is found in every step of its way, as a tree with durations', async () => {
  assert.equal((await order({ item: 'lamp' }, 'way-1')).status, 200)
  const trail = await trailWith('way-1', 'connection')
  assert.deepEqual(
    trail.steps.map(({ depth, kind, address, outcome }) => [depth, kind, address, outcome]),
    [
      [0, 'channel', 'channel/http/public', 'ok'],
      [1, 'publish', 'queue/orders', 'ok'],
      [2, 'delivery', 'queue/orders', 'ok'],
      [3, 'connection', 'connection/http/partner', 'ok'],
    ],
  )
  const [channel, publish, delivery, connection] = trail.steps
  assert.deepEqual([channel!.operation, channel!.detail, channel!.to], ['POST', '/orders', 'service/place'])
  assert.deepEqual(channel!.headers, { 'x-partner': 'ACME' })
  assert.equal(publish!.from, 'service/place')
  assert.equal(delivery!.seq, publish!.seq)
  assert.equal(delivery!.to, 'service/book')
  assert.deepEqual(
    [connection!.from, connection!.operation, connection!.detail],
    ['service/book', 'send', '/booked'],
  )
  for (const { durationMs, gapMs } of trail.steps)
    assert.ok(durationMs > 0 && durationMs < 30_000 && gapMs >= 0)
  assert.ok(channel!.durationMs >= publish!.durationMs)
  assert.ok(trail.durationMs >= connection!.sinceStartMs)
})

test('a message that fails is recorded with each attempt and as a dead letter', async () => {
  await order({ item: 'lamp', bad: true }, 'dead-1')
  const trail = await trailWith('dead-1', 'dead')
  assert.deepEqual(
    trail.steps.map(({ kind, outcome, attempt }) => [kind, outcome, attempt]),
    [
      ['channel', 'ok', undefined],
      ['publish', 'ok', undefined],
      ['delivery', 'SIGNALBOX_SERVICE_FAILED', 1],
      ['delivery', 'SIGNALBOX_SERVICE_FAILED', 2],
      ['dead', 'SIGNALBOX_SERVICE_FAILED', 2],
    ],
  )
})

test('messages are searched by name, outcome and text, and a masked field is nowhere', async () => {
  await order({ item: 'rare-thing', cardNo: SECRET }, 'masked-1', '/direct')
  await trailWith('masked-1', 'connection')
  const cids = async (query: string) => (await search(query)).records.map(({ cid }) => cid)
  assert.deepEqual(new Set(await cids('text=RARE-thing')), new Set(['masked-1']))
  assert.deepEqual(await cids(`text=${SECRET}`), [])
  assert.ok((await cids('outcome=error')).every(cid => cid === 'dead-1'))
  assert.ok((await cids('name=partner')).includes('way-1'))
  const [record] = (await search('cid=masked-1&kind=channel')).records
  const body = await (await node.admin('GET', `/v1/messages/${record!.id}/body`)).json()
  assert.deepEqual((body as { payload: unknown }).payload, { item: 'rare-thing', cardNo: '***' })
  const [name] = await readdir(state.path)
  const folder = join(state.path, name!, 'messages', 'audit')
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const written = await Promise.all(
    files.filter(file => file.isFile()).map(file => readFile(join(file.parentPath, file.name))),
  )
  assert.ok(written.some(bytes => bytes.includes('rare-thing')))
  assert.ok(!written.some(bytes => bytes.includes(SECRET)))
  const refused = await node.admin('POST', `/v1/messages/${record!.id}/replay`)
  assert.equal(((await refused.json()) as { code: string }).code, 'SIGNALBOX_AUDIT_NOT_REPLAYABLE')
  assert.equal(refused.status, 409)
})

test('a message is sent again with a new cid, and that is an act', async () => {
  const [record] = (await search('cid=way-1&kind=channel')).records
  received = []
  const replayed = await node.admin('POST', `/v1/messages/${record!.id}/replay`)
  assert.equal(replayed.status, 200, await replayed.clone().text())
  const { cid, to, outcome } = (await replayed.json()) as { cid: string; to: string; outcome: string }
  assert.deepEqual([to, outcome], ['service/place', 'ok'])
  assert.notEqual(cid, 'way-1')
  await until(() => received.length > 0, 'the partner has it again')
  assert.deepEqual(received, [{ body: '{"item":"lamp"}', cid }])
  const trail = await trailWith(cid, 'connection')
  assert.deepEqual(
    trail.steps.map(({ depth, kind }) => [depth, kind]),
    [
      [0, 'replay'],
      [1, 'publish'],
      [2, 'delivery'],
      [3, 'connection'],
    ],
  )
  assert.equal(
    trail.steps[0]!.headers['signalbox-replay-of'],
    undefined,
    'only headers that the policy names',
  )
  assert.equal(trail.steps[0]!.from, `audit/${record!.id}`)
  const acts = (await (await node.admin('GET', '/v1/audit?limit=1000')).json()) as {
    what: string
    target: string
  }[]
  const mine = acts.filter(({ target }) => target === `message/${record!.id}`)
  assert.deepEqual(
    mine.map(({ what }) => what),
    ['message.replay'],
  )
})

test('pages go through everything once', async () => {
  const all = (await search('limit=1000')).records.map(({ id }) => id)
  const seen: string[] = []
  let next: string | undefined
  do {
    const page: AuditPage = await search(`limit=3${next ? `&after=${next}` : ''}`)
    seen.push(...page.records.map(({ id }) => id))
    next = page.next
  } while (next)
  assert.deepEqual(seen, all)
})

test('after kill -9 what was found before is found again', async () => {
  const before = await search('limit=1000')
  await node.stop('SIGKILL')
  node = await start()
  await until(async () => (await search('cid=way-1')).records.length > 0, 'the log is read')
  const found = await search('limit=1000')
  assert.deepEqual(found.records, before.records)
  await order({ item: 'after' }, 'after-1')
  await trailWith('after-1', 'connection')
})

test('without the right role there is nothing to see, and nonsense is refused', async () => {
  assert.equal((await fetch(`${node.url}/v1/messages`)).status, 401)
  assert.equal((await node.admin('GET', '/v1/messages?limit=0')).status, 400)
  assert.equal((await node.admin('POST', '/v1/messages/zz/replay')).status, 400)
  assert.equal((await node.admin('POST', '/v1/messages/zz-1-1/replay')).status, 404)
  const nobody = (await (await node.admin('GET', '/v1/messages/no-such-cid')).json()) as Trail
  assert.deepEqual(nobody.steps, [])
})

test('signalbox messages shows the list, the way and the replay', async () => {
  assert.match(await cli('messages', '--cid', 'way-1'), /channel\/http\/public.*service\/place/s)
  assert.match(await cli('messages', '--outcome', 'error', '--text', 'LAMP'), /SIGNALBOX_SERVICE_FAILED/)
  const way = await cli('messages', 'way-1')
  assert.match(way, /channel\/http\/public[\s\S]*queue\/orders[\s\S]*connection\/http\/partner/)
  assert.match(way, /ms/)
  const page = JSON.parse(await cli('messages', '--cid', 'way-1', '--json')) as AuditPage
  const channel = page.records.find(({ kind }) => kind === 'channel')!
  assert.match(await cli('messages', 'replay', channel.id), /service\/place/)
})

async function trailWith(cid: string, kind: string): Promise<Trail> {
  let trail: Trail | undefined
  await until(async () => {
    trail = (await (await node.admin('GET', `/v1/messages/${cid}`)).json()) as Trail
    const kinds = trail.steps.map(step => step.kind)
    return kinds.includes(kind as never) && (kinds.includes('channel') || kinds.includes('replay'))
  }, `${kind} of ${cid} is in the log`)
  return trail!
}

async function search(query: string): Promise<AuditPage> {
  const response = await node.admin('GET', `/v1/messages?${query}`)
  assert.equal(response.status, 200, await response.clone().text())
  return (await response.json()) as AuditPage
}

async function cli(...args: string[]): Promise<string> {
  const env = { ...process.env, SIGNALBOX_URL: node.url, SIGNALBOX_TOKEN: node.token }
  const child = spawn(process.execPath, [MAIN, ...args], { env })
  let out = ''
  child.stdout.on('data', piece => {
    out += piece
  })
  child.stderr.on('data', piece => {
    out += piece
  })
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 0, out)
  return out
}

function start(): Promise<SpawnedNode> {
  return SpawnedNode.start(PROJECT, state.path, {
    SIGNALBOX_TEST_PORT: String(port),
    SIGNALBOX_TEST_PARTNER: `http://127.0.0.1:${(partner.address() as { port: number }).port}`,
  })
}
