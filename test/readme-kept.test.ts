/** The README's sections on queues, topics and schedules, typed in as they stand. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import { until } from './load.ts'
import { stepsOf, timeless } from './readme-page.ts'
import { type Running, Terminal } from './readme-terminal.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PROJECT = 'examples/my-shop'

let folder: string
let port: number
let terminal: Terminal
let bus: Running | undefined

before(async () => {
  // Where the README has it, so that the package finds itself; a name of its own for each run.
  folder = mkdtempSync(join(ROOT, 'examples/.readme-'))
  port = await freePort()
  terminal = new Terminal({ folder: ROOT, env: environment(), adapt })
})

after(async () => {
  await bus?.interrupt()
  rmSync(folder, { recursive: true, force: true })
})

for (const section of ['Queues and topics', 'Schedules']) {
  test(section, async t => {
    let printed = ''
    const steps = stepsOf(README, section)
    for (const step of steps) {
      if (step.type === 'save') save(step.path, step.text)
      else if (step.type === 'type') {
        printed = ''
        for (const line of step.lines) {
          await t.test(line, async () => {
            printed += await typed(line)
          })
        }
      } else if (step.type === 'see') assert.equal(same(printed), same(step.text))
    }
    assert.ok(steps.some(step => step.type === 'type'))
  })
}

/** The lease that was fetched last: a reader copies it. */
let lease = ''

/** What a line prints; the bus goes on in a terminal of its own. */
async function typed(line: string): Promise<string> {
  if (line.includes('signalbox start')) {
    bus = terminal.start(line)
    await until(() => /admin API {2}http/.test(bus!.output), 'the bus has started')
    return ''
  }
  // What is to be dead by then takes a moment.
  if (/signalbox (queues|browse.*--state dead)/.test(line)) {
    await until(
      () => terminal.type('npx signalbox queue orders').out.includes('dead letters'),
      'a dead letter',
    )
  }
  const { code, out, err } = terminal.type(line.replace(/("lease":)\d+/, `$1${lease}`))
  lease = /"lease":(\d+)/.exec(out)?.[1] ?? lease
  // What doctor thinks of the machine is the machine's.
  if (line.includes('doctor')) assert.match(out, /^(ok {2}|warn) {2}dead letters/m, `${out}${err}`)
  else assert.equal(code, 0, `${line}: ${out}${err}`)
  return line.startsWith('curl') ? `${out}\n` : out
}

/** A text in which all that differs from run to run is the same, and columns are as narrow as can be. */
function same(text: string): string {
  return timeless(text.replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?/g, 'WHEN'))
    .replace(/"cid":"[\w-]+"/g, '"cid":"CID"')
    .replace(/"lease":\d+/g, '"lease":LEASE')
    .replace(/\b[\w-]{13,16}\b(?= )/g, 'CID')
    .replace(/ +/g, ' ')
    .trim()
}

function save(path: string, text: string): void {
  const file = join(ROOT, path.replace(PROJECT, `examples/${basename(folder)}`))
  mkdirSync(dirname(file), { recursive: true })
  // Its own port for the admin API, which the command line finds by itself.
  writeFileSync(file, adapt(text) + (path.endsWith('.yaml') ? 'admin: { port: 0 }\n' : ''))
}

function adapt(text: string): string {
  return text.replaceAll('7712', String(port)).replaceAll(PROJECT, `examples/${basename(folder)}`)
}

/** `npx` without its look around for packages, which takes longer than what it runs. */
function environment(): NodeJS.ProcessEnv {
  const bin = join(folder, '.bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'npx'), `#!/bin/sh\nshift\nexec node '${join(ROOT, 'cli/main.ts')}' "$@"\n`)
  chmodSync(join(bin, 'npx'), 0o755)
  const { NODE_TEST_CONTEXT: _, FORCE_COLOR: __, SIGNALBOX_URL: ___, ...inherited } = process.env
  return {
    ...inherited,
    PATH: [bin, dirname(process.execPath), inherited.PATH].join(delimiter),
    NO_COLOR: '1',
    TZ: 'UTC',
  }
}
