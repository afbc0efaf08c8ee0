/** A node that is operated: resources change while requests go on, and it comes back as it was after kill -9. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { freePort } from './free-port.ts'
import { call, Load, until } from './load.ts'
import { SpawnedNode } from './spawned-node.ts'

const CORE = new URL('../core/index.ts', import.meta.url).href
const KEY = 'a-key-of-a-partner-that-nobody-guesses'

let folder: string
let state: string
let port: number
let node: SpawnedNode

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-operate-'))
  state = await mkdtemp(join(tmpdir(), 'signalbox-state-'))
  port = await freePort()
  await mkdir(join(folder, 'services'))
  await writeFile(
    join(folder, 'services', 'hello.ts'),
    `import { Service } from '${CORE}'
export default class Hello extends Service {
  handle() {
    return { thread: 0, name: this.request.identity?.name, key: this.request.headers['x-api-key'] }
  }
}
`,
  )
  await writeFile(join(folder, 'signalbox.yaml'), yaml('/hello'))
  node = await SpawnedNode.start(folder, state)
})
after(async () => {
  await node.stop('SIGKILL')
  await rm(folder, { recursive: true })
  await rm(state, { recursive: true })
})

test('the admin API wants its token, which is in a file that only its owner can read', async () => {
  assert.equal((await fetch(`${node.url}/v1/node`)).status, 401)
  assert.equal((await node.admin('GET', '/v1/node')).status, 200)
  assert.equal((await fetch(`${node.url}/health/ready`)).status, 200)
})

test('apply changes the routes under load; requests go on and none fails', async () => {
  const load = new Load(`http://127.0.0.1:${port}/hello`, 6)
  await until(() => load.ok > 50, 'there is load')
  const next = yaml('/hello', '{ path: /more, service: hello }')
  const { changes } = (await (await node.admin('POST', '/v1/diff', next)).json()) as {
    changes: { id: string }[]
  }
  assert.deepEqual(
    changes.map(({ id }) => id),
    ['channel/http/public'],
  )
  assert.equal((await call(`http://127.0.0.1:${port}/more`)).status, 404)
  assert.equal((await node.admin('POST', '/v1/apply', next)).status, 200)
  await until(
    async () => (await call(`http://127.0.0.1:${port}/more`)).status === 200,
    'the new route answers',
  )
  const again = (await (await node.admin('POST', '/v1/apply', next)).json()) as { changes: unknown[] }
  assert.deepEqual(again.changes, [])
  await load.stop()
  assert.deepEqual(load.failed, [])
})

test('a change that does not start leaves everything as it was', async () => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  const taken = (blocker.address() as { port: number }).port
  const before = await (await node.admin('GET', '/v1/export')).text()
  const bad = yaml('/hello', '{ path: /more, service: hello }').replace(String(port), String(taken))
  const refused = await node.admin('POST', '/v1/apply', bad)
  const problem = (await refused.json()) as { code: string }
  assert.equal(problem.code, 'SIGNALBOX_LISTEN_FAILED', JSON.stringify(problem))
  assert.equal(await (await node.admin('GET', '/v1/export')).text(), before)
  assert.equal((await call(`http://127.0.0.1:${port}/more`)).status, 200)
  blocker.close()
})

test('a channel with security lets in who has the key, and the service sees who it is but not the key', async () => {
  assert.equal((await node.admin('PUT', '/v1/secrets/partner-key', KEY)).status < 300, true)
  const secured = `${yaml('/hello', '{ path: /more, service: hello }').replace('type: http', 'type: http, security: [partners]')}
security:
  - name: partners
    type: apiKey
    options: { keys: [{ identity: acme, key: '\${secret:partner-key}' }] }
`
  const applied = await node.admin('POST', '/v1/apply', secured)
  assert.equal(applied.status, 200, await applied.clone().text())
  const url = `http://127.0.0.1:${port}/hello`
  const refused = await fetch(url)
  assert.equal(refused.status, 401)
  assert.match(refused.headers.get('www-authenticate') ?? '', /x-api-key/i)
  assert.equal((await fetch(url, { headers: { 'x-api-key': 'wrong' } })).status, 401)
  const answer = await fetch(url, { headers: { 'x-api-key': KEY } })
  assert.deepEqual(await answer.json(), { thread: 0, name: 'acme' })
  for (const path of ['/v1/export', '/v1/resources', '/v1/audit', '/v1/secrets']) {
    assert.doesNotMatch(await (await node.admin('GET', path)).text(), new RegExp(KEY), path)
  }
})

test('after kill -9 it comes back as it was', async () => {
  const before = await (await node.admin('GET', '/v1/export')).text()
  await node.stop('SIGKILL')
  node = await SpawnedNode.start(folder, state)
  assert.equal(await (await node.admin('GET', '/v1/export')).text(), before)
  assert.equal((await fetch(`http://127.0.0.1:${port}/more`, { headers: { 'x-api-key': KEY } })).status, 200)
  const report = (await (await node.admin('GET', '/v1/audit/verify')).json()) as {
    brokenAt?: number
    entries: number
  }
  assert.equal(report.brokenAt, undefined)
  assert.ok(report.entries >= 5)
})

test('workers are scaled, services deployed and removed', async () => {
  const scaled = await node.admin('PUT', '/v1/workers', JSON.stringify({ count: 3 }), 'application/json')
  assert.deepEqual(await scaled.json(), { workers: 3 })
  const source = `import { Service } from '${CORE}'\nexport default class extends Service { handle() { return 7 } }\n`
  assert.equal((await node.admin('PUT', '/v1/service-files/made/seven.ts', source)).status, 200)
  const seven = await node.admin('POST', '/v1/services/made.seven/invoke', 'null', 'application/json')
  assert.equal(await seven.json(), 7)
  const broken = await node.admin('PUT', '/v1/service-files/made/seven.ts', 'export default\nclass {')
  assert.match(((await broken.json()) as { detail: string }).detail, /made\/seven\.ts:\d+: /)
  assert.ok((await node.admin('DELETE', '/v1/service-files/made/seven.ts')).ok)
  const gone = await node.admin('POST', '/v1/services/made.seven/invoke', 'null', 'application/json')
  assert.equal(gone.status, 404)
})

function yaml(path: string, more = ''): string {
  return `name: operated
workers: 2
admin: { port: 0 }
channels:
  - { name: public, type: http, options: { port: ${port}, routes: [{ path: ${path}, service: hello }${more && `, ${more}`}] } }
`
}
