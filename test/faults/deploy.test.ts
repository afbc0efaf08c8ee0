/**
 * Hot deployment under load: no call fails, none is of mixed versions, a broken version changes nothing, and memory
 * stays what it was. SIGNALBOX_DEPLOYMENTS=1000 makes that many deployments.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { call, until } from '../load.ts'
import { type Answer, CORE, DeployBus, type Deployed, SteadyLoad, source } from './deploy-kit.ts'

const COUNT = Number(process.env.SIGNALBOX_DEPLOYMENTS ?? 150)
const PER_SECOND = 500
/** The workers are replaced by fresh ones after so many; memory is compared with what it was then. */
const FIRST = 50
const LIVE_MS = 2_000
const DRAIN_MS = 30_000
const MAX_GROWTH = 1.2
const MAX_GROWTH_MB = 50
const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

const SHARED = `import { Service } from '${CORE}'
import { shared } from '../lib/shared.ts'
export default class Shared extends Service {
  handle() {
    this.response.headers['content-type'] = 'application/json'
    return JSON.stringify(shared)
  }
}
`

let bus: DeployBus
/** Version of version.ts that serves. */
let serving = 0

before(async () => {
  bus = await DeployBus.start({
    'services/version.ts': source(0),
    'services/shared.ts': SHARED,
    'lib/shared.ts': `export const shared = 'old'\n`,
  })
})
after(() => bus?.stop())

test(`${COUNT} deployments at ${PER_SECOND} requests a second: no failed call, memory stays`, async t => {
  const started = performance.now()
  await using load = new SteadyLoad(`${bus.url}/version`, PER_SECOND)
  const memory: number[] = []
  let slowestMs = 0
  while (serving < COUNT) {
    const begin = performance.now()
    await deployNext()
    slowestMs = Math.max(slowestMs, performance.now() - begin)
    assert.deepEqual(await answer('version'), { before: serving, after: serving })
    if (serving % 10 === 0) await refused()
    if (serving % FIRST === 0 || serving === COUNT) memory.push(await memoryOfFresh())
  }
  await load.stop()
  const [first, end] = [memory[0]!, memory.at(-1)!]
  t.diagnostic(
    `${load.ok} calls, ${Math.round(load.rate)} a second; slowest deployment ${Math.round(slowestMs)} ms; ` +
      `${Math.round((performance.now() - started) / 1000)} s in all`,
  )
  t.diagnostic(`MiB after each ${FIRST} deployments: ${memory.map(Math.round).join(' ')}`)
  assert.deepEqual(load.failed, [])
  assert.ok(load.rate > PER_SECOND * 0.8, `${load.rate} requests a second`)
  assert.ok(slowestMs < LIVE_MS, `a deployment took ${slowestMs} ms`)
  assert.equal(await bus.replaced(), 0)
  assert.ok(end < first * MAX_GROWTH, `memory has grown from ${first} to ${end} MiB`)
  assert.ok(end - first < MAX_GROWTH_MB, `memory has grown from ${first} to ${end} MiB`)
})

const WAYS: Record<
  string,
  { put(file: string, text: string): Promise<unknown>; remove(file: string): unknown }
> = {
  'saved in an editor': {
    put: (file, text) => bus.save(`services/${file}`, text),
    remove: file => rm(join(bus.root, 'services', file)),
  },
  'sent with signalbox deploy': {
    put: async (file, text) => {
      const path = join(bus.root, '..', file)
      await writeFile(path, text)
      await cli('deploy', path, '--as', file)
    },
    remove: file => cli('deploy', '--remove', `services/${file}`),
  },
  'put to the admin API': {
    put: (file, text) => admin('PUT', file, text),
    remove: file => admin('DELETE', file),
  },
}

for (const [way, { put, remove }] of Object.entries(WAYS)) {
  test(`what is ${way} is live on every worker within two seconds under load, and gone when it is removed`, async t => {
    await using load = new SteadyLoad(`${bus.url}/version`, PER_SECOND)
    const version = ++serving
    for (const file of ['version.ts', 'gone.ts']) {
      const before = await bus.versions(file)
      const begin = performance.now()
      await put(file, source(version))
      await until(async () => isNewEverywhere(await bus.versions(file), before), `${file} is live`)
      const tookMs = performance.now() - begin
      t.diagnostic(`${file} was live after ${Math.round(tookMs)} ms`)
      assert.ok(tookMs < LIVE_MS, `it took ${tookMs} ms`)
      for (const seen of await answers(file.replace('.ts', ''))) assert.equal(seen, version)
    }
    const begin = performance.now()
    await remove('gone.ts')
    await until(
      async () => (await bus.versions('gone.ts')).every(version => version === null),
      'it is removed',
    )
    await until(async () => (await call(`${bus.url}/gone`)).status === 404, 'the service is gone')
    assert.ok(performance.now() - begin < LIVE_MS)
    assert.ok(!(await readdir(join(bus.root, 'services'))).includes('gone.ts'))
    await load.stop()
    assert.deepEqual(load.failed, [])
  })
}

test('a file that is removed and written again and again ends as what was written last', async () => {
  const path = join(bus.root, 'services', 'gone.ts')
  for (let round = 1; round <= 200; round++) {
    await rm(path, { force: true })
    // At any moment between what the watcher sees and what is read.
    if (round % 3 === 0) await call(`${bus.url}/shared`)
    await writeFile(path, source(round))
  }
  await until(async () => {
    const { status, body } = await call(`${bus.url}/gone`)
    return status === 200 && (JSON.parse(body) as Answer).before === 200
  }, 'the last version is live')
  await rm(path)
  await until(async () => (await call(`${bus.url}/gone`)).status === 404, 'the service is gone')
  assert.equal(await bus.replaced(), 0)
})

test('a version that does not load leaves the old one serving and says file, line and reason', async () => {
  await refused()
  await assert.rejects(bus.deploy('version.ts', 'export const no = 1'), { code: 'SIGNALBOX_SERVICE_INVALID' })
  await assert.rejects(
    bus.deploy('version.ts', source(1).replace('async', `static placement = 'x'; async`)),
    {
      code: 'SIGNALBOX_SERVICE_INVALID',
      message: /^version\.ts: placement is one of everyWorker, singleton, keyed/,
    },
  )
  const twin = source(1).replace('static', `static serviceName = 'version'\n  static`)
  await assert.rejects(bus.deploy('other.ts', twin), {
    code: 'SIGNALBOX_SERVICE_INVALID',
    message: /both define the service version/,
  })
  for (const seen of await answers('version')) assert.equal(seen, serving)
})

test('what only some workers can load is taken back everywhere, also from the disk', async () => {
  const fussy = `import { workerData } from 'node:worker_threads'\nif (workerData.slot === 1) throw new Error('not here')\n`
  const path = join(bus.root, 'services/version.ts')
  const [text, versions] = [await readFile(path, 'utf8'), await bus.versions('version.ts')]
  for (const file of ['version.ts', 'made/for/it.ts']) {
    await assert.rejects(bus.deploy(file, fussy + source(1)), { message: `${file}:2: not here` })
  }
  assert.equal(await readFile(path, 'utf8'), text)
  assert.deepEqual(await bus.versions('version.ts'), versions)
  assert.deepEqual(await readdir(join(bus.root, 'services')), ['shared.ts', 'version.ts'])
  for (const seen of await answers('version')) assert.equal(seen, serving)
})

test('a call under way ends in its version; its worker has gone soon; deployments go on meanwhile', async () => {
  await using load = new SteadyLoad(`${bus.url}/version`, PER_SECOND)
  await bus.deploy('slow.ts', source(1, 4_000))
  const slow = answers('slow')
  await until(async () => (await busy('slow')) >= 8, 'the calls are under way')
  await bus.deploy('slow.ts', source(2))
  for (const seen of await answers('slow')) assert.equal(seen, 2)
  const old = await bus.workers()
  const begin = performance.now()
  await bus.save('lib/shared.ts', `export const shared = 'rolled'\n`)
  await until(async () => (await bus.workers()).some(({ state }) => state === 'draining'), 'workers drain')
  const deploying = performance.now()
  await deployNext()
  assert.ok(performance.now() - deploying < LIVE_MS, 'a deployment waited for the drain')
  assert.ok((await bus.workers()).some(({ state }) => state === 'draining'))
  for (const seen of await slow) assert.equal(seen, 1)
  const isOld = ({ place }: { place: string }) => old.some(other => other.place === place)
  await until(async () => !(await bus.workers()).some(isOld), 'the old workers have gone', DRAIN_MS)
  assert.ok(performance.now() - begin < DRAIN_MS)
  await until(ready, 'all workers are ready')
  for (const seen of await answers('version')) assert.equal(seen, serving)
  await bus.remove('slow.ts')
  await load.stop()
  assert.deepEqual(load.failed, [])
})

test('a service that moves between all workers and one of them takes no worker down', async () => {
  const isNew = async () => {
    const { status, body } = await call(`${bus.url}/version`)
    return status === 200 && (JSON.parse(body) as Answer).before === serving
  }
  await using load = new SteadyLoad(`${bus.url}/version`, PER_SECOND)
  for (const placement of ['singleton', 'everyWorker', 'keyed', 'singleton', 'everyWorker', 'singleton']) {
    const text = source(++serving).replace('static', `static placement = '${placement}'\n  static`)
    await bus.deploy('version.ts', text)
    // It has no address without a key there.
    if (placement !== 'keyed') await until(isNew, `it is ${placement}`)
  }
  await bus.remove('version.ts')
  await until(async () => (await call(`${bus.url}/version`)).status === 404, 'the service is gone')
  await load.stop()
  await deployNext()
  await until(isNew, 'it is there again')
  assert.equal(await bus.replaced(), 0)
})

test('a change beside the services is seen by all of them, under load', async () => {
  await using load = new SteadyLoad(`${bus.url}/version`, PER_SECOND)
  const body = async () => JSON.parse((await call(`${bus.url}/shared`)).body) as unknown
  await bus.save('lib/shared.ts', `export const shared = 'new'\n`)
  await until(async () => (await body()) === 'new', 'the new module is used')
  await until(ready, 'all workers are ready')
  await bus.save('lib/shared.ts', 'export const = broken\n')
  await until(async () => (await bus.workers()).some(({ state }) => state === 'starting'), 'one is tried')
  await until(ready, 'all workers are ready')
  assert.equal(await body(), 'new')
  await load.stop()
  assert.deepEqual(load.failed, [])
  await bus.save('lib/shared.ts', `export const shared = 'mended'\n`)
  await until(async () => (await body()) === 'mended', 'the mended module is used')
})

test('names that lead out of the folder are refused', async () => {
  for (const file of [
    '../x.ts',
    '/etc/x.ts',
    'a/../../x.ts',
    'x.txt',
    'x.test.ts',
    '_x.ts',
    'a\0.ts',
    'a\\..\\x.ts',
    '.x.ts',
    `${'é'.repeat(150)}.ts`,
  ]) {
    await assert.rejects(bus.deploy(file, source(1)), { code: 'SIGNALBOX_USAGE' }, file)
    await assert.rejects(bus.remove(file), { code: 'SIGNALBOX_USAGE' }, file)
  }
})

test('nothing is written, read or removed through a link below services/', async () => {
  const services = join(bus.root, 'services')
  const outside = join(bus.root, '..', 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'there.ts'), source(1))
  await writeFile(join(outside, 'target'), 'as it was')
  await symlink(outside, join(services, 'linked'))
  await symlink(join(outside, 'there.ts'), join(services, 'there.ts'))
  await symlink(join(outside, 'target'), join(services, '_pending.fresh.ts'))
  const message = /services\/linked is a link/
  for (const file of ['linked/new.ts', 'linked/deep/new.ts', 'linked/there.ts']) {
    await assert.rejects(bus.deploy(file, source(1)), { code: 'SIGNALBOX_USAGE', message }, file)
    await assert.rejects(bus.remove(file), { code: 'SIGNALBOX_USAGE', message }, file)
  }
  // What is saved wakes the watcher: neither link has become a service.
  await bus.save('services/version.ts', source(++serving))
  await until(async () => (await answers('version')).every(seen => seen === serving), 'it is live')
  assert.deepEqual(await bus.versions('there.ts'), [null, null])
  assert.deepEqual(await bus.versions('linked/there.ts'), [null, null])
  await bus.deploy('fresh.ts', source(1))
  await bus.deploy('there.ts', source(2))
  assert.deepEqual(await readdir(outside), ['target', 'there.ts'])
  assert.equal(await readFile(join(outside, 'target'), 'utf8'), 'as it was')
  assert.equal(await readFile(join(outside, 'there.ts'), 'utf8'), source(1))
  for (const file of ['fresh.ts', 'there.ts']) await bus.remove(file)
  await rm(join(services, 'linked'))
})

test('a refused deployment leaves no folder behind, and none of those that were there goes', async () => {
  const services = join(bus.root, 'services')
  await mkdir(join(services, 'empty'))
  await writeFile(join(services, 'plain'), 'a file')
  const before = await readdir(services, { recursive: true })
  for (const file of ['a/b/c.ts', 'empty/a/b.ts', 'empty/a.ts']) {
    await assert.rejects(bus.deploy(file, 'export default\nclass extends {'), {
      code: 'SIGNALBOX_SERVICE_LOAD',
      message: new RegExp(`^${file}:2: Unexpected token`),
    })
  }
  await assert.rejects(bus.deploy('plain/a.ts', source(1)), { message: /services\/plain is no folder/ })
  assert.deepEqual(await readdir(services, { recursive: true }), before)
})

function deployNext(): Promise<Deployed> {
  return bus.deploy('version.ts', source(++serving))
}

/** A broken version is refused, with file and line, and the one before serves. */
async function refused(): Promise<void> {
  const broken = source(serving + 1).replace('const before =', 'const before before =')
  await assert.rejects(bus.deploy('version.ts', broken), {
    code: 'SIGNALBOX_SERVICE_LOAD',
    message: /^version\.ts:8: .*must be initialized/,
  })
  assert.deepEqual(await answer('version'), { before: serving, after: serving })
}

async function ready(): Promise<boolean> {
  const workers = await bus.workers()
  return workers.length === 2 && workers.every(({ state }) => state === 'ready')
}

/** Memory when those workers that the deployments had replaced have gone. */
async function memoryOfFresh(): Promise<number> {
  await until(ready, 'the workers were replaced', DRAIN_MS)
  return bus.memory()
}

function isNewEverywhere(versions: (string | null)[], before: (string | null)[]): boolean {
  return versions.every(version => version !== null && version === versions[0] && !before.includes(version))
}

async function answer(service: string): Promise<Answer> {
  const { status, body } = await call(`${bus.url}/${service}`)
  assert.equal(status, 200, body)
  const { before, after } = JSON.parse(body) as Answer
  return { before, after }
}

/** The versions that answer, over several connections. */
async function answers(service: string): Promise<number[]> {
  const all = await Promise.all(Array.from({ length: 8 }, () => answer(service)))
  return all.map(({ before }) => before)
}

/** Calls that a service has under way, over all workers. */
async function busy(service: string): Promise<number> {
  const response = await fetch(`${bus.admin}/v1/node`, { headers: { authorization: `Bearer ${bus.token}` } })
  const { workers } = (await response.json()) as {
    workers: { actors: { address: string; busy: number }[] }[]
  }
  const actors = workers
    .flatMap(worker => worker.actors)
    .filter(actor => actor.address === `service/${service}`)
  return actors.reduce((sum, actor) => sum + actor.busy, 0)
}

async function admin(method: string, file: string, body?: string): Promise<void> {
  const response = await fetch(`${bus.admin}/v1/service-files/${file}`, {
    method,
    headers: { authorization: `Bearer ${bus.token}`, 'content-type': 'text/plain' },
    ...(body !== undefined && { body }),
  })
  assert.ok(response.ok, `${response.status}: ${await response.text()}`)
}

/** The command line, from its start to its end. */
async function cli(...args: string[]): Promise<void> {
  const env = {
    ...process.env,
    SIGNALBOX_URL: bus.admin,
    SIGNALBOX_TOKEN: bus.token,
    XDG_CACHE_HOME: join(bus.root, '..', 'cache'),
  }
  await promisify(execFile)(process.execPath, [CLI, ...args], { env })
}
