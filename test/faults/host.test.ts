/** Workers that die, do not start or are stopped at the wrong moment; nothing of them is left behind. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { Node, type NodeOptions, startNode } from '../../core/node.ts'
import { type Logger, silentLogger } from '../../core/telemetry/log.ts'
import { until } from '../load.ts'
import type { HostConfig } from '../projects/host/boot.ts'

/** Reliability test 10 asks for 1,000; on two cores that takes 80 s. */
const ROUNDS = Number(process.env.SIGNALBOX_FAULT_ROUNDS ?? 100)

let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-host-'))
})
after(() => rm(folder, { recursive: true }))

function options(config: HostConfig = {}, more: Partial<NodeOptions> = {}): NodeOptions {
  const boot = new URL('../projects/host/boot.ts', import.meta.url)
  return { workers: 2, boot, config, log: silentLogger, ...more }
}

test(`${ROUNDS} workers die in three ways: callers learn of it at once, no thread, descriptor or memory is left`, async () => {
  // No pauses: how often they may die is another test.
  const node = await startNode(options({}, { workers: 4, limits: { stableMs: 0 } }))
  try {
    await round(node, 0, 12)
    const before = await resources()
    await round(node, 12, ROUNDS)
    await until(
      async () => sameBut(await resources(), before),
      'nothing is left of the workers that died',
    ).catch(async () => assert.deepEqual(await resources(), before))
    assert.equal(node.host.replaced, 12 + ROUNDS)
    const grownMb = (process.memoryUsage().rss - before.rss) / 1_048_576
    assert.ok(grownMb < 64 + ROUNDS / 8, `RSS has grown by ${grownMb} MiB`)
  } finally {
    await node.stop(1_000)
  }
})

test('a worker that does not start: the reason is named and nothing is left running', async () => {
  for (const [start, message] of [
    ['throw', /broken on purpose/],
    ['exit', /exit code 3/],
    ['spin', /was not ready after 1000 ms/],
    ['hang', /was not ready after 1000 ms/],
  ] as const) {
    const threads = await threadCount()
    const isEndless = start === 'spin' || start === 'hang'
    const node = new Node(options({ start }, isEndless ? { limits: { startMs: 1_000 } } : {}))
    const startMs = performance.now()
    await assert.rejects(node.start(), { code: 'SIGNALBOX_WORKER_START', message })
    assert.ok(performance.now() - startMs < 20_000, `it took ${performance.now() - startMs} ms`)
    assert.deepEqual(node.host.workers, [])
    await until(async () => (await threadCount()) <= threads, `the threads of '${start}' have ended`)
    assert.equal(node.host.replaced, 0)
  }
})

test('a worker that cannot be replaced is tried again with growing pauses until it can', async () => {
  const broken = join(folder, 'broken')
  const pauses: number[] = []
  const log: Logger = {
    ...silentLogger,
    error: (data, message) => {
      if (message === 'worker did not start') pauses.push((data as { retryInMs: number }).retryInMs)
    },
  }
  const node = await startNode(options({ start: 'throw', broken }, { log, workers: 2 }))
  try {
    await writeFile(broken, '')
    await assert.rejects(fault(node, 0, 'exit'), { code: 'SIGNALBOX_WORKER_LOST' })
    await until(() => pauses.length >= 3, 'it has failed three times')
    for (const [i, pauseMs] of pauses.slice(1).entries()) assert.ok(pauseMs > pauses[i]!, `pauses: ${pauses}`)
    // The other worker goes on.
    assert.equal(typeof (await fault(node, 1, 'where')), 'number')
    await rm(broken)
    await until(() => node.host.workers.filter(({ state }) => state === 'ready').length === 2, 'it is back')
  } finally {
    await node.stop(1_000)
  }
})

test('a worker dies while others are taken away: the scaling ends, and the one that stays is replaced', async () => {
  const node = await startNode(options({ drainMs: 700 }, { workers: 3 }))
  try {
    const startMs = performance.now()
    const scaled = node.scale(1)
    await until(() => node.host.workers.some(({ state }) => state === 'draining'), 'workers are leaving')
    await assert.rejects(fault(node, 0, 'exit'), { code: 'SIGNALBOX_WORKER_LOST' })
    await scaled
    assert.ok(performance.now() - startMs < 10_000, `it took ${performance.now() - startMs} ms`)
    await until(
      () => node.host.workers.length === 1 && node.host.workers[0]!.state === 'ready',
      'one is ready',
    )
    assert.equal(node.host.replaced, 1)
  } finally {
    await node.stop(0)
  }
})

test('stop during start, stop twice, scale after stop', async () => {
  const node = new Node(options({ start: 'hang' }))
  const started = assert.rejects(node.start(), { code: 'SIGNALBOX_WORKER_START', message: /the node stops/ })
  await until(() => node.host.workers.length === 2, 'it starts')
  const startMs = performance.now()
  const stops = [node.stop(), node.stop()]
  assert.equal(stops[0], stops[1])
  await Promise.all(stops)
  await started
  assert.ok(performance.now() - startMs < 5_000)
  await assert.rejects(node.scale(2), { code: 'SIGNALBOX_USAGE' })
  assert.deepEqual(node.host.workers, [])
  await assert.rejects(node.ask('service/fault', 'where'), { code: 'SIGNALBOX_OVERLOADED' })
})

test('what user code writes to parentPort by mistake harms nobody', async () => {
  const node = await startNode(options({}, { workers: 1 }))
  try {
    const thread = await fault(node, 0, 'garbage')
    assert.equal(await fault(node, 0, 'where'), thread)
    assert.equal(node.host.replaced, 0)
  } finally {
    await node.stop(1_000)
  }
})

test('a payload that cannot travel is refused with a typed error', async () => {
  const node = await startNode(options({}, { workers: 1 }))
  try {
    await assert.rejects(
      node.ask('service/fault', () => {}),
      { code: 'SIGNALBOX_CODEC_UNENCODABLE' },
    )
  } finally {
    await node.stop(1_000)
  }
})

test('inspect gives plain data on the node, its workers and their actors', async () => {
  const node = await startNode(options({}, { nodeId: 'looked-at' }))
  try {
    const { workers, ...view } = await node.inspect()
    assert.deepEqual(view, { node: 'looked-at', endpoint: undefined, replaced: 0, peers: [] })
    assert.deepEqual(
      workers.map(({ slot, place, state }) => ({ slot, place, state })),
      [0, 1].map(slot => ({ slot, place: `looked-at/${slot}:1`, state: 'ready' })),
    )
    for (const { actors } of workers) {
      const actor = (actors as { address: string; state: string }[]).find(a => a.address === 'service/fault')
      assert.equal(actor?.state, 'running')
    }
    assert.deepEqual(structuredClone(workers), workers)
  } finally {
    await node.stop(1_000)
  }
})

/** Has `count` workers die, each of the four in its turn. */
async function round(node: Node, from: number, count: number): Promise<void> {
  const faults = ['exit', 'throw', 'reject']
  for (let i = 0; i < count; ) {
    await until(
      () => node.host.workers.length === 4 && node.host.workers.every(w => w.state === 'ready'),
      'all are ready',
    )
    const dying = Array.from({ length: Math.min(4, count - i) }, (_, slot) => {
      const startMs = performance.now()
      return fault(node, slot, faults[(from + i + slot) % 3]!).then(
        () => assert.fail('the worker lives'),
        (error: SignalboxError) => {
          assert.ok(error instanceof SignalboxError)
          assert.equal(error.code, 'SIGNALBOX_WORKER_LOST')
          assert.ok(performance.now() - startMs < 5_000, `it took ${performance.now() - startMs} ms`)
        },
      )
    })
    await Promise.all(dying)
    i += dying.length
  }
  await until(
    () => node.host.workers.length === 4 && node.host.workers.every(w => w.state === 'ready'),
    'all are ready',
  )
}

function fault(node: Node, slot: number, name: string): Promise<unknown> {
  const worker = node.host.workers.find(other => other.slot === slot)!
  return worker.request('ask', { to: 'service/fault', payload: name, timeoutMs: 20_000 })
}

async function resources() {
  const active = process.getActiveResourcesInfo()
  const count = (type: string) => active.filter(other => other === type).length
  return {
    descriptors: (await readdir('/proc/self/fd')).length,
    threads: await threadCount(),
    ports: count('MessagePort'),
    workers: count('Worker'),
    rss: process.memoryUsage().rss,
  }
}

function sameBut(
  now: Awaited<ReturnType<typeof resources>>,
  before: Awaited<ReturnType<typeof resources>>,
): boolean {
  return (
    now.descriptors <= before.descriptors &&
    now.threads <= before.threads &&
    now.ports <= before.ports &&
    now.workers <= before.workers
  )
}

async function threadCount(): Promise<number> {
  return (await readdir('/proc/self/task')).length
}
