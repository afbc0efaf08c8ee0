/** From the start of the process to the first answered request, beside a process with nothing but node:http. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { medians, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAIN = join(ROOT, 'cli/main.ts')
const ROUNDS = QUICK ? 1 : 7
const GIVE_UP_MS = 20_000
const RETRY_MS = 3

/** Serves one path with nothing in between. */
const BARE = `require('node:http').createServer((request, response) => response.end('hello')).listen(process.argv[1])`

export async function run(): Promise<BenchRow[]> {
  const example = await projectOn('examples/invoice-hub')
  const hello = await projectOn('bench/projects/hello')
  try {
    const times = await medians(
      {
        example: () => firstAnswer([MAIN, 'start', example.folder], example.port),
        hello: () => firstAnswer([MAIN, 'start', hello.folder], hello.port),
        bare: () => firstAnswer(['-e', BARE, String(hello.port)], hello.port),
      },
      measure => measure(),
      ROUNDS,
    )
    const row = { unit: 'ms', limit: times.bare!, goal: 'at most 1,000 ms' }
    return [
      { name: 'start to first answer, examples/invoice-hub', value: times.example!, ...row },
      { name: 'start to first answer, a project with two services', value: times.hello!, ...row },
    ]
  } finally {
    for (const { folder } of [example, hello]) rmSync(folder, { recursive: true, force: true })
  }
}

/** The same project on a free port: a folder of its own whose services are those of the original. */
async function projectOn(path: string): Promise<{ folder: string; port: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  const port = await freePort()
  const yaml = readFileSync(join(ROOT, path, 'signalbox.yaml'), 'utf8')
  writeFileSync(join(folder, 'signalbox.yaml'), yaml.replace(/^( +port:) \d+$/m, `$1 ${port}`))
  symlinkSync(join(ROOT, path, 'services'), join(folder, 'services'))
  return { folder, port }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Starts Node.js with these arguments and returns the milliseconds until `GET /hello` has its answer. */
async function firstAnswer(args: string[], port: number): Promise<number> {
  const begin = performance.now()
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  try {
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`${args.join(' ')} ended with exit code ${child.exitCode}`)
      if (performance.now() - begin > GIVE_UP_MS) throw new Error(`${args.join(' ')} did not answer`)
      await new Promise(resolve => setTimeout(resolve, RETRY_MS))
    }
    return performance.now() - begin
  } finally {
    child.kill('SIGKILL')
    await exited
  }
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
