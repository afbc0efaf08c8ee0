import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import { silentLogger } from '../telemetry/log.ts'
import { CpuPool, type CpuPoolOptions } from './cpu-pool.ts'

const FILES: Record<string, string> = {
  double: 'export default (n: number): number => n * 2',
  later: 'export default async (n: number) => { await new Promise(done => setTimeout(done, 1)); return n }',
  echo: 'export default (value: unknown) => value',
  spin: 'export default () => { for (;;); }',
  spinShared: 'export default (bytes: Int32Array) => { for (;;) bytes[0]! += 1 }',
  arrays:
    'export default () => { const all: unknown[] = []; for (;;) all.push(new Array(1000).fill(all.length)) }',
  giants:
    'export default () => { const all: unknown[] = []; for (;;) all.push(new Array(30_000_000).fill(0)) }',
  map: 'export default () => { const all = new Map(); for (let i = 0; ; i++) all.set(i, { i }) }',
  buffers:
    'export default () => { const all: unknown[] = []; for (;;) all.push(Buffer.alloc(1_000_000, 1)) }',
  exit: 'export default () => process.exit(3)',
  throws: "export default () => { throw new TypeError('no such thing', { cause: new Error('deeper') }) }",
  refuses: `export default () => {
    throw Object.assign(new Error('no order 7'), { code: 'ORDER_UNKNOWN', status: 404, details: { id: 7 } })
  }`,
  noData: 'export default () => ({ f: () => 1 })',
  broken: 'export default (: number) => 1',
  noDefault: 'export const run = 1',
  lateCrash: "export default () => { setTimeout(() => { throw new Error('late') }, 0); return 'done' }",
  thread: "import { threadId } from 'node:worker_threads'\nexport default () => threadId",
}

let folder: string
const file = (name: string) => join(folder, `${name}.ts`)

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-cpu-'))
  for (const [name, source] of Object.entries(FILES)) writeFileSync(file(name), source)
})
after(() => rmSync(folder, { recursive: true }))

/** A pool that is closed with the test, and whose threads are checked to be gone by then. */
function pool(t: TestContext, options: Partial<CpuPoolOptions> = {}): CpuPool {
  const created = new CpuPool({ log: silentLogger, maxThreads: 2, ...options })
  t.after(async () => {
    await created.close()
    assert.deepEqual([created.stats().threads, created.stats().running, created.stats().waiting], [0, 0, 0])
  })
  return created
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, `still not: ${condition}`)
    await new Promise(done => setTimeout(done, 5))
  }
}

function failure(work: Promise<unknown>): Promise<SignalboxError> {
  return work.then(
    value => assert.fail(`resolved with ${value}`),
    error => {
      assert.ok(error instanceof SignalboxError, `${error}`)
      return error
    },
  )
}

test('a function in a TypeScript file, by path and by URL, at once and later', async t => {
  const cpu = pool(t)
  assert.equal(cpu.stats().threads, 0, 'no thread before the first task')
  assert.equal(await cpu.run(file('double'), 21), 42)
  assert.equal(await cpu.run(pathToFileURL(file('later')), 5), 5)
  assert.equal(await cpu.run(pathToFileURL(file('later')).href, 6), 6)
  assert.equal(cpu.stats().succeeded, 3)
})

test('payloads and results travel as messages do', async t => {
  const value = {
    buffer: Buffer.alloc(100_000, 7),
    small: Buffer.from('a'),
    map: new Map([[1, -0]]),
    u: undefined,
  }
  assert.deepStrictEqual(await pool(t).run(file('echo'), value), value)
  assert.equal(value.buffer.length, 100_000, 'the sender keeps its bytes')
})

test('a payload or result that is no data is refused with its path', async t => {
  const cpu = pool(t)
  const error = await failure(cpu.run(file('echo'), { f: () => 1 }))
  assert.deepEqual([error.code, error.details?.path], ['SIGNALBOX_CODEC_UNENCODABLE', '/0/f'])
  const back = await failure(cpu.run(file('noData'), null))
  assert.deepEqual([back.code, back.details?.path], ['SIGNALBOX_CODEC_UNENCODABLE', '/0/f'])
})

test('200 tasks at once', async t => {
  const cpu = pool(t)
  const results = await Promise.all(Array.from({ length: 200 }, (_, i) => cpu.run(file('double'), i)))
  assert.deepEqual(
    results,
    Array.from({ length: 200 }, (_, i) => i * 2),
  )
  assert.ok(cpu.stats().threads <= 2)
})

test('a task that spins is ended by its time limit, and the pool goes on', async t => {
  const cpu = pool(t, { maxThreads: 1 })
  const spinning = failure(cpu.run(file('spin'), null, { timeoutMs: 300 }))
  const next = cpu.run(file('double'), 4)
  const error = await spinning
  assert.equal(error.code, 'SIGNALBOX_CPU_TIMEOUT')
  assert.match(error.message, /spin\.ts had no result within 300 ms/)
  assert.equal(await next, 8)
  await until(() => cpu.stats().threads === 1)
})

test('the time limit counts waiting, and a deadline counts too', async t => {
  const cpu = pool(t, { maxThreads: 1 })
  const spinning = failure(cpu.run(file('spin'), null, { timeoutMs: 20_000 }))
  const waiting = await failure(cpu.run(file('double'), 1, { timeoutMs: 50 }))
  assert.equal(waiting.code, 'SIGNALBOX_CPU_TIMEOUT')
  const expired = await failure(cpu.run(file('double'), 1, { deadlineAt: Date.now() - 1 }))
  assert.equal(expired.code, 'SIGNALBOX_CPU_TIMEOUT')
  const soon = await failure(cpu.run(file('double'), 1, { deadlineAt: Date.now() + 50 }))
  assert.equal(soon.code, 'SIGNALBOX_CPU_TIMEOUT')
  assert.deepEqual([cpu.stats().running, cpu.stats().waiting, cpu.stats().stopped], [1, 0, 2])
  await cpu.close()
  assert.equal((await spinning).code, 'SIGNALBOX_CANCELLED')
})

test('an aborted signal ends a running task and takes a waiting one out', async t => {
  const cpu = pool(t, { maxThreads: 1 })
  const [running, waiting] = [new AbortController(), new AbortController()]
  const first = failure(cpu.run(file('spin'), null, { signal: running.signal }))
  const second = failure(cpu.run(file('spin'), null, { signal: waiting.signal }))
  const third = cpu.run(file('double'), 2)
  waiting.abort()
  assert.equal((await second).code, 'SIGNALBOX_CANCELLED')
  assert.deepEqual([cpu.stats().running, cpu.stats().waiting], [1, 1])
  running.abort()
  assert.equal((await first).code, 'SIGNALBOX_CANCELLED')
  assert.equal(await third, 4)
  assert.equal(
    (await failure(cpu.run(file('double'), 1, { signal: AbortSignal.abort() }))).code,
    'SIGNALBOX_CANCELLED',
  )
})

test('a task that throws says what and why; an error with code and status is kept', async t => {
  const cpu = pool(t)
  const error = await failure(cpu.run(file('throws'), null))
  assert.equal(error.code, 'SIGNALBOX_CPU_FAILED')
  assert.match(error.message, /throws\.ts failed: TypeError: no such thing \(cause: Error: deeper\)/)
  assert.match(String(error.cause), /throws\.ts\?changed=[\d.]+:1:/, 'the stack is there for the log')
  const own = await failure(cpu.run(file('refuses'), null))
  assert.deepEqual(
    [own.code, own.message, own.status, own.details],
    ['ORDER_UNKNOWN', 'no order 7', 404, { id: 7 }],
  )
})

test('process.exit harms only its own task', async t => {
  const cpu = pool(t)
  const exit = failure(cpu.run(file('exit'), null))
  const others = Array.from({ length: 12 }, (_, i) => cpu.run(file('later'), i))
  assert.equal((await exit).code, 'SIGNALBOX_CPU_FAILED')
  assert.match((await exit).message, /exit\.ts failed: its thread ended: .*3/)
  assert.deepEqual(
    await Promise.all(others),
    Array.from({ length: 12 }, (_, i) => i),
  )
})

for (const bomb of ['arrays', 'giants', 'map', 'buffers']) {
  test(`memory exhausted by ${bomb} harms only its own task`, { timeout: 60_000 }, async t => {
    const cpu = pool(t, { maxHeapMb: 100 })
    const bombing = failure(cpu.run(file(bomb), null))
    const others = Array.from({ length: 12 }, (_, i) => cpu.run(file('later'), i))
    const error = await bombing
    assert.deepEqual([error.code, error.details?.maxHeapMb], ['SIGNALBOX_CPU_FAILED', 100])
    assert.deepEqual(
      await Promise.all(others),
      Array.from({ length: 12 }, (_, i) => i),
    )
  })
}

test('what a task leaves behind is logged and does not take the process down', async t => {
  const warnings: object[] = []
  const cpu = pool(t, { maxThreads: 1, log: { ...silentLogger, warn: data => warnings.push(data) } })
  assert.equal(await cpu.run(file('lateCrash'), null), 'done')
  await until(() => warnings.length === 1)
  assert.equal(await cpu.run(file('double'), 1), 2)
})

test('a file that does not load says which and why', async t => {
  const cpu = pool(t)
  const reasons = {
    broken: /broken\.ts does not load: SyntaxError/,
    noDefault: /noDefault\.ts .*no default-exported/,
  }
  for (const [name, reason] of Object.entries(reasons)) {
    const error = await failure(cpu.run(file(name), null))
    assert.equal(error.code, 'SIGNALBOX_CPU_FAILED')
    assert.match(error.message, reason)
  }
  assert.match((await failure(cpu.run(file('missing'), null))).message, /missing\.ts does not load: .*ENOENT/)
  for (const wrong of ['./relative.ts', 'https://a/b.ts', 'data:text/javascript,1']) {
    assert.equal((await failure(cpu.run(wrong, null))).code, 'SIGNALBOX_USAGE')
  }
})

test('a changed file is loaded again', async t => {
  const cpu = pool(t, { maxThreads: 1 })
  const changing = join(folder, 'changing.ts')
  writeFileSync(changing, 'export default () => 1')
  assert.equal(await cpu.run(changing, null), 1)
  writeFileSync(changing, 'export default () => 2')
  utimesSync(changing, new Date(), new Date(Date.now() + 5_000))
  assert.equal(await cpu.run(changing, null), 2)
})

test('one task more than may wait is refused', async t => {
  const cpu = pool(t, { maxThreads: 1, maxQueue: 2 })
  const accepted = Array.from({ length: 3 }, () => failure(cpu.run(file('spin'), null)))
  const error = await failure(cpu.run(file('double'), 1))
  assert.deepEqual(
    [error.code, error.retryable, error.details],
    ['SIGNALBOX_OVERLOADED', true, { maxQueue: 2 }],
  )
  await cpu.close()
  for (const work of accepted) assert.equal((await work).code, 'SIGNALBOX_CANCELLED')
  const none = pool(t, { maxThreads: 1, maxQueue: 0 })
  assert.equal(await none.run(file('double'), 1), 2)
})

test('closing ends what runs and what waits, twice, and refuses what comes later', async t => {
  const cpu = pool(t, { maxThreads: 2 })
  const counter = new Int32Array(1)
  const works = Array.from({ length: 5 }, () => failure(cpu.run(file('spinShared'), counter)))
  await until(() => cpu.stats().threads === 2)
  await Promise.all([cpu.close(), cpu.close()])
  for (const work of works) {
    const error = await work
    assert.deepEqual([error.code, error.retryable], ['SIGNALBOX_CANCELLED', true])
  }
  assert.equal(cpu.stats().threads, 0)
  assert.equal((await failure(cpu.run(file('double'), 1))).code, 'SIGNALBOX_CANCELLED')
})

test('a thread without work ends', async t => {
  const cpu = pool(t, { idleTimeoutMs: 20 })
  await cpu.run(file('double'), 1)
  await until(() => cpu.stats().threads === 0)
  assert.equal(await cpu.run(file('double'), 2), 4)
})

test('a task is not run by the thread of its caller', async t => {
  assert.notEqual(await pool(t).run(file('thread'), null), 0)
})
