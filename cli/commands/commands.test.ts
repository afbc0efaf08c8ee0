import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { NodeView } from '../../actors/admin/operator.ts'
import { fixture } from '../../test/fixture.ts'
import { adminTestServer, problem, Reply, run, runAt, TOKEN } from '../admin-test-server.ts'

const NODE: NodeView = {
  node: 'n1',
  name: 'my-bus',
  version: '0.1.0',
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
      actors: [{ address: 'service/greet', state: 'running' }],
    },
  ],
}
const SERVICE = { name: 'greet', file: 'greet.ts', version: '0123456789abcdef', input: {} }

test('ps shows tables, and JSON for programs', async () => {
  await using server = await adminTestServer({ node: NODE })
  const [people, programs] = await Promise.all([runAt(server, ['ps']), runAt(server, ['ps', '--json'])])
  assert.match(people.out, /^my-bus {2}node n1, signalbox 0\.1\.0, up .+, 1 worker\n\nWORKER {2}PLACE/)
  assert.match(people.out, /\nservice\/greet {8}1 {2}running\n$/)
  assert.deepEqual(JSON.parse(programs.out), JSON.parse(JSON.stringify(NODE)))
  assert.equal(programs.code, 0)
})

test('ps --watch --json prints one line for each look until the node is gone', async () => {
  let looks = 0
  await using server = await adminTestServer({
    node: () => (++looks > 2 ? problem(503, 'SIGNALBOX_OVERLOADED', 'busy') : NODE),
  })
  const { code, out } = await runAt(server, ['ps', '--watch', '1', '--json'])
  assert.equal(code, 1)
  assert.deepEqual(
    out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).name),
    ['my-bus', 'my-bus'],
  )
})

test('services, scale, metrics, export, openapi', async () => {
  await using server = await adminTestServer({
    services: [SERVICE],
    scale: ({ body }: { body: string }) => ({ workers: JSON.parse(body).count }),
    metrics: new Reply(200, 'text/plain', 'up 1\n'),
    export: new Reply(200, 'application/yaml', 'name: my-bus\n'),
    openapi: { openapi: '3.1.0' },
  })
  using folder = fixture({})
  const file = join(folder.path, 'openapi.json')
  const outs = await Promise.all(
    [['services'], ['scale', '3'], ['metrics'], ['export'], ['openapi', '--out', file]].map(args =>
      runAt(server, args),
    ),
  )
  assert.deepEqual(
    outs.map(({ out }) => out),
    [
      'SERVICE  FILE      VERSION       SCHEMAS  DESCRIPTION\ngreet    greet.ts  0123456789ab  input\n',
      '3 workers run\n',
      'up 1\n',
      'name: my-bus\n',
      '',
    ],
  )
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { openapi: '3.1.0' })
  assert.equal(outs[4]!.err, `wrote ${file}\n`)
})

test('a wrong call exits with 2 and is corrected', async () => {
  const cases: [args: string[], said: RegExp][] = [
    [['scael', '3'], /unknown command 'scael'\n\(Did you mean scale\?\)/],
    [['ps', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    [['scale', '0'], /give a whole number above 0/],
    [['explain', 'mailbx_full'], /did you mean SIGNALBOX_MAILBOX_FULL\?/],
    [['ps', '--url', 'ftp://x'], /'ftp:\/\/x' is no URL of an admin API/],
    [['ps', '--url', 'http://user:secret@127.0.0.1'], /is no URL of an admin API/],
    [['invoke', 'greet', '{'], /the payload is no JSON/],
    [['invoke', 'greet', '@/nowhere.json'], /the payload cannot be read: ENOENT/],
    [['invoke', 'greet', '--endpoint', 'tcp://127.0.0.1:1'], /--endpoint needs --server-key/],
    [['apply', '/nowhere'], /has no signalbox.yaml that can be read/],
    [['deploy', '/nowhere/x.ts'], /not below services\/ or routes\/ of a project/],
  ]
  const results = await Promise.all(cases.map(([args]) => run(args)))
  for (const [i, { code, err, out }] of results.entries()) {
    assert.match(err, cases[i]![1])
    assert.deepEqual([code, out], [2, ''], cases[i]![0].join(' '))
  }
})

test('says so when no node runs, when something else does, and when the token is wrong', async () => {
  await using server = await adminTestServer({ node: new Reply(200, 'text/html', '<html>') })
  using folder = fixture({ '.signalbox/admin-token': `${TOKEN}\n`, 'deep/er/x': '' })
  const [none, other, wrong, found] = await Promise.all([
    run(['ps', '--url', 'http://127.0.0.1:1']),
    runAt(server, ['ps']),
    runAt(server, ['ps', '--token', 'wrong']),
    // The token is found in a folder above.
    run(['services', '--json'], { cwd: join(folder.path, 'deep/er'), env: { SIGNALBOX_URL: server.url } }),
  ])
  assert.match(
    none.err,
    /^error SIGNALBOX_CONNECT_FAILED: no node answers at http:\/\/127\.0\.0\.1:1: .+\n.+Is the node running\? Start it with/,
  )
  assert.match(other.err, /status 200\) is not the admin API of a node/)
  assert.match(wrong.err, /^error SIGNALBOX_UNAUTHENTICATED: .+\n.+set SIGNALBOX_TOKEN/)
  assert.deepEqual([none.code, other.code, wrong.code, found.code], [1, 1, 1, 0])
})

test('a verb finds the node of the project that it is in, and only that', async () => {
  await using server = await adminTestServer({ services: [] })
  using folder = fixture({
    '.signalbox/admin-token': `${TOKEN}\n`,
    '.signalbox/admin-url': `${server.url}\n`,
    'services/x.ts': '',
    'inner/.signalbox/admin-url': 'http://127.0.0.1:1\n',
  })
  const json = ['services', '--json']
  const inner = { cwd: join(folder.path, 'inner') }
  const [found, other, told] = await Promise.all([
    run(json, { cwd: join(folder.path, 'services') }),
    run(json, inner),
    run([...json, '--url', server.url], { ...inner, env: { SIGNALBOX_TOKEN: TOKEN } }),
  ])
  assert.deepEqual([found.code, told.code], [0, 0], found.err + told.err)
  assert.match(other.err, /no node answers at http:\/\/127\.0\.0\.1:1: .+\n.+`signalbox start`/)
})

test('invoke takes its payload from the argument, a file or standard input', async () => {
  await using server = await adminTestServer({
    invoke: ({ body }: { body: string }) => ({ got: JSON.parse(body) }),
  })
  using folder = fixture({ 'in.json': '{"from":"file"}' })
  const [argument, file, input, none] = await Promise.all([
    runAt(server, ['invoke', 'a.b', '{"from":"argument"}', '--timeout', '1234']),
    runAt(server, ['invoke', 'a.b', `@${join(folder.path, 'in.json')}`]),
    runAt(server, ['invoke', 'a.b', '-'], { input: '{"from":"input"}' }),
    runAt(server, ['invoke', 'orders#7/8']),
  ])
  assert.equal(argument.out, '{\n  "got": {\n    "from": "argument"\n  }\n}\n')
  assert.equal(JSON.parse(file.out).got.from, 'file')
  assert.equal(JSON.parse(input.out).got.from, 'input')
  assert.equal(JSON.parse(none.out).got, null)
  assert.ok(server.seen.some(({ params, query }) => params.name === 'a.b' && query.timeoutMs === '1234'))
  assert.ok(server.seen.some(({ params }) => params.name === 'orders#7/8'))
})

test('invoke writes an answer of bytes as they are, and null for none', async () => {
  await using bytes = await adminTestServer({ invoke: new Reply(200, 'application/octet-stream', 'raw\n') })
  await using nothing = await adminTestServer({ invoke: undefined })
  const [raw, none] = await Promise.all([runAt(bytes, ['invoke', 'a']), runAt(nothing, ['invoke', 'a'])])
  assert.deepEqual([raw.out, none.out], ['raw\n', 'null\n'])
})

test('invoke corrects the name of a service, and passes errors on', async () => {
  await using server = await adminTestServer({
    services: [SERVICE],
    invoke: ({ params }: { params: Record<string, string | undefined> }) =>
      params.name === 'greet'
        ? problem(422, 'SIGNALBOX_REQUEST_REFUSED', 'no \u001b[2J name')
        : problem(404, 'SIGNALBOX_ADDRESS_UNKNOWN', 'no actor'),
  })
  const [typo, refused] = await Promise.all([
    runAt(server, ['invoke', 'gret']),
    runAt(server, ['invoke', 'greet']),
  ])
  assert.match(typo.err, /there is no service 'gret'; did you mean 'greet'\?/)
  assert.match(
    refused.err,
    /^error SIGNALBOX_REQUEST_REFUSED: no \ufffd\[2J name\n {2}to mend it: Mend the message/,
  )
  assert.deepEqual([typo.code, refused.code], [1, 1])
})

test('deploy finds the path below services/, shows the line of an error, and removes', async () => {
  await using server = await adminTestServer({
    deploy: ({ params, body }: { params: Record<string, string | undefined>; body: string }) =>
      body.includes('broken')
        ? problem(500, 'SIGNALBOX_SERVICE_LOAD', '_pending.x.ts:2: Unexpected token', {
            details: { file: '_pending.x.ts', line: 2 },
          })
        : { file: params['*'], name: 'a.b c', version: 'f'.repeat(64) },
    undeploy: undefined,
  })
  using folder = fixture({
    'signalbox.yaml': '',
    'services/a/b c.ts': 'export default 1',
    'services/x.ts': 'one\nbroken {\n',
    'other.ts': 'x',
  })
  const at = (...args: string[]) => runAt(server, ['deploy', ...args], { cwd: folder.path })
  const away = { cwd: tmpdir() }
  const [good, broken, removed, gone, outside, as] = await Promise.all([
    at('services/a/b c.ts'),
    at('services/x.ts'),
    at('--remove', 'services/gone.ts'),
    runAt(server, ['deploy', '--remove', './services/a/gone.ts'], away),
    at('other.ts'),
    at('other.ts', '--as', 'z/other.ts', '--json'),
  ])
  assert.equal(good.out, `a/b c.ts runs as a.b c, version ${'f'.repeat(12)}\n`)
  assert.equal(broken.code, 1)
  assert.match(broken.err, /^services\/x\.ts:2\n {2}2 \| broken \{\nerror SIGNALBOX_SERVICE_LOAD/)
  assert.equal(removed.out, 'gone.ts removed\n')
  assert.equal(gone.out, 'a/gone.ts removed\n')
  assert.equal(outside.code, 2)
  assert.equal(JSON.parse(as.out)[0].file, 'z/other.ts')
  assert.ok(server.seen.some(({ handler, params }) => handler === 'undeploy' && params['*'] === 'gone.ts'))
})

const CHANGES = {
  changes: [
    { action: 'create', id: 'channel/http/new' },
    { action: 'update', id: 'channel/http/public', fields: [{ pointer: '/port', before: 1, after: 2 }] },
    { action: 'delete', id: 'connection/http/old' },
  ],
  text: '+ channel/http/new\n~ channel/http/public\n- connection/http/old\n',
}
const RESOURCES = ['public', 'same'].map(name => ({
  kind: 'channel',
  type: 'http',
  name,
  options: {},
  revision: 1,
  changedAt: 0,
}))

test('diff exits with 0, 1 or 2', async () => {
  await using differs = await adminTestServer({ diff: CHANGES })
  await using same = await adminTestServer({ diff: { changes: [], text: '' } })
  const [yes, no, error, machine] = await Promise.all([
    runAt(differs, ['diff', '-'], { input: 'name: x' }),
    runAt(same, ['diff', '-']),
    run(['diff', '-', '--url', 'http://127.0.0.1:1']),
    runAt(differs, ['diff', '-', '--json']),
  ])
  assert.deepEqual([yes.code, no.code, error.code, machine.code], [1, 0, 2, 1])
  assert.equal(yes.out, CHANGES.text)
  assert.equal(no.out, 'no difference\n')
  assert.deepEqual(JSON.parse(machine.out), CHANGES.changes)
  assert.equal(differs.seen.find(({ body }) => body !== '')?.body, 'name: x')
})

test('apply says of each resource what became of it, and sends the file only when something differs', async () => {
  await using differs = await adminTestServer({ diff: CHANGES, apply: CHANGES, resources: RESOURCES })
  await using same = await adminTestServer({ diff: { changes: [], text: '' }, resources: RESOURCES })
  using folder = fixture({ 'signalbox.yaml': 'name: x\n' })
  const [changed, unchanged] = await Promise.all([
    runAt(differs, ['apply', folder.path, '--yes']),
    runAt(same, ['apply', folder.path]),
  ])
  assert.equal(
    changed.out,
    `${CHANGES.text}channel/http/new created\nchannel/http/public configured\nchannel/http/same unchanged\nconnection/http/old removed\n`,
  )
  assert.equal(unchanged.out, 'channel/http/public unchanged\nchannel/http/same unchanged\n')
  assert.equal(differs.seen.find(({ handler }) => handler === 'apply')?.body, 'name: x\n')
  assert.equal(
    same.seen.some(({ handler }) => handler === 'apply'),
    false,
  )
})

test('secrets come from standard input and are never shown', async () => {
  await using server = await adminTestServer({
    setSecret: undefined,
    removeSecret: undefined,
    secrets: [{ name: 'erp/password', changedAt: 0 }],
  })
  const [set, empty, list, remove] = await Promise.all([
    runAt(server, ['secret', 'set', 'erp/password'], { input: 'hunter2\n' }),
    runAt(server, ['secret', 'set', 'x'], { input: '\n' }),
    runAt(server, ['secret', 'list']),
    runAt(server, ['secret', 'remove', 'erp/password']),
  ])
  assert.equal(set.out, 'erp/password stored\n')
  assert.equal(empty.code, 2)
  assert.equal(list.out, 'SECRET        CHANGED\nerp/password  1970-01-01 00:00:00\n')
  assert.equal(remove.out, 'erp/password removed\n')
  const stored = server.seen.find(({ handler }) => handler === 'setSecret')
  assert.deepEqual([stored?.params.name, stored?.body], ['erp/password', 'hunter2'])
})

test('tail prints events until the node ends the stream', async () => {
  const event = {
    at: 45_296_120,
    node: 'n1',
    worker: 0,
    event: 'handled',
    address: 'service/greet',
    outcome: 'ok',
    durationMs: 3,
    cid: 'c1',
  }
  const channel = {
    ...event,
    worker: 256,
    event: 'received',
    kind: 'channel',
    from: 'channel/http/public',
    to: 'service/greet',
    bytes: 0,
  }
  const stream = `: hello\r\n\r\ndata: ${JSON.stringify(event)}\r\n\r\nevent: message\ndata: ${JSON.stringify({ ...event, bytes: 7 })}\n\ndata: ${JSON.stringify(channel)}\n\nevent: skipped\ndata: {"count":3}\n\nevent: end\ndata: {}\n\ndata: {}\n\n`
  await using server = await adminTestServer({ tail: new Reply(200, 'text/event-stream', stream) })
  const [people, programs] = await Promise.all([
    runAt(server, ['tail', '--name', 'service/*', '--outcome', 'ok']),
    runAt(server, ['tail', '--json']),
  ])
  const line = '12:34:56.120  n1/0  handled   service/greet  ok  3 ms'
  const received = '12:34:56.120  n1/keeper  received  channel/http/public > service/greet  ok  3 ms  c1'
  assert.equal(people.out, `${line}  c1\n${line}  7 B  c1\n${received}\n`)
  assert.equal(people.err, '3 events left out: they came too fast\n')
  assert.deepEqual(JSON.parse(programs.out.split('\n')[0]!), event)
  assert.ok(server.seen.some(({ query }) => query.name === 'service/*' && query.outcome === 'ok'))
})

test('health exits with 1 when the node is not ready', async () => {
  const notReady = new Reply(503, 'application/json', '{"ok":false,"reasons":["worker 1 starts"]}')
  await using bad = await adminTestServer({ live: { ok: true, reasons: [] }, ready: notReady })
  await using good = await adminTestServer({
    live: { ok: true, reasons: [] },
    ready: { ok: true, reasons: [] },
  })
  const [no, yes] = await Promise.all([
    run(['health', '--url', bad.url]),
    run(['health', '--url', good.url, '--json']),
  ])
  assert.deepEqual([no.code, no.out], [1, 'live   yes\nready  no  worker 1 starts\n'])
  assert.equal(yes.code, 0)
  assert.equal(JSON.parse(yes.out).ready.ok, true)
})

test('audit lists acts and verifies the chain', async () => {
  const entry = { seq: 12, at: 0, who: 'ada', what: 'deploy', target: 'greet.ts', result: 'ok' }
  await using whole = await adminTestServer({ audit: [entry], verifyAudit: { entries: 12 } })
  await using broken = await adminTestServer({ audit: [], verifyAudit: { entries: 12, brokenAt: 3 } })
  const [list, verified, found] = await Promise.all([
    runAt(whole, ['audit', '--after', '0', '--limit', '5']),
    runAt(whole, ['audit', '--verify']),
    runAt(broken, ['audit', '--verify']),
  ])
  assert.equal(
    list.out,
    'SEQ  WHEN                 WHO  WHAT    TARGET    RESULT\n 12  1970-01-01 00:00:00  ada  deploy  greet.ts  ok\n',
  )
  assert.deepEqual([verified.code, verified.out], [0, 'the chain is whole: 12 entries\n'])
  assert.deepEqual([found.code, found.out], [1, 'the chain is broken at entry 3 of 12\n'])
})

test('client writes a typed client', async () => {
  await using server = await adminTestServer({
    openapi: { openapi: '3.1.0', info: { title: 'my-bus', version: '1' }, paths: {} },
  })
  using folder = fixture({})
  const file = join(folder.path, 'client.ts')
  const { code, err } = await runAt(server, ['client', '--out', file])
  assert.equal(code, 0, err)
  assert.match(readFileSync(file, 'utf8'), /export class Client/)
})
