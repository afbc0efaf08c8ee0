/** Hot deployment under load: no call fails, none is of mixed versions, a broken version changes nothing. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type RunningProject, startProject } from '../../cli/start.ts'
import { urlOf } from '../faulty-bus.ts'
import { call, Load, until } from '../load.ts'

const COUNT = Number(process.env.SIGNALBOX_DEPLOYMENTS ?? 120)
const CORE = new URL('../../core/index.ts', import.meta.url).href

let bus: RunningProject
let url: string
let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'signalbox-deploy-'))
  await mkdir(join(root, 'services'))
  await mkdir(join(root, 'lib'))
  await writeFile(
    join(root, 'signalbox.yaml'),
    `workers: 2
channels:
  - { name: public, type: http, options: { port: 0, routes: [
      { path: /version, service: version }, { path: /gone, service: gone }, { path: /shared, service: shared } ] } }
`,
  )
  await save('version', source(0))
  await writeFile(join(root, 'lib/shared.ts'), `export const shared = 'old'\n`)
  await save('shared', sharedSource)
  bus = await startProject(root)
  url = await urlOf(bus.node)
})
after(async () => {
  await bus.stop(1_000)
  await rm(root, { recursive: true })
})

test(`${COUNT} deployments under load: no failed call, versions never go back on a connection`, async () => {
  const load = new Load(`${url}/version`, 8)
  const memory: number[] = []
  for (let version = 1; version <= COUNT; version++) {
    const { name } = await bus.deployer.deploy('version.ts', source(version))
    assert.equal(name, 'version')
    const { body } = await call(`${url}/version`)
    assert.deepEqual(JSON.parse(body), { before: version, after: version })
    memory.push(process.memoryUsage().rss)
  }
  await load.stop()
  assert.deepEqual(load.failed, [])
  assert.ok(load.ok > COUNT, `${load.ok} calls`)
})

test('what is saved in an editor is live on every worker within two seconds', async () => {
  await save('version', source(10_001))
  const start = Date.now()
  await until(
    async () => (await versions()).every(version => version === 10_001),
    'the saved version is live',
  )
  assert.ok(Date.now() - start < 2_000, `it took ${Date.now() - start} ms`)
})

test('a version that does not load leaves the old one serving and says file, line and reason', async () => {
  const before = await versions()
  await assert.rejects(bus.deployer.deploy('version.ts', 'export default\nclass extends {'), {
    code: 'SIGNALBOX_SERVICE_LOAD',
    message: /^version\.ts:2: /,
  })
  await assert.rejects(bus.deployer.deploy('version.ts', 'export const no = 1'), {
    code: 'SIGNALBOX_SERVICE_INVALID',
  })
  await assert.rejects(bus.deployer.deploy('other.ts', sharedSource.replace('Shared', 'Version') + naming), {
    code: 'SIGNALBOX_SERVICE_INVALID',
    message: /both define the service version/,
  })
  assert.deepEqual(await versions(), before)
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
  ]) {
    await assert.rejects(bus.deployer.deploy(file, source(1)), { code: 'SIGNALBOX_USAGE' }, file)
  }
})

test('a new file is a new service, a removed one is gone', async () => {
  assert.equal((await call(`${url}/gone`)).status, 404)
  await bus.deployer.deploy('gone.ts', source(5))
  assert.equal((await call(`${url}/gone`)).status, 200)
  await bus.deployer.remove('gone.ts')
  await until(async () => (await call(`${url}/gone`)).status === 404, 'the service is gone')
})

test('a change beside the services is seen by all of them, under load', async () => {
  const load = new Load(`${url}/version`, 4)
  await writeFile(join(root, 'lib/shared.ts'), `export const shared = 'new'\n`)
  await until(async () => JSON.parse((await call(`${url}/shared`)).body) === 'new', 'the new module is used')
  await writeFile(join(root, 'lib/shared.ts'), 'export const = broken\n')
  await until(() => bus.node.host.workers.every(({ state }) => state === 'ready'), 'all workers are ready')
  const { body } = await call(`${url}/shared`)
  assert.equal(JSON.parse(body), 'new')
  await load.stop()
  assert.deepEqual(load.failed, [])
})

const sharedSource = `import { Service } from '${CORE}'
import { shared } from '../lib/shared.ts'
export default class Shared extends Service { handle() { this.response.headers['content-type'] = 'application/json'; return JSON.stringify(shared) } }
`
const naming = `\nObject.assign(Version, { serviceName: 'version' })\n`

function source(version: number): string {
  return `import { Service } from '${CORE}'
const before = ${version}
export default class extends Service {
  async handle() {
    await null
    return { before, after: ${version} }
  }
}
`
}

async function save(name: string, text: string): Promise<void> {
  await writeFile(join(root, 'services', `${name}.ts`), text)
}

/** The version that each worker runs, asked over connections of their own. */
async function versions(): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: 12 }, () => call(`${url}/version`)))
  return answers.map(({ body }) => (JSON.parse(body) as { before: number }).before)
}
