/** The README's five minutes, typed in as they stand: what is printed is what the page says. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import { until } from './load.ts'
import { answersIn, type Step, stepsOf, timeless } from './readme-page.ts'
import { type Running, Terminal } from './readme-terminal.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const FIVE_MINUTES = 'Your first five minutes'
const PROJECT = 'examples/my-bus'
/** Lines that go on until Ctrl-C, with what they print when they are ready. */
const GOES_ON: [line: RegExp, ready: RegExp | undefined][] = [
  [/signalbox start/, /admin API {2}http/],
  [/print-traces/, /waiting for traces/],
  [/signalbox tail/, undefined],
]

let folder: string
let ports: { http: number; admin: number; collector: number }
let terminal: Terminal
const running: Running[] = []

before(async () => {
  // Where the README has it, so that 'signalbox' and the collector are found; a name of its own for each run.
  folder = mkdtempSync(join(ROOT, 'examples/.readme-'))
  rmSync(folder, { recursive: true })
  const [http, admin, collector] = (await Promise.all([freePort(), freePort(), freePort()])) as [
    number,
    number,
    number,
  ]
  ports = { http, admin, collector }
  terminal = new Terminal({ folder: ROOT, env: environment(), adapt })
})

after(async () => {
  for (const one of running) await one.interrupt()
  rmSync(folder, { recursive: true, force: true })
  rmSync(`${folder}.bin`, { recursive: true, force: true })
})

test('five minutes', async t => {
  const steps = stepsOf(README, FIVE_MINUTES)
  let printed = ''
  for (const step of steps) {
    await t.test(title(step), async () => {
      if (step.type === 'save') save(step.path, step.text)
      else if (step.type === 'see') await see(step.text, printed)
      else if (step.type === 'type') printed = await typeIn(step.lines)
    })
  }
  const kinds = (type: Step['type']) => steps.filter(step => step.type === type).length
  assert.deepEqual([kinds('save'), kinds('see'), kinds('read')], [4, 4, 0])
})

test('what the README says is answered has been answered', () => {
  const said = answersIn(README, FIVE_MINUTES)
  assert.equal(said.length, 4)
  for (const answer of said) assert.ok(answers.includes(answer), `${answer} is none of ${answers.join('\n')}`)
  const refusal = /answer names the field: `([^`]+)`/.exec(README)![1]!
  assert.ok(answers.some(answer => answer.includes('"status":400') && answer.includes(refusal)))
})

test('the commands to operate it work in the folder of the project', () => {
  const [first] = stepsOf(README, 'Operate it').filter(step => step.type === 'type')
  for (const line of first!.lines) {
    const { code, out, err } = terminal.type(line)
    // What doctor thinks of the machine is the machine's: its disk may be slow while tests run.
    if (line.includes('doctor')) assert.match(out, /^ok {4}actors that run/m, `${out}${err}`)
    else assert.equal(code, 0, `${line}: ${out}${err}`)
    if (line.includes('invoke')) assert.deepEqual(JSON.parse(out), { greeting: 'Good day, Ada!' })
  }
  assert.match(readFileSync(join(folder, 'bus-client.ts'), 'utf8'), /export class Client/)
  assert.ok(JSON.parse(readFileSync(join(folder, 'openapi.json'), 'utf8')).paths['/greet'].get)
})

test('npx finds signalbox from the folder of a project', () => {
  const npx = { ...process.env, npm_config_offline: 'true', npm_config_loglevel: 'error' }
  const options = { cwd: folder, env: npx, encoding: 'utf8' } as const
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  assert.equal(execFileSync('npx', ['signalbox', '--version'], options).trim(), version)
})

test('everything that the README links to is there', () => {
  for (const [, target] of README.matchAll(/\]\(([^)#]+)\)/g)) {
    if (!/^https?:/.test(target!)) assert.ok(existsSync(join(ROOT, target!)), target)
  }
})

/** What calls have answered. */
const answers: string[] = []

async function typeIn(lines: readonly string[]): Promise<string> {
  let printed = ''
  for (const line of lines) {
    const goesOn = GOES_ON.find(([pattern]) => pattern.test(line))
    if (goesOn) await start(line, goesOn[1])
    else printed = await typeOne(line)
  }
  return printed
}

async function typeOne(line: string): Promise<string> {
  const { out, err, code } = terminal.type(line)
  // `diff` says with its exit code that there is a difference.
  assert.equal(code, line.endsWith('signalbox diff') ? 1 : 0, `${line}: ${out}${err}`)
  if (line.startsWith('sed') && line.includes('services/')) saved = true
  if (!line.startsWith('curl')) return out
  answers.push(saved ? await deployedAnswer(line, out) : out)
  saved = false
  return out
}
let saved = false

/** The bus takes a moment to see what was saved. */
async function deployedAnswer(line: string, first: string): Promise<string> {
  let answer = first
  await until(() => {
    if (answers.includes(answer)) answer = terminal.type(line).out
    return !answers.includes(answer)
  }, 'the saved version answers')
  return answer
}

async function start(line: string, ready: RegExp | undefined): Promise<void> {
  // "Stop the bus with Ctrl-C and start it again."
  const bus = running.findLast(one => one.line.includes('signalbox start'))
  if (bus && line.includes('signalbox start')) await bus.interrupt()
  const one = terminal.start(line)
  running.push(one)
  if (ready) await until(() => ready.test(one.output), `${line} is ready`)
  else await untilSeen(one)
}

/** Makes messages until the tail shows them: it sees what happens from the moment that it is open. */
async function untilSeen(tail: Running): Promise<void> {
  await until(() => {
    terminal.type(`curl http://127.0.0.1:7711/greet?name=poke`)
    return tail.output.includes('service/greet')
  }, 'the tail is open')
}

/** Waits until this is printed by what was typed last, or by a program that runs: paragraphs in any order. */
async function see(text: string, printed: string): Promise<void> {
  const wanted = timeless(text)
  if (timeless(printed).trimEnd() === wanted) return
  const seen = () =>
    running.some(({ output }) =>
      wanted.split('\n\n').every(part => hasLines(timeless(output), part) || flowsOf(output).includes(part)),
    )
  await until(seen, `what is printed:\n${wanted}`).catch(error => {
    throw new Error(`${error.message}\nbut:\n${printed}${running.map(one => one.output).join('\n')}`)
  })
}

function hasLines(all: string, wanted: string): boolean {
  return `\n${all}\n`.includes(`\n${wanted}\n`)
}

/** The lines of each correlation id: those of others may come in between. */
function flowsOf(output: string): string[] {
  const flows = Map.groupBy(output.split('\n'), line => line.slice(line.lastIndexOf(' ')))
  return Array.from(flows.values(), lines => timeless(lines.join('\n')))
}

function save(path: string, text: string): void {
  const file = join(ROOT, path.replace(PROJECT, `examples/${basename(folder)}`))
  mkdirSync(dirname(file), { recursive: true })
  // Its own port for the admin API: the one of the page may be taken on this machine.
  writeFileSync(file, adapt(text) + (path.endsWith('.yaml') ? `admin: { port: ${ports.admin} }\n` : ''))
}

function adapt(text: string): string {
  const place = `examples/${basename(folder)}`
  const { http, collector } = ports
  const other: Record<string, string> = {
    7711: String(http),
    4318: String(collector),
    'print-traces/main.ts': `print-traces/main.ts ${collector}`,
    [PROJECT]: place,
  }
  // In one pass: what was put in may look like something else that is to be replaced.
  return text.replace(/\b(7711|4318)\b|print-traces\/main\.ts|examples\/my-bus/g, found => other[found]!)
}

/** `npx` without its look around for packages, which takes longer than what it runs; a test of its own has it. */
function environment(): NodeJS.ProcessEnv {
  const bin = `${folder}.bin`
  mkdirSync(bin)
  const main = join(ROOT, 'cli/main.ts')
  const npx = `#!/bin/sh
case $1 in
  signalbox) shift; exec node '${main}' "$@" ;;
  -c) exec sh -c "$2" ;;
esac
echo "what is npx $*?" >&2
exit 127
`
  writeFileSync(join(bin, 'npx'), npx)
  chmodSync(join(bin, 'npx'), 0o755)
  // The reader of the page has the state of the project in its folder.
  const { NODE_TEST_CONTEXT: _, FORCE_COLOR: __, SIGNALBOX_STATE_DIR: ___, ...inherited } = process.env
  return {
    ...inherited,
    PATH: [bin, dirname(process.execPath), inherited.PATH].join(delimiter),
    NO_COLOR: '1',
    SIGNALBOX_URL: `http://127.0.0.1:${ports.admin}`,
    OTEL_BSP_SCHEDULE_DELAY: '200',
  }
}

function title(step: Step): string {
  if (step.type === 'save') return `save ${step.path}`
  return step.type === 'type' ? step.lines.join('; ') : `${step.type} ${step.text.split('\n')[0]}`
}
