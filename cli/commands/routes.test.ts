import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fixture } from '../../test/fixture.ts'
import { adminTestServer, run, runAt } from '../admin-test-server.ts'

const PROJECT = {
  'signalbox.yaml': 'workers: 1\n',
  'routes/orders/intake.yaml': `description: takes orders
deadLetter: failed
steps:
  - filter: total > 0
  - call: orders.create
`,
  'routes/orders/intake.test.yaml': `services:
  orders.create: { answer: { id: 7 } }
tests:
  - name: orders are created
    given: { payload: { total: 5 } }
    expect: { payload: { id: 7 }, calls: [{ service: orders.create, payload: { total: 5 } }] }
  - name: what fails is a dead letter
    given: { payload: { total: 5 } }
    services: { orders.create: { error: { code: NO, status: 422 } } }
    expect: { enqueued: [{ queue: failed, headers: { sb-dead-step: call-1 } }] }
`,
}

test('routes lists the routes of a project and draws them', async () => {
  using folder = fixture(PROJECT)
  const cwd = join(folder.path, 'routes')
  const [list, chart, all, typo] = await Promise.all([
    run(['routes'], { cwd }),
    run(['routes', '--mermaid', 'orders.intake'], { cwd }),
    run(['routes', '--json', '--dir', folder.path]),
    run(['routes', 'order.intake'], { cwd }),
  ])
  assert.match(list.out, /orders\.intake {2}orders\/intake\.yaml {2}filter, call {2}takes orders/)
  assert.match(chart.out, /^flowchart TD\n[\s\S]*call orders\.create[\s\S]*dead letters: failed/)
  assert.equal(JSON.parse(all.out)[0].steps[1].id, 'call-1')
  assert.equal(typo.code, 2)
  assert.match(typo.err, /did you mean 'orders\.intake'/)
})

test('routes says what is wrong with a file and shows the others', async () => {
  using folder = fixture({ ...PROJECT, 'routes/bad.yaml': 'steps:\n  - call: { servic: x }\n' })
  const { code, out, err } = await run(['routes'], { cwd: folder.path })
  assert.equal(code, 1)
  assert.match(err, /bad\.yaml:2:13: .+did you mean 'service'/)
  assert.match(out, /orders\.intake/)
})

test('routes --counts adds up what the workers say', async () => {
  const actor = { address: 'route/a', state: 'running', steps: [{ id: 's', begun: 2, failed: 1 }] }
  const worker = { slot: 0, place: 'n/0', state: 'ready', actors: [actor] }
  const node = {
    node: 'n',
    name: 'n',
    version: '1',
    startedAt: 0,
    peers: [],
    replaced: 0,
    workers: [worker, worker],
  }
  await using server = await adminTestServer({ node })
  const { out } = await runAt(server, ['routes', '--counts', '--json'])
  assert.deepEqual(JSON.parse(out), [{ route: 'a', step: 's', begun: 4, failed: 2 }])
})

test('test runs what lies beside the routes and says what differs', async () => {
  using folder = fixture({
    ...PROJECT,
    'routes/plain.test.ts': `import { test } from 'node:test'\ntest('runs', t => t.assert.ok(true))\n`,
  })
  const good = await run(['test'], { cwd: folder.path })
  assert.equal(good.code, 0, good.out + good.err)
  assert.equal(good.out.match(/✔/g)!.length, 3)
  using broken = fixture({
    ...PROJECT,
    'routes/orders/intake.test.yaml': `tests:
  - name: differs
    given: { payload: { total: -1 } }
    expect: { payload: 7, calls: [{ service: x }] }
`,
    'routes/lost.test.yaml': 'tests: []\n',
    'routes/orders/wrong.test.yaml': 'test: []\n',
    'routes/orders/wrong.yaml': 'steps: [{ stop: }]\n',
  })
  const bad = await run(['test', broken.path])
  assert.equal(bad.code, 1)
  assert.match(
    bad.out,
    /✖ .+: differs\n {4}payload: expected 7, got null\n {4}calls: how many: expected 1, got 0/,
  )
  assert.match(bad.out, /lost\.test\.yaml\n {4}there is no route/)
  assert.match(bad.out, /did you mean 'tests'/)
})

test('deploy knows routes by their folder', async () => {
  await using server = await adminTestServer({
    deployRoute: { file: 'orders/intake.yaml', name: 'orders.intake', version: '0123456789ab' },
    undeployRoute: {},
  })
  using folder = fixture(PROJECT)
  const file = join(folder.path, 'routes/orders/intake.yaml')
  const { code, out } = await runAt(server, ['deploy', file])
  assert.equal(code, 0)
  assert.match(out, /runs as orders\.intake/)
  assert.equal((await runAt(server, ['deploy', '--remove', 'routes/gone.yaml'])).code, 0)
  assert.deepEqual(
    server.seen.map(({ handler, params }) => [handler, params['*']]),
    [
      ['deployRoute', 'orders/intake.yaml'],
      ['undeployRoute', 'gone.yaml'],
    ],
  )
})
