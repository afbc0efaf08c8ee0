/** The command line as a person meets it: help, mistakes, exit codes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Fixture, fixture } from '../test/fixture.ts'
import { until } from '../test/load.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const HTTP =
  'channels: [{ name: web, type: http, options: { port: PORT, routes: [{ path: /a, service: a }] } }]'
const SERVICE =
  "import { service } from 'signalbox'\nexport default service({ handle: input => ({ input }) })\n"

interface Outcome {
  code: number | null
  out: string
  err: string
}

function launch(args: string[], env: Record<string, string> = {}, input = '') {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, SIGNALBOX_LOG_LEVEL: 'fatal', ...env },
    timeout: 60_000,
  })
  child.stdin.end(input)
  return child
}

async function run(args: string[], env?: Record<string, string>, input?: string): Promise<Outcome> {
  const child = launch(args, env, input)
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code, out, err }
}

/** A project in a temporary folder that finds this package as 'signalbox'. */
function project(yaml: string, files: Record<string, string> = {}): Fixture {
  const folder = fixture({ 'signalbox.yaml': yaml, 'package.json': '{"type":"module"}', ...files })
  mkdirSync(join(folder.path, 'node_modules'))
  symlinkSync(fileURLToPath(new URL('..', import.meta.url)), join(folder.path, 'node_modules/signalbox'))
  return folder
}

test('every command has help with an example', async () => {
  const helps = await Promise.all(
    [[], ['start'], ['keys'], ['invoke']].map(command => run([...command, '--help'])),
  )
  for (const { code, out } of helps) {
    assert.equal(code, 0)
    assert.match(out, /Examples?:\n {2}signalbox /)
  }
})

test('mistakes in the call: exit code 2 and a hint', async () => {
  const [nothing, typo, count, missing, json] = await Promise.all([
    run([]),
    run(['strat']),
    run(['start', '.', '--workers', '1e3']),
    run(['start', '/no/such/folder']),
    run(['invoke', 'a', '{', '--endpoint', 'tcp://127.0.0.1:1', '--server-key', 'k']),
  ])
  assert.equal(nothing.code, 2)
  assert.equal(typo.code, 2)
  assert.match(typo.err, /unknown command 'strat'\n\(Did you mean start\?\)/)
  assert.equal(count.code, 2)
  assert.match(count.err, /whole number above 0/)
  assert.equal(missing.code, 2)
  assert.match(missing.err, /SIGNALBOX_CONFIG_INVALID: \/no\/such\/folder\/signalbox.yaml cannot be read/)
  assert.equal(json.code, 2)
  assert.match(json.err, /the payload is no JSON/)
})

test('keys prints a pair for people and for programs', async () => {
  const [people, programs] = await Promise.all([run(['keys']), run(['keys', '--json'])])
  assert.match(people.out, /^public key: \S{40}\nsecret key: \S{40} /)
  const { publicKey, secretKey } = JSON.parse(programs.out)
  assert.deepEqual([publicKey.length, secretKey.length], [40, 40])
})

test('a port that another program holds: a clear error, exit code 1, nothing left running', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  using folder = project(HTTP.replace('PORT', String(port)), { 'services/a.ts': SERVICE })
  try {
    const { code, err } = await run(['start', folder.path])
    assert.equal(code, 1)
    assert.match(
      err,
      new RegExp(
        `SIGNALBOX_LISTEN_FAILED: channel web cannot listen on port ${port} of 127.0.0.1: another program`,
      ),
    )
    assert.match(err, /to mend it: Choose a free port/)
  } finally {
    server.close()
  }
})

test('a service that ends its worker while it loads: exit code 1 with the reason', async () => {
  using folder = project('workers: 1', { 'services/a.ts': 'process.exit(5)' })
  const { code, err } = await run(['start', folder.path])
  assert.equal(code, 1)
  assert.match(err, /SIGNALBOX_WORKER_START: worker 0 ended with exit code 5/)
})

test('a service that does not load is reported with file and line, the others run; invoke reaches them', async () => {
  const [node, cli] = (await Promise.all([run(['keys', '--json']), run(['keys', '--json'])])).map(({ out }) =>
    JSON.parse(out),
  )
  using folder = project(
    `
workers: 1
network:
  port: 0
  publicKey: '${node.publicKey}'
  secretKey: '\${env:NODE_SECRET}'
  clients: [{ name: cli, publicKey: '${cli.publicKey}' }]
`,
    {
      'services/a.ts': SERVICE,
      'services/broken.ts': '\n\nexport default class {\n  handle() { retrun 1 }\n}\n',
      'services/nothing.ts':
        "import { service } from 'signalbox'\nexport default service({ handle: () => undefined })\n",
      'services/big.ts':
        "import { service } from 'signalbox'\nexport default service({ handle: () => 2n ** 64n })\n",
    },
  )
  const child = launch(['start', folder.path], { NODE_SECRET: node.secretKey, SIGNALBOX_LOG_LEVEL: 'error' })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', data => {
    output += data
  })
  const attach = /attach at (\S+)/
  try {
    await until(() => attach.test(output) || child.exitCode !== null, 'it has started', 20_000)
    assert.match(output, /service not loaded: broken\.ts:4/)
    const keys = { SIGNALBOX_PUBLIC_KEY: cli.publicKey, SIGNALBOX_SECRET_KEY: cli.secretKey }
    const to = ['--endpoint', attach.exec(output)![1]!, '--server-key', node.publicKey]
    const [called, piped, nothing, big, unknown, stranger, keyless] = await Promise.all([
      run(['invoke', 'a', '{"x":1}', ...to], keys),
      run(['invoke', 'a', '-', ...to], keys, '[1]'),
      run(['invoke', 'nothing', ...to], keys),
      run(['invoke', 'big', ...to], keys),
      run(['invoke', 'no.such', ...to], keys),
      run(['invoke', 'a', '--timeout', '500', ...to], {
        SIGNALBOX_PUBLIC_KEY: node.publicKey,
        SIGNALBOX_SECRET_KEY: node.secretKey,
      }),
      run(['invoke', 'a', ...to], { SIGNALBOX_PUBLIC_KEY: '', SIGNALBOX_SECRET_KEY: '' }),
    ])
    assert.deepEqual([called.code, JSON.parse(called.out)], [0, { input: { x: 1 } }])
    assert.deepEqual([piped.code, JSON.parse(piped.out)], [0, { input: [1] }])
    assert.deepEqual([nothing.code, nothing.out], [0, 'null\n'])
    assert.deepEqual([big.code, big.out], [0, '"18446744073709551616"\n'])
    assert.equal(unknown.code, 1)
    assert.match(unknown.err, /SIGNALBOX_ADDRESS_UNKNOWN[\s\S]*to mend it: Check the spelling/)
    assert.equal(stranger.code, 1)
    assert.match(stranger.err, /SIGNALBOX_TIMEOUT_DEADLINE: no answer within 500 ms/)
    assert.equal(keyless.code, 2)
    assert.match(keyless.err, /SIGNALBOX_PUBLIC_KEY is not set/)
  } finally {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const [code] = await exited
    assert.equal(code, 0)
  }
})
