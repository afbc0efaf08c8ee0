/** A project that runs in this process with state and an admin API, for the tests of what operators do. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { AuditView } from '../actors/admin/operator.ts'
import { type RunningProject, startProject } from '../cli/start.ts'
import type { Logger } from '../core/telemetry/log.ts'

const CORE = new URL('../core/index.ts', import.meta.url).href

/** The source of a service that answers this. */
export function answering(value: string): string {
  return `import { Service } from '${CORE}'\nexport default class extends Service { handle() { return ${value} } }\n`
}

/** A line of the log of the node. */
export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  data: Record<string, unknown>
  message: string
}

/** A logger that keeps its lines. */
export function keepingLogger(lines: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (data: object, message?: string) => {
    lines.push({ level, data: data as Record<string, unknown>, message: message ?? '' })
  }
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

/** A folder with these files; `signalbox.yaml` is one of them. */
export async function projectFolder(files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'signalbox-operated-'))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  return root
}

/** What the admin API answered. */
export interface Answer {
  status: number
  text: string
  json(): unknown
}

/** A running project and its admin API. */
export class Operated {
  readonly root: string
  readonly lines: LogLine[]
  readonly project: RunningProject
  readonly token: string

  private constructor(root: string, lines: LogLine[], project: RunningProject, token: string) {
    this.root = root
    this.lines = lines
    this.project = project
    this.token = token
  }

  /**
   * Starts what `files` are, on one worker. Rejects as the start does, and leaves nothing behind then. `prepare` gets
   * the folder of the state before.
   */
  static async start(
    files: Record<string, string>,
    prepare: (stateFolder: string) => Promise<void> = async () => {},
  ): Promise<Operated> {
    const root = await projectFolder({ 'services/hello.ts': answering("'hello'"), ...files })
    const lines: LogLine[] = []
    try {
      const stateFolder = join(root, '.signalbox')
      await prepare(stateFolder)
      const project = await startProject(root, { workers: 1, stateFolder, log: keepingLogger(lines) })
      const token = (await readFile(join(stateFolder, 'admin-token'), 'utf8')).trim()
      return new Operated(root, lines, project, token)
    } catch (error) {
      await rm(root, { recursive: true })
      throw error
    }
  }

  /** A request to the admin API. */
  async admin(
    method: string,
    path: string,
    body?: string,
    { type = 'text/plain', token = this.token }: { type?: string; token?: string } = {},
  ): Promise<Answer> {
    const headers = { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': type }) }
    const url = `${this.project.admin}${path}`
    const response = await fetch(url, { method, headers, ...(body !== undefined && { body }) })
    const text = await response.text()
    return { status: response.status, text, json: () => JSON.parse(text) as unknown }
  }

  /** Everything in the chain of acts after this one. */
  async acts(after = 0): Promise<AuditView[]> {
    const { json } = await this.admin('GET', `/v1/audit?limit=1000&after=${after}`)
    return json() as AuditView[]
  }

  warnings(): string[] {
    return this.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.project.stop(1_000)
    await rm(this.root, { recursive: true })
  }
}
