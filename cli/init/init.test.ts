import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fixture } from '../../test/fixture.ts'
import { run } from '../admin-test-server.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const folder = fixture({})
const project = join(folder.path, 'My-bus')
let made: Awaited<ReturnType<typeof run>>

before(async () => {
  made = await run(['init', 'My-bus'], { cwd: folder.path })
  // As `npm install` would; types are not stripped below node_modules, but a link leads out of it.
  mkdirSync(join(project, 'node_modules'))
  symlinkSync(ROOT, join(project, 'node_modules/signalbox'))
  symlinkSync(join(ROOT, 'node_modules/@types'), join(project, 'node_modules/@types'))
})
after(() => folder[Symbol.dispose]())

test('init says what it wrote and what is next', () => {
  assert.equal(made.code, 0, made.err)
  assert.match(made.out, /^wrote My-bus\/signalbox\.yaml\n.*\nNext:\n {2}cd My-bus\n/s)
  assert.match(
    readFileSync(join(project, 'signalbox.yaml'), 'utf8'),
    /^# yaml-language-server: \$schema=node_modules\/signalbox\/signalbox\.schema\.json\nname: My-bus\n/,
  )
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  assert.equal(manifest.name, 'my-bus')
  // Made from a checkout, which npm then links.
  assert.match(manifest.dependencies.signalbox, /^file:/)
  assert.equal(resolve(project, manifest.dependencies.signalbox.slice('file:'.length)), resolve(ROOT))
})

test('the test of the new project passes', () => {
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined }
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--test', '--test-reporter=tap', 'services/**/*.test.ts'],
    { cwd: project, encoding: 'utf8', env, timeout: 60_000 },
  )
  assert.equal(status, 0, stdout)
  assert.match(stdout, /^# pass 2$/m)
})

test('its types check', () => {
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))
  const { status, stdout } = spawnSync(process.execPath, [tsc], {
    cwd: project,
    encoding: 'utf8',
    timeout: 120_000,
  })
  assert.equal(status, 0, stdout)
})

test('it runs', async () => {
  const path = join(project, 'signalbox.yaml')
  writeFileSync(path, readFileSync(path, 'utf8').replace('port: 7711', 'port: 0'))
  const bus = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), 'start', '--workers', '1'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  const exited = once(bus, 'exit')
  try {
    let url: string | undefined
    for await (const line of createInterface(bus.stdout)) {
      url = /channel\/http\/public {2}(http:\S+)/.exec(line)?.[1]
      if (url) break
    }
    const response = await fetch(`${url}/greet`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"Ada"}',
    })
    assert.deepEqual(await response.json(), { greeting: 'Hello, Ada!' })
    bus.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  } finally {
    bus.kill('SIGKILL')
  }
})

test('nothing is overwritten, and a name that is none is refused', async () => {
  using other = fixture({ 'there/README.md': 'mine' })
  const [again, name] = await Promise.all([
    run(['init', join(other.path, 'there')]),
    run(['init', '7 up'], { cwd: other.path }),
  ])
  assert.equal(again.code, 2)
  assert.match(again.err, /has README\.md already, and nothing is overwritten/)
  assert.deepEqual(readdirSync(join(other.path, 'there')), ['README.md'])
  assert.equal(name.code, 2)
  assert.match(name.err, /'7 up' is no name of a project/)
})
