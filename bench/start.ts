/** From the start of the process to the first answered request, beside a process with nothing but node:http. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/free-port.ts'
import { median, QUICK, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAIN = join(ROOT, 'cli/main.ts')
const ROUNDS = QUICK ? 1 : 5
const GIVE_UP_MS = 20_000
const RETRY_MS = 10
/** Compiled code of this run alone; the round that warms up fills it. */
const CACHE = mkdtempSync(join(tmpdir(), 'signalbox-bench-cache-'))
const CACHED = { XDG_CACHE_HOME: CACHE }
const STOP_MS = 5_000

/** Serves one path with nothing in between. */
const BARE = `require('node:http').createServer((request, response) => response.end('hello')).listen(process.argv[1])`

interface Figures {
  ms: number
  /** Processor time of all threads until then; what else runs on the machine does not count. */
  cpuMs: number
}

export async function run(): Promise<BenchRow[]> {
  const example = await projectOn('examples/invoice-hub')
  const hello = await projectOn('bench/projects/hello')
  const start = (folder: string) => [MAIN, 'start', folder]
  const starts: Record<string, () => Promise<Figures>> = {
    'examples/invoice-hub': () => firstAnswer(start(example.folder), example.port, CACHED),
    'a project with two services': () => firstAnswer(start(hello.folder), hello.port, CACHED),
    'examples/invoice-hub, nothing compiled before': () =>
      firstAnswer(start(example.folder), example.port, { NODE_DISABLE_COMPILE_CACHE: '1' }),
    bare: () => firstAnswer(['-e', BARE, String(hello.port)], hello.port, {}),
  }
  const figures = new Map<string, Figures[]>(Object.keys(starts).map(name => [name, []]))
  try {
    // The first round warms up: it fills the cache of compiled code.
    for (let round = 0; round < WARM_UPS + ROUNDS; round++) {
      for (const [name, first] of Object.entries(starts)) {
        const figure = await first()
        if (round >= WARM_UPS) figures.get(name)!.push(figure)
      }
    }
  } finally {
    for (const folder of [example.folder, hello.folder, CACHE])
      rmSync(folder, { recursive: true, force: true })
  }
  return rows(figures)
}

function rows(figures: Map<string, Figures[]>): BenchRow[] {
  const of = (name: string, key: keyof Figures) => median(figures.get(name)!.map(figure => figure[key]))
  return [...figures.keys()]
    .filter(name => name !== 'bare')
    .flatMap(name => {
      const cold = name.endsWith('before')
      const row = (key: keyof Figures) => ({ value: of(name, key), unit: 'ms', limit: of('bare', key) })
      return [
        { name: `start to first answer: ${name}`, ...row('ms'), ...(!cold && { goal: 'at most 1,000 ms' }) },
        { name: `processor time of it: ${name}`, ...row('cpuMs') },
      ].filter(({ value }) => Number.isFinite(value))
    })
}

/** The same project on a free port: a folder of its own whose services, routes and so on are those of the original. */
async function projectOn(path: string): Promise<{ folder: string; port: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  const port = await freePort()
  const yaml = readFileSync(join(ROOT, path, 'signalbox.yaml'), 'utf8')
  writeFileSync(join(folder, 'signalbox.yaml'), yaml.replace(/^( +port:) \d+$/m, `$1 ${port}`))
  for (const name of ['services', 'routes', 'mappings', 'schemas']) {
    const part = join(ROOT, path, name)
    if (existsSync(part)) symlinkSync(part, join(folder, name))
  }
  return { folder, port }
}

/** Starts Node.js with these arguments and waits until `GET /hello` has its answer. */
async function firstAnswer(args: string[], port: number, env: NodeJS.ProcessEnv): Promise<Figures> {
  const begin = performance.now()
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const exited = once(child, 'exit')
  const welcome = args[0] === MAIN ? once(child.stdout, 'data') : undefined
  try {
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`${args.join(' ')} ended with exit code ${child.exitCode}`)
      if (performance.now() - begin > GIVE_UP_MS) throw new Error(`${args.join(' ')} did not answer`)
      await new Promise(resolve => setTimeout(resolve, RETRY_MS))
    }
    return { ms: performance.now() - begin, cpuMs: processorMs(child.pid!) }
  } finally {
    // Only a stop that is asked for writes what was compiled, and only after the welcome is one asked for.
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await Promise.race([welcome, exited])
    child.kill('SIGTERM')
    await exited
    clearTimeout(late)
  }
}

/** Processor time of a process in milliseconds (proc(5), utime and stime in hundredths of a second). */
function processorMs(pid: number): number {
  if (process.platform !== 'linux') return Number.NaN
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Whether `GET /hello` is answered with 200; false while nobody listens. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', path: '/hello', agent: false }, response => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 200) resolve(true)
        else reject(new Error(`GET /hello was answered with ${response.statusCode}`))
      })
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') resolve(false)
      else reject(error)
    })
  })
}
