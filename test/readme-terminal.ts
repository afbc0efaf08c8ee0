/** Terminals in which the lines of a page are typed in as they stand. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

const TIMEOUT_MS = 60_000

export interface TerminalOptions {
  folder: string
  env: NodeJS.ProcessEnv
  /** Replaces what must differ from the page: ports that may be taken, the name of the folder. */
  adapt: (text: string) => string
}

export interface Typed {
  out: string
  err: string
  code: number | null
}

/** A shell that keeps its folder from line to line. */
export class Terminal {
  readonly #options: TerminalOptions
  #folder: string

  constructor(options: TerminalOptions) {
    this.#options = options
    this.#folder = options.folder
  }

  /** Types a line and waits for its end. */
  type(line: string): Typed {
    const script = `${this.#options.adapt(line)}\ncode=$?; pwd >&3; exit $code`
    const { output, status, error } = spawnSync('sh', ['-c', script], {
      cwd: this.#folder,
      env: this.#options.env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    if (error) throw error
    const [, out, err, folder] = output as string[]
    this.#folder = folder!.trim()
    return { out: out!, err: err!, code: status }
  }

  /** Types a line that goes on until it is stopped, in a terminal of its own that is in the same folder. */
  start(line: string): Running {
    return new Running(this.#options.adapt(line), this.#folder, this.#options.env)
  }
}

/** A program that runs, with what it has printed so far. */
export class Running {
  readonly line: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  output = ''

  constructor(line: string, cwd: string, env: NodeJS.ProcessEnv) {
    this.line = line
    // A group of its own, as on a terminal: Ctrl-C goes to all of it.
    this.#child = spawn('sh', ['-c', line], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    this.#child.stdout!.setEncoding('utf8').on('data', data => {
      this.output += data
    })
    this.#ended = once(this.#child, 'close')
  }

  /** Ctrl-C. Resolves when it has ended. */
  async interrupt(): Promise<void> {
    try {
      process.kill(-this.#child.pid!, 'SIGINT')
    } catch (error) {
      // It has ended before.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
    await this.#ended
  }
}
