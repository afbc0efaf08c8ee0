/** A node is killed, stopped and started again; the other goes on, finds it again, and runs what lived there alone. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import type { Client } from '../../core/router/client.ts'
import { until } from '../load.ts'
import { TwoNodes } from './nodes.ts'

interface Relayed {
  value?: unknown
  error?: { code: string }
  ms: number
}

let nodes: TwoNodes
let east: Client
let folder: string
let pids: { east: number; west: number }

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-loss-'))
  nodes = await TwoNodes.create()
  const [eastPid, westPid] = await Promise.all([nodes.start('east'), nodes.start('west')])
  pids = { east: eastPid, west: westPid }
  east = await nodes.connect('east')
})
after(async () => {
  await nodes.close()
  await rm(folder, { recursive: true })
})
beforeEach(() =>
  until(async () => (await relay('remote', { action: 'where' })).error === undefined, 'east reaches west'),
)

test('kill -9: calls under way fail at once, later ones too, and succeed when the node is back', async () => {
  const file = join(folder, 'killed')
  const hanging = relay('remote', { action: 'hang', file }, { timeoutMs: 25_000 })
  await untilBegun(file)
  const startMs = performance.now()
  await nodes.kill('west')
  const { error } = await hanging
  assert.equal(error?.code, 'SIGNALBOX_NODE_LOST')
  assert.ok(performance.now() - startMs < 2_000, `it took ${performance.now() - startMs} ms`)
  const later = await relay('remote', { action: 'where' }, { timeoutMs: 25_000 })
  assert.match(later.error!.code, /^SIGNALBOX_(ADDRESS_UNKNOWN|NODE_LOST)$/)
  assert.ok(later.ms < 1_000, `it took ${later.ms} ms`)
  pids.west = await nodes.start('west')
  await until(
    async () => pidOf(await relay('remote', { action: 'where' })) === pids.west,
    'west answers again',
  )
})

test('SIGSTOP: calls fail long before their deadline; after SIGCONT they succeed again', async () => {
  const file = join(folder, 'stopped')
  const hanging = relay('remote', { action: 'hang', file }, { timeoutMs: 29_000 })
  await untilBegun(file)
  const startMs = performance.now()
  nodes.signal('west', 'SIGSTOP')
  try {
    const { error } = await hanging
    assert.equal(error?.code, 'SIGNALBOX_NODE_LOST')
    assert.ok(performance.now() - startMs < 10_000, `it took ${performance.now() - startMs} ms`)
  } finally {
    nodes.signal('west', 'SIGCONT')
  }
  await until(
    async () => pidOf(await relay('remote', { action: 'where' })) === pids.west,
    'west answers again',
  )
  // What west did for those who have given up is over as well.
  await until(async () => /aborted/.test(await readFile(file, 'utf8')), 'the handler is aborted')
})

test('a singleton runs once among nodes that see each other, and moves when its node dies', async () => {
  const west = await nodes.connect('west')
  await until(async () => (await singles(west)).length === 1, 'both nodes find it at the same place')
  const [place] = await singles(west)
  // The node with the lowest id that can run it does.
  assert.match(place!, new RegExp(`^${pids.east}/`))
  await nodes.kill('east')
  await until(async () => {
    const now = await west.invoke('single').catch(() => undefined)
    return String(now).startsWith(`${pids.west}/`)
  }, 'it runs on the other node')
  pids.east = await nodes.start('east')
  await until(async () => {
    const places = await singles(west)
    return places.length === 1 && places[0]!.startsWith(`${pids.east}/`)
  }, 'it is back, once')
})

test('a node that stops: no call hangs, those that it had fail with errors that may be tried again, later ones succeed', async () => {
  const west = await nodes.connect('west')
  const failed: { code: string; retryable: boolean }[] = []
  const calls: Promise<unknown>[] = []
  const call = () => calls.push(west.invoke('roundRobin', { ms: 5 }).catch(error => failed.push(error)))
  for (let i = 0; i < 50; i++) call()
  const ended = nodes.end('east', 'SIGTERM')
  for (let i = 0; i < 100; i++) call()
  assert.equal(await ended, 0)
  await Promise.all(calls)
  for (const error of failed) {
    assert.match(error.code, /^SIGNALBOX_(WORKER_LOST|NODE_LOST|LINK_CLOSED)$/)
    assert.equal(error.retryable, true)
  }
  const again = Array.from({ length: 50 }, () => west.invoke<string>('roundRobin', {}))
  for (const place of await Promise.all(again)) assert.match(place, new RegExp(`^${pids.west}/`))
  await nodes.start('east')
})

/** Where both nodes find the singleton; more than one place when they disagree. */
async function singles(west: Client): Promise<string[]> {
  const asked = [east, west].map(client => client.invoke<Relayed>('relay', { service: 'single' }))
  const answers = await Promise.allSettled(asked)
  const places = answers.map(answer =>
    answer.status === 'fulfilled' ? String(answer.value.value) : 'nowhere',
  )
  return [...new Set(places)]
}

function pidOf({ value }: Relayed): number | undefined {
  return (value as { pid: number } | undefined)?.pid
}

/** Has east call a service; fails as a call of the program itself would. */
async function relay(
  service: string,
  payload: unknown,
  options: { timeoutMs?: number } = {},
): Promise<Relayed> {
  const failed = (error: { code: string }): Relayed => ({ error, ms: 0 })
  return await east
    .invoke<Relayed>('relay', { service, payload, options }, { timeoutMs: 30_000 })
    .catch(failed)
}

async function untilBegun(file: string): Promise<void> {
  await until(
    async () => (await readFile(file, 'utf8').catch(() => '')).includes('begun'),
    'the call is under way',
  )
}
