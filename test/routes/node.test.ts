/** Routes on a node: called by channels, services and queues, deployed while it runs, swept after a restart. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import type { RouteView } from '../../actors/route-units.ts'
import { type RunningProject, startProject } from '../../cli/start.ts'
import type { SignalboxError } from '../../core/errors.ts'
import { CORE, SteadyLoad } from '../faults/deploy-kit.ts'
import { until } from './kit.ts'

const YAML = `workers: 2
admin: { port: 0 }
queues:
  - { name: work, options: { route: worker, retry: { maxAttempts: 2, minMs: 1, maxMs: 1 } } }
  - { name: failed }
channels:
  - name: public
    type: http
    options:
      port: 0
      routes:
        - { path: /version, route: version }
        - { path: /put, method: POST, service: put }
        - { path: /by-service, method: POST, service: caller }
        - { path: /seen, service: seen }
        - { path: /later, method: POST, target: route/later }
        - { path: /limited, method: POST, route: limited }
`

/** A route that says which version answers, before and after it has waited. */
function version(n: number): string {
  return `steps:
  - set: { vars: { before: ${n} } }
  - delay: 1
  - transform: '{ "before": $vars.before, "after": ${n} }'
`
}

const FILES = {
  'signalbox.yaml': YAML,
  'routes/version.yaml': version(0),
  'routes/worker.yaml': `deadLetter: failed
steps:
  - filter: n >= 0
  - choose:
      - { when: n = 13, steps: [{ fail: '"thirteen"' }] }
  - tell: note
`,
  'routes/later.yaml': 'steps: [{ delay: 1200 }, { tell: note }]',
  'routes/limited.ts': `import { route } from '${CORE}'
export default route().throttle({ limit: 3, perMs: 60_000, over: 'reject' }).transform(() => 'passed')
`,
  'services/put.ts': `import { Service } from '${CORE}'
export default class extends Service { handle(input) { return this.enqueue('work', input) } }
`,
  'services/caller.ts': `import { Service } from '${CORE}'
export default class extends Service { handle() { return this.invoke('route/version') } }
`,
  'services/note.ts': `import { Service } from '${CORE}'
export default class extends Service {
  static placement = 'singleton'
  handle(input) { (globalThis.noted ??= []).push(input.n) }
}
`,
  'services/seen.ts': `import { Service } from '${CORE}'
export default class extends Service {
  static balance = 'roundRobin'
  handle() { return globalThis.noted ?? [] }
}
`,
}

let home: string
let running: RunningProject
let url: string

async function start(): Promise<void> {
  running = await startProject(join(home, 'project'), { stateFolder: join(home, 'state') })
  const { workers } = await running.node.inspect()
  const actors = workers.flatMap(({ actors }) => actors as { address: string; endpoint?: string }[])
  url = actors.find(({ address }) => address === 'channel/http/public')!.endpoint!
}

before(async () => {
  process.env.SIGNALBOX_LOG_LEVEL ??= 'silent'
  home = await mkdtemp(join(tmpdir(), 'signalbox-route-node-'))
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(home, 'project', path)), { recursive: true })
    await writeFile(join(home, 'project', path), text)
  }
  await start()
})

after(async () => {
  await running.stop(500)
  await rm(home, { recursive: true })
})

async function post(path: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await answer.text()
  const isJson = answer.headers.get('content-type')?.startsWith('application/json')
  return { status: answer.status, body: isJson ? (JSON.parse(text) as unknown) : text }
}

/** What the service has noted, in whichever worker it lives. */
async function noted(): Promise<number[]> {
  const lists = await Promise.all(
    [1, 2, 3, 4].map(async () => (await (await fetch(`${url}/seen`)).json()) as number[]),
  )
  return lists.sort((a, b) => b.length - a.length)[0]!
}

test('a channel, a service and a queue reach a route; what fails becomes a dead letter', async () => {
  assert.deepEqual(await (await fetch(`${url}/version`)).json(), { before: 0, after: 0 })
  assert.deepEqual((await post('/by-service', {})).body, { before: 0, after: 0 })
  assert.deepEqual(await running.node.invoke('route/version'), { before: 0, after: 0 })
  for (const n of [1, -1, 13, 2]) assert.equal((await post('/put', { n })).status, 200)
  await until(async () => (await noted()).length === 2, 'both have come')
  assert.deepEqual((await noted()).sort(), [1, 2])
  const keeper = running.node.host.keeper!
  const letters = async () => {
    const request = { kind: 'queue', name: 'failed' }
    const page = (await keeper.request('browseLog', request)) as {
      messages: { payload: unknown; headers: unknown }[]
    }
    return page.messages
  }
  await until(async () => (await letters()).length > 0, 'the dead letter is kept')
  const [letter] = await letters()
  assert.deepEqual(letter?.payload, { n: 13 })
  assert.deepEqual((letter!.headers as Record<string, string>)['sb-dead-reason'], 'thirteen')
})

test('a throttle counts for all workers of the node', async () => {
  const statuses = await Promise.all(
    Array.from({ length: 10 }, async () => (await post('/limited', {})).status),
  )
  assert.deepEqual(
    [statuses.filter(status => status === 200).length, statuses.filter(status => status === 429).length],
    [3, 7],
  )
})

test('counts of the steps are in the inspection of the node', async () => {
  const { workers } = await running.node.inspect()
  const actors = workers.flatMap(
    ({ actors }) => actors as { address: string; steps?: { id: string; begun: number }[] }[],
  )
  const counts = actors
    .filter(({ address }) => address === 'route/worker')
    .map(({ steps }) => steps!.find(({ id }) => id === 'filter-1')!.begun)
  assert.equal(
    counts.reduce((a, b) => a + b, 0),
    4,
  )
})

test('what was delayed goes on after a restart of the node', async () => {
  assert.equal((await post('/later', { n: 77 })).status, 204)
  await running.stop(500)
  await start()
  await until(async () => (await noted()).includes(77), 'it went on')
})

test('a route is deployed under load without a failed call; one that is broken changes nothing', async () => {
  await using load = new SteadyLoad(`${url}/version`, 150, 8)
  for (let n = 1; n <= 12; n++) {
    const { name } = await running.deployer.deploy('version.yaml', version(n), 'route')
    assert.equal(name, 'version')
    const { ok } = load
    await until(() => load.ok > ok + 10, 'calls go on')
  }
  await assert.rejects(
    running.deployer.deploy('version.yaml', `${version(13)}  - delya: 1\n`, 'route'),
    (error: SignalboxError) => {
      assert.deepEqual([error.code, error.details?.line], ['SIGNALBOX_ROUTE_INVALID', 5])
      return true
    },
  )
  // Saved in an editor, beside one that is broken.
  await writeFile(join(running.project.root, 'routes/broken.yaml'), 'steps: [{}]')
  await writeFile(join(running.project.root, 'routes/version.yaml'), version(14))
  await until(async () => {
    const { after } = (await running.node.invoke('route/version')) as { after: number }
    return after === 14
  }, 'the saved file runs')
  await load.stop()
  assert.deepEqual(load.failed, [])
  const views = await Promise.all(
    running.node.host.workers.map(worker => worker.request('routes', undefined) as Promise<RouteView[]>),
  )
  for (const list of views) {
    assert.deepEqual(list.map(({ name }) => name).sort(), ['later', 'limited', 'version', 'worker'])
  }
  await running.deployer.remove('limited.ts', 'route')
  await assert.rejects(running.node.invoke('route/limited'), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
})
