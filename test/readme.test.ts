/** The README's five minutes, typed in as they stand. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from './load.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PROJECT = 'examples/my-bus'

/** Files that the reader saves: path and text. */
const files = [...README.matchAll(/Save this as `([^`]+)`[\s\S]*?```\w+\n([\s\S]*?)```/g)].map(match =>
  match.slice(1),
)
/** What the reader types in a terminal, a line each. */
const commands = [...README.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
  block!.trim().split('\n'),
)

let folder: string
let port: number
let bus: ReturnType<typeof spawn>
let output = ''

before(async () => {
  // Below the checkout, as the README has it, so that 'signalbox' is found; a name of its own for each run.
  folder = mkdtempSync(join(ROOT, '.readme-'))
  port = await freePort()
  for (const [path, text] of files) {
    const file = join(folder, path!.slice(PROJECT.length))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text!.replaceAll('7711', String(port)))
  }
  assert.ok(commands.includes(`npx signalbox start ${PROJECT}`), 'the README starts the project')
  bus = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), 'start', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  bus.stdout!.on('data', data => {
    output += data
  })
  await until(() => output.includes(`http://127.0.0.1:${port}`), 'the bus has started')
})

after(async () => {
  const ended = once(bus, 'exit')
  bus.kill('SIGTERM')
  await ended
  rmSync(folder, { recursive: true })
})

test('the calls answer what the README says', async () => {
  const calls = commands.filter(command => command.includes(':7711'))
  assert.equal(calls.length, 4)
  const answers = calls.slice(0, 3).map(run)
  assert.deepEqual(JSON.parse(answers[0]!), { greeting: 'Hello, Ada!' })
  assert.deepEqual(JSON.parse(answers[1]!), { greeting: 'Hello, Grace!', again: '/welcome/Grace' })
  const refusal = /answer names the field: `([^`]+)`/.exec(README)![1]!
  const { status, detail } = JSON.parse(answers[2]!)
  assert.equal(status, 400)
  assert.ok(detail.includes(refusal), detail)
  run(commands.find(command => command.startsWith('sed '))!)
  await until(() => JSON.parse(run(calls[3]!)).greeting === 'Good day, Ada!', 'the saved version answers')
})

test('the test of the service passes', () => {
  const command = commands.find(line => line.includes('node --test'))!
  const file = /examples\/my-bus\/(\S+\.test\.ts)/.exec(command)![1]!
  execFileSync(process.execPath, ['--test', join(folder, file)], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
})

test('everything that the README links to is there', () => {
  for (const [, target] of README.matchAll(/\]\(([^)#]+)\)/g)) {
    if (!/^https?:/.test(target!)) assert.ok(existsSync(join(ROOT, target!)), target)
  }
})

function run(command: string): string {
  return execFileSync(
    'sh',
    ['-c', command.replaceAll('7711', String(port)).replaceAll(PROJECT, folder).replace('curl', 'curl -s')],
    {
      encoding: 'utf8',
    },
  )
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
