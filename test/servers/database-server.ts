/** What private database servers have in common: a folder of their own user, a free port, start, stop, kill. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { TestCertificate } from '../certificates/certificates.ts'

const START_MS = 60_000
const STOP_MS = 30_000
const run = promisify(execFile)

/** A server in the foreground; it may be stopped, killed and started again on the same port, and keeps its data. */
export abstract class DatabaseServer {
  readonly folder: string
  readonly #user: string
  #child: ChildProcess | undefined
  #output = ''
  port = 0

  /** `user`: the servers refuse root, so as root they run as this user. */
  constructor(product: string, user: string) {
    this.folder = mkdtempSync(join(tmpdir(), `signalbox-${product}-`))
    // The user of the server must get through.
    chmodSync(this.folder, 0o755)
    this.#user = user
  }

  /** Program and arguments of the server. */
  protected abstract command(): string[]
  /** Whether it takes connections. */
  protected abstract answers(): Promise<boolean>
  protected abstract stopSignal: NodeJS.Signals

  /** Starts it; resolves when it takes connections. */
  async start(): Promise<void> {
    const end = performance.now() + START_MS
    for (;;) {
      const [program, ...args] = this.#asUser(this.command())
      this.#output = ''
      const child = spawn(program!, args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
      this.#child = child
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', chunk => {
          this.#output = (this.#output + chunk).slice(-20_000)
        })
      while (child.exitCode === null && child.signalCode === null && performance.now() < end) {
        if (await this.answers()) return
        await sleep(20)
      }
      // After a kill -9 what the dead one held may take a moment to be free.
      if (performance.now() > end) throw new Error(`the server did not start:\n${this.#output}`)
      await sleep(100)
    }
  }

  /** Stops it in order. */
  stop(): Promise<void> {
    return this.#end(this.stopSignal)
  }

  /** kill -9 of it and of the processes it has started, as when the machine dies. */
  async kill(): Promise<void> {
    const children = this.#child?.pid === undefined ? [] : childrenOf(this.#child.pid)
    await this.#end('SIGKILL')
    for (const pid of children) killProcess(pid)
    while (children.some(isRunning)) await sleep(5)
  }

  /** Stops it and removes its folder. */
  async close(): Promise<void> {
    await this.kill()
    for (let attempt = 0; ; attempt++) {
      try {
        rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
        return
      } catch (error) {
        // Processes of a killed server may still write.
        if (attempt >= 20) throw error
        await sleep(100)
      }
    }
  }

  protected async execute(command: string[]): Promise<string> {
    const [program, ...args] = this.#asUser(command)
    const { stdout } = await run(program!, args, { cwd: this.folder })
    return stdout
  }

  /** Writes a file that only the server may read, and returns its path. */
  protected privateFile(name: string, text: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    if (isRoot()) execFileSync('chown', [this.#user, path])
    return path
  }

  protected ownFolder(): void {
    if (isRoot()) execFileSync('chown', [this.#user, this.folder])
  }

  protected certificateFiles({ cert, key }: TestCertificate, ca: string) {
    return {
      cert: this.privateFile('cert.pem', cert),
      key: this.privateFile('key.pem', key),
      ca: this.privateFile('ca.pem', ca),
    }
  }

  #asUser(command: string[]): string[] {
    if (!isRoot()) return command
    return ['setpriv', `--reuid=${this.#user}`, `--regid=${this.#user}`, '--init-groups', ...command]
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'exit')
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await closed
    clearTimeout(late)
  }
}

function childrenOf(pid: number): number[] {
  const children: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readIfThere(`/proc/${name}/stat`)
    // The name of the program, in parentheses, may have spaces.
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid) children.push(Number(name))
  }
  return children
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** One that is dead and only waits to be reaped has no memory and no sockets any more. */
function isRunning(pid: number): boolean {
  const stat = readIfThere(`/proc/${pid}/stat`)
  return stat !== '' && !/^[ZX]$/.test(stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '')
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
