/** Calls between two nodes: answers, errors, deadlines and cancellation cross, and calls go where they belong. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Client } from '../../core/router/client.ts'
import { until } from '../load.ts'
import { TwoNodes } from './nodes.ts'

interface Relayed<T = unknown> {
  value?: T
  error?: { code: string; message: string; status: number; details?: Record<string, unknown> }
  ms: number
}

let nodes: TwoNodes
let east: Client
let west: Client
let pids: { east: number; west: number }
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-cluster-'))
  nodes = await TwoNodes.create()
  const [eastPid, westPid] = await Promise.all([nodes.start('east'), nodes.start('west')])
  pids = { east: eastPid, west: westPid }
  east = await nodes.connect('east')
  west = await nodes.connect('west')
  await until(
    async () => (await relay(east, 'remote', { action: 'where' })).error === undefined,
    'the nodes see each other',
  )
})
after(async () => {
  await nodes.close()
  await rm(folder, { recursive: true })
})

test('a service of one node is called from the other', async () => {
  const { value } = await relay<{ pid: number }>(east, 'remote', { action: 'where' })
  assert.equal(value?.pid, pids.west)
})

test('payloads cross unchanged, also binary ones of 5 MiB', async () => {
  const bytes = Buffer.alloc(5 * 1024 * 1024, 'signalbox')
  const payload = {
    action: 'echo',
    bytes,
    text: 'ä€😀',
    list: [1, null, true],
    big: 2n ** 60n,
    date: new Date(0),
  }
  const { value } = await relay<typeof payload>(east, 'remote', payload)
  assert.ok(bytes.equals(value!.bytes))
  assert.deepEqual({ ...value, bytes: undefined }, { ...payload, bytes: undefined })
})

test('errors keep code, status and details', async () => {
  const { error } = await relay(east, 'remote', { action: 'fail' })
  assert.deepEqual(error, {
    code: 'ORDER_UNKNOWN',
    message: 'no order 7',
    status: 404,
    details: { order: 7 },
    retryable: false,
  })
  const crashed = await relay(east, 'remote', { action: 'crash' })
  assert.equal(crashed.error?.code, 'SIGNALBOX_SERVICE_FAILED')
})

test('a deadline fails the call in time and aborts the handler on the other node', async () => {
  const file = join(folder, 'deadline')
  const { error, ms } = await relay(east, 'remote', { action: 'hang', file }, { timeoutMs: 400 })
  assert.equal(error?.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
  assert.ok(ms >= 390 && ms < 2_000, `it took ${ms} ms`)
  await untilWord(file, 'aborted SIGNALBOX_TIMEOUT_DEADLINE')
})

test('cancellation crosses from the program through the first node to the second', async () => {
  const file = join(folder, 'cancel')
  const giveUp = new AbortController()
  const payload = { service: 'remote', payload: { action: 'hang', file } }
  const call = east.invoke('relay', payload, { signal: giveUp.signal, timeoutMs: 30_000 })
  await untilWord(file, 'begun')
  giveUp.abort()
  await assert.rejects(call, { code: 'SIGNALBOX_CANCELLED' })
  await untilWord(file, 'aborted SIGNALBOX_CANCELLED')
})

test('what nobody offers is unknown on both nodes', async () => {
  for (const client of [east, west]) {
    const { error } = await relay(client, 'no.such.service', {})
    assert.equal(error?.code, 'SIGNALBOX_ADDRESS_UNKNOWN')
  }
})

test('a worker that dies fails the calls from the other node at once', async () => {
  const hanging = relay(east, 'remote', { action: 'hang', file: join(folder, 'exit') }, { timeoutMs: 20_000 })
  await untilWord(join(folder, 'exit'), 'begun')
  // One of the two workers of west has the call: both are ended.
  const exits: Promise<Relayed>[] = []
  let answered = false
  void hanging.then(() => {
    answered = true
  })
  await until(
    () => {
      if (!answered) exits.push(relay(east, 'remote', { action: 'exit' }, { timeoutMs: 5_000 }))
      return answered
    },
    'the call has failed',
    8_000,
  )
  const { error, ms } = await hanging
  assert.equal(error?.code, 'SIGNALBOX_WORKER_LOST')
  assert.ok(ms < 8_000, `it took ${ms} ms`)
  const codes = new Set((await Promise.all(exits)).map(exit => exit.error?.code))
  assert.ok(codes.has('SIGNALBOX_WORKER_LOST'))
  await until(
    async () => (await relay(east, 'remote', { action: 'where' })).error === undefined,
    'the workers are back',
  )
})

test('a key lives in one place, whichever node asks, also after a worker was replaced', async () => {
  await until(
    async () => (await placesOfKeys(east)).size >= 3,
    'keys are spread over the workers of both nodes',
  )
  await bothAgree()
  // A program that attaches to one node or the other finds it there as well.
  for (const client of [east, west]) {
    const found = await client.invoke<{ pid: number; thread: number }>('account#7', {})
    const { value } = await relay<{ pid: number; thread: number }>(east, 'account#7', {})
    assert.deepEqual([found.pid, found.thread], [value!.pid, value!.thread])
  }
  const place = await relay<{ pid: number; thread: number }>(east, 'account#7', {})
  const lost = await relay(west, 'account#7', { exit: true })
  assert.equal(lost.error?.code, 'SIGNALBOX_WORKER_LOST')
  await until(async () => {
    const now = await relay<{ pid: number; thread: number }>(east, 'account#7', {})
    return now.value?.pid === place.value?.pid && now.value?.thread !== place.value?.thread
  }, 'the key is back on the node where it was, in the new worker')
  await bothAgree()
})

test('CPU work runs off the event loop, ends with its time limit and with its caller, and harms no worker', async () => {
  const cpu = (task: unknown, options?: object) => ({ action: 'cpu', task, options })
  assert.equal((await relay(east, 'remote', cpu({ numbers: [1, 2, 3] }))).value, 6)
  const timed = await relay(east, 'remote', cpu({ spin: true }, { timeoutMs: 300 }))
  assert.equal(timed.error?.code, 'SIGNALBOX_CPU_TIMEOUT')
  // More of them than the pool has threads: the caller's deadline must free every one.
  const spins = Array.from({ length: 6 }, () =>
    relay(east, 'remote', cpu({ spin: true }), { timeoutMs: 500 }),
  )
  await until(
    async () => (await relay(west, 'remote', { action: 'where' })).ms < 100,
    'the worker answers meanwhile',
  )
  for (const { error, ms } of await Promise.all(spins)) {
    assert.equal(error?.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
    assert.ok(ms < 5_000, `it took ${ms} ms`)
  }
  assert.equal((await relay(east, 'remote', cpu({ numbers: [4, 5] }))).value, 9)
  const refused = await relay(east, 'remote', { action: 'cpuFunction' })
  assert.equal(refused.error?.code, 'SIGNALBOX_CODEC_UNENCODABLE')
})

for (const balance of ['roundRobin', 'leastBusy']) {
  test(`${balance} reaches the workers of both nodes`, async () => {
    for (const client of [east, west]) {
      const calls = Array.from({ length: 40 }, () => relay<string>(client, balance, { ms: 20 }))
      const places = (await Promise.all(calls)).map(({ value }) => value)
      const counts = Object.values(Object.groupBy(places, String)).map(same => same!.length)
      assert.equal(counts.length, 4, `it reached ${[...new Set(places)]}`)
      assert.ok(Math.min(...counts) >= 5, `it shared them out as ${counts}`)
    }
  })
}

async function bothAgree(): Promise<void> {
  await until(async () => {
    const [fromEast, fromWest] = [await placesOfKeys(east), await placesOfKeys(west)]
    return JSON.stringify([...fromEast.keys()]) === JSON.stringify([...fromWest.keys()])
  }, 'both nodes find the keys at the same places')
  const places = await Promise.all([east, west].map(client => listOfKeys(client)))
  assert.deepEqual(places[0], places[1])
}

async function placesOfKeys(client: Client): Promise<Map<string, number>> {
  return new Map((await listOfKeys(client)).map((place, key) => [place, key]))
}

/** The place of each of some keys. */
async function listOfKeys(client: Client): Promise<string[]> {
  const keys = Array.from({ length: 24 }, (_, key) => `account#${key}`)
  const answers = await Promise.all(keys.map(key => relay<{ pid: number; thread: number }>(client, key, {})))
  return answers.map(({ value, error }) => (value ? `${value.pid}/${value.thread}` : error!.code))
}

/** Has the service `relay` of the client's node call another service. */
function relay<T = unknown>(
  client: Client,
  service: string,
  payload: unknown,
  options: { timeoutMs?: number } = {},
): Promise<Relayed<T>> {
  return client.invoke<Relayed<T>>('relay', { service, payload, options }, { timeoutMs: 30_000 })
}

async function untilWord(file: string, word: string): Promise<void> {
  await until(async () => (await readFile(file, 'utf8').catch(() => '')).includes(word), `${word} in ${file}`)
}
