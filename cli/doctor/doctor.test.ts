import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { NodeView } from '../../actors/admin/operator.ts'
import type { LogView, SubscriptionView } from '../../actors/messages/log-view.ts'
import { DEFAULT_RETRY } from '../../core/store/messages/message.ts'
import { serverCertificate, untrustedCertificate } from '../../test/certificates/certificates.ts'
import { fixture } from '../../test/fixture.ts'
import { adminTestServer, run, runAt } from '../admin-test-server.ts'
import { parseProject } from '../project.ts'
import { certificates } from './certificates.ts'
import { type Check, type Finding, runChecks } from './check.ts'
import { clockDrift, timeZones } from './clock.ts'
import { freeDisk, fsyncLatency } from './disk.ts'
import { keptChecks } from './kept.ts'
import { mappings } from './mappings.ts'
import { ports, tcpMigrate } from './network.ts'
import { policyChecks } from './policy.ts'
import { projectParses, servicesLoad } from './project.ts'
import { actorsRun } from './running.ts'
import { nativePackages, nodeVersion, openFiles } from './runtime.ts'
import { secretFiles } from './secrets.ts'

async function finds(check: Check, status: Finding['status'], detail: RegExp): Promise<void> {
  const [result] = await runChecks([check])
  assert.equal(result!.status, status, `${check.id}: ${result!.detail}`)
  assert.match(result!.detail, detail)
  assert.ok(result!.why.length > 0 && result!.fix.length > 0, 'says why it matters and how to mend it')
}

test('Node.js, its packages and open files', async () => {
  await finds(nodeVersion(), 'ok', /^\d+\./)
  await finds(nodeVersion('22.1.0'), 'fail', /22\.1\.0/)
  await finds(nativePackages(), 'ok', /zeromq/)
  await finds(
    nativePackages({ broken: async () => Promise.reject(new Error('no build')) }),
    'fail',
    /broken: no build/,
  )
  const [real] = await runChecks([openFiles()])
  assert.match(real!.detail, /^(at most \d+|no limit)$/)
  await finds(
    openFiles(async () => 256),
    'fail',
    /at most 256/,
  )
  await finds(
    openFiles(async () => 4096),
    'warn',
    /4096/,
  )
  await finds(
    openFiles(async () => 65_536),
    'ok',
    /65536/,
  )
})

test('disk: what is free, and how fast it keeps', async () => {
  using folder = fixture({})
  await finds(
    freeDisk(folder.path, async () => 10 * 2 ** 30),
    'ok',
    /10240 MiB/,
  )
  await finds(
    freeDisk(folder.path, async () => 2 ** 30),
    'warn',
    /1024 MiB/,
  )
  await finds(
    freeDisk(folder.path, async () => 1),
    'fail',
    /0 MiB/,
  )
  await finds(freeDisk('/nowhere/at/all'), 'fail', /the check itself failed: ENOENT/)
  const [real, measured] = await runChecks([freeDisk(folder.path), fsyncLatency(folder.path)])
  assert.match(real!.detail, /^\d+ MiB at /)
  assert.match(measured!.detail, /^\d+\.\d\d ms/)
  await finds(
    fsyncLatency(folder.path, async () => 1),
    'ok',
    /1\.00 ms/,
  )
  await finds(
    fsyncLatency(folder.path, async () => 90),
    'warn',
    /90/,
  )
  await finds(
    fsyncLatency(folder.path, async () => 900),
    'fail',
    /900/,
  )
})

test('clock and time zones', async () => {
  let at = 0
  const clocks = (stepMs: number) => ({
    wallMs: () => at + (at > 0 ? stepMs : 0),
    monotonicMs: () => at,
    wait: async (ms: number) => {
      at += ms
    },
  })
  await finds(clockDrift(clocks(0)), 'ok', /^0\.0 ms/)
  at = 0
  await finds(clockDrift(clocks(-5000)), 'warn', /^5000\.0 ms/)
  await finds(timeZones(), 'ok', /known/)
  await finds(
    timeZones(() => 0),
    'fail',
    /Berlin is taken to be 0 minutes/,
  )
})

test('ports are free, held by our node, or taken', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const project = parseProject(`channels: [{ name: web, type: http, options: { port: ${port} } }]`, '/')
  await finds(
    ports(project, async () => []),
    'fail',
    /channel\/http\/web wants 127\.0\.0\.1:\d+, but: EADDRINUSE/,
  )
  await finds(
    ports(project, async () => [`http://127.0.0.1:${port}`]),
    'ok',
    /1 ports, 1 held by the node/,
  )
  server.close()
  await once(server, 'close')
  await finds(
    ports(project, async () => []),
    'ok',
    /1 ports, 0 held/,
  )
  await finds(
    ports(parseProject('', '/'), async () => []),
    'ok',
    /0 ports/,
  )
})

test('mappings: which do not load, and which expressions are left to the jsonata package', async () => {
  using none = fixture({})
  await finds(mappings(none.path), 'ok', /^0 compile$/)
  using good = fixture({ 'mappings/a.yaml': 'map: { b: c }', 'mappings/b.jsonata': '$sum(a.b)' })
  await finds(mappings(good.path), 'ok', /^2 compile$/)
  using slow = fixture({ 'mappings/a.yaml': 'map: { b: c }', 'mappings/b.jsonata': '$eval("1")' })
  await finds(mappings(slow.path), 'warn', /b\.jsonata: \$eval/)
  using hangs = fixture({ 'mappings/a.ts': 'export default 1; process.exit(3)' })
  await finds(mappings(hangs.path), 'fail', /ends the process.*exit code 3/)
  using bad = fixture({ 'mappings/a.yaml': 'map:\n  b: { form: c }', 'mappings/b.jsonata': '$sum(' })
  await finds(mappings(bad.path), 'fail', /a\.yaml: .*line 2.*did you mean 'from'.*b\.jsonata: .*line 1/s)
})

test('tcp_migrate_req', async () => {
  using folder = fixture({ on: '1\n', off: '0\n' })
  await finds(tcpMigrate(join(folder.path, 'on')), 'ok', /is 1/)
  await finds(tcpMigrate(join(folder.path, 'off')), 'warn', /is 0/)
  await finds(tcpMigrate(join(folder.path, 'none')), 'ok', /does not have it/)
})

test('certificates: from files or text, their time and their key', async () => {
  using folder = fixture({
    'tls/cert.pem': serverCertificate.cert,
    'tls/key.pem': serverCertificate.key,
    'tls/other.pem': untrustedCertificate.key,
  })
  const check = (cert: string, key: string, at = '2027-01-01') =>
    certificates(folder.path, [{ name: 'web', type: 'http', options: { tls: { cert, key } } }], () =>
      Date.parse(at),
    )[0]!
  await finds(check('tls/cert.pem', 'tls/key.pem'), 'ok', /valid until 2051-/)
  await finds(check(serverCertificate.cert, serverCertificate.key), 'ok', /valid until/)
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
  await finds(check('tls/cert.pem', '${secret:TLS_KEY}'), 'ok', /valid until/)
  await finds(
    check('tls/cert.pem', 'tls/key.pem', '2051-11-05'),
    'warn',
    /valid until 2051-\d\d-\d\d \(1\d days\)/,
  )
  await finds(check('tls/cert.pem', 'tls/key.pem', '2060-01-01'), 'fail', /expired on 2051-/)
  await finds(check('tls/cert.pem', 'tls/key.pem', '2020-01-01'), 'fail', /is valid only from 2026-/)
  await finds(check('tls/cert.pem', 'tls/other.pem'), 'fail', /the key is that of another certificate/)
  await finds(check('tls/cert.pem', 'tls/gone.pem'), 'fail', /the key cannot be used: ENOENT/)
  await finds(check('tls/key.pem', 'tls/key.pem'), 'fail', /./)
  assert.deepEqual(certificates(folder.path, [{ name: 'plain', type: 'http', options: {} }]), [])
})

test('what the security policy refuses fails, what it warns of is a warning, what it allows is in order', async () => {
  const check = (id: string, yaml: string) =>
    policyChecks(parseProject(yaml, '/p')).find(one => one.id === id)!
  const project = (password: string, key: string) => `
network: { port: 1, publicKey: '${'k'.repeat(40)}', secretKey: '${key}' }
channels: [{ name: web, type: http, options: { tls: { cert: a, key: ./key.pem }, routes: [] } }]
security: [{ name: p, type: apiKey, options: { keys: [{ identity: a, hash: 'sha256:${'0'.repeat(64)}' }] } }]
connections:
  - { name: erp, type: http, options: { url: 'http://erp', auth: { basic: { username: u, password: '${password}' } } } }
`
  process.env.DOCTOR_KEY = 'x'.repeat(40)
  const reference = (kind: string, name: string) => `\${${kind}:${name}}`
  await finds(
    check('plain-secrets', project(reference('secret', 'ERP'), reference('env', 'DOCTOR_KEY'))),
    'ok',
    /none in plain text/,
  )
  delete process.env.DOCTOR_KEY
  const plain = project('hunter2', 'k')
  const places = 'connection/http/erp /options/auth/basic/password, signalbox.yaml /network/secretKey'
  await finds(check('plain-secrets', plain), 'warn', new RegExp(`^warned: ${places}$`))
  await finds(
    check('plain-secrets', `profile: production\n${plain}`),
    'fail',
    new RegExp(`^refused: ${places}$`),
  )
  const allowed = `profile: production\npolicy: { plainTextSecrets: allowed }\n${plain}`
  await finds(check('plain-secrets', allowed), 'ok', /allowed/)

  const unchecked =
    "connections: [{ name: erp, type: http, options: { url: 'https://erp', tls: { rejectUnauthorized: false } } }]"
  await finds(
    check('tls-checks', unchecked),
    'warn',
    /connection\/http\/erp \/options\/tls\/rejectUnauthorized/,
  )
  await finds(check('tls-checks', `profile: production\n${unchecked}`), 'fail', /^refused: /)
  await finds(check('tls-checks', plain), 'ok', /all are verified/)

  await finds(check('admin-port', 'admin: { host: 0.0.0.0, port: 7700 }'), 'warn', /0\.0\.0\.0:7700/)
  await finds(
    check('admin-port', 'profile: production\nadmin: { host: "::", port: 7700 }'),
    'fail',
    /:::7700/,
  )
  await finds(check('admin-port', 'profile: production\nadmin: { port: 7700 }'), 'ok', /no other machine/)

  await finds(check('code-deployment', ''), 'ok', /allowed/)
  await finds(check('code-deployment', 'profile: production'), 'ok', /none is taken/)
  await finds(check('code-deployment', 'policy: { codeDeployment: warned }'), 'warn', /files that are saved/)
})

test('token and master key are closed to others', { skip: process.platform === 'win32' }, async () => {
  using folder = fixture({
    '.signalbox/admin-token': 'x',
    '.signalbox/master.key': 'x',
    '.signalbox/log': 'x',
  })
  const state = join(folder.path, '.signalbox')
  for (const name of ['admin-token', 'master.key']) chmodSync(join(state, name), 0o600)
  await finds(secretFiles(folder.path), 'ok', /2 files, closed to others/)
  chmodSync(join(state, 'admin-token'), 0o644)
  await finds(secretFiles(folder.path), 'fail', /others have access to \.signalbox\/admin-token \(mode 644\)/)
  using empty = fixture({})
  await finds(secretFiles(empty.path), 'ok', /0 files/)
})

test('the project and its services', async () => {
  using good = fixture({
    'signalbox.yaml': 'name: x\n',
    'services/a.js': `import { Service } from '${import.meta.resolve('../../core/index.ts')}'
      console.log('a service that prints'); export default class A extends Service { handle() {} }`,
  })
  await finds(projectParses(good.path), 'ok', /valid/)
  await finds(servicesLoad(good.path), 'ok', /1 load/)
  using bad = fixture({ 'signalbox.yaml': 'nme: x\n', 'services/a.ts': 'export default 1\nconst = 2\n' })
  await finds(projectParses(bad.path), 'fail', /signalbox\.yaml:1: .*did you mean 'name'\?/)
  await finds(servicesLoad(bad.path), 'fail', /a\.ts:2: /)
  using exits = fixture({ 'services/a.js': 'process.exit(7)' })
  await finds(servicesLoad(exits.path), 'fail', /hangs or ends the process: no report \(exit code 7\)/)
  using hangs = fixture({ 'services/a.js': 'for (;;) {}' })
  await finds(servicesLoad(hangs.path, 1_000), 'fail', /hangs or ends the process: no report within 1000 ms/)
})

const NODE: NodeView = {
  node: 'n1',
  name: 'x',
  version: '0',
  startedAt: 0,
  endpoint: undefined,
  peers: [],
  replaced: 0,
  workers: [
    {
      slot: 0,
      role: 'worker',
      place: 'n1/0',
      state: 'ready',
      actors: [{ address: 'service/a', state: 'running' }],
    },
  ],
}
const TROUBLED: NodeView = {
  ...NODE,
  workers: [
    {
      ...NODE.workers[0]!,
      actors: [{ address: 'connection/http/erp', state: 'failed', lastError: 'refused' }],
    },
  ],
}

test('what does not start on the node that runs', async () => {
  await finds(actorsRun(undefined), 'ok', /no node runs/)
  await finds(actorsRun(NODE), 'ok', /all 1/)
  await finds(actorsRun(TROUBLED), 'fail', /connection\/http\/erp failed refused/)
})

const SUBSCRIPTION = {
  name: 'queue',
  ready: 0,
  leased: 0,
  delayed: 0,
  dead: 0,
  oldestAt: undefined,
  startSeq: 1,
  delivered: 0,
  settled: 0,
  failures: 0,
  leaseMs: 30_000,
  retry: DEFAULT_RETRY,
}

test('queues and topics: what did not open, dead letters, messages that nobody takes', async () => {
  const hour = 3_600_000
  const log = (name: string, more: Partial<SubscriptionView>): LogView => ({
    kind: 'queue',
    name,
    subscriptions: [{ ...SUBSCRIPTION, ...more }],
  })
  const [opened, dead, old] = keptChecks(
    [
      log('fine', { ready: 5, oldestAt: 2 * hour }),
      log('waits', { ready: 2, oldestAt: 0, target: 'service/book' }),
      log('later', { delayed: 2, oldestAt: 0 }),
      log('orders', { ready: 1, dead: 3, oldestAt: 0 }),
      { kind: 'topic', name: 'prices', subscriptions: [{ ...SUBSCRIPTION, name: 'desk', dead: 1 }] },
      {
        kind: 'queue',
        name: 'hurt',
        subscriptions: [],
        error: { code: 'SIGNALBOX_STORE_DAMAGED', message: 'bad' },
      },
    ],
    () => 2.5 * hour,
  )
  await finds(opened!, 'warn', /^queue\/hurt did not open: SIGNALBOX_STORE_DAMAGED: bad$/)
  await finds(dead!, 'warn', /^queue\/orders: 3; topic\/prices --subscription desk: 1$/)
  assert.match((await dead!.run()).fix, /`signalbox resend queue\/orders --all`/)
  await finds(old!, 'warn', /^queue\/waits: 2 ready, the oldest for 2 h 30 min, service\/book$/)
  for (const check of keptChecks([log('fine', {})])) await finds(check, 'ok', /^(all 1|none.*)$/)
  for (const check of keptChecks(undefined)) await finds(check, 'ok', /no node runs/)
})

test('doctor exits with 1 when a check failed, and says why and how to mend it', async () => {
  await using server = await adminTestServer({ node: TROUBLED })
  using folder = fixture({ 'signalbox.yaml': '' })
  mkdirSync(join(folder.path, 'services'))
  const [bad, good] = await Promise.all([
    runAt(server, ['doctor', folder.path]),
    run(['doctor', folder.path, '--json', '--url', 'http://127.0.0.1:1']),
  ])
  assert.equal(bad.code, 1)
  assert.match(
    bad.out,
    /\nfail {2}actors that run {8,}connection\/http\/erp failed refused\n {6}why {3}.+\n {6}mend {2}.+\n/,
  )
  assert.match(bad.out, /\n\d+ ok, \d+ warnings, 1 failed\n$/)
  const results = JSON.parse(good.out) as { id: string; status: string }[]
  assert.equal(results.find(({ id }) => id === 'actors')?.status, 'ok')
  assert.equal(good.code, results.some(({ status }) => status === 'fail') ? 1 : 0)
})
