/** Private PostgreSQL servers. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { serverCertificate, testCa, untrustedCertificate } from '../certificates/certificates.ts'
import { freePort } from '../free-port.ts'
import { DatabaseServer } from './database-server.ts'
import { findServer, type ServerTestOptions, serverTest } from './require.ts'

const ROOT = '/usr/lib/postgresql'
const run = promisify(execFile)

/** The superuser of the test servers. */
export const POSTGRES_USER = 'test'
export const POSTGRES_PASSWORD = "p:a@s/s'w\\ord"

/** Options for a test or suite that needs PostgreSQL. Debian keeps its programs off the path. */
export function postgresTest(): ServerTestOptions {
  return folderOfPrograms() === undefined ? serverTest('postgres') : { skip: false }
}

export interface PostgresOptions {
  /** The certificate of the server: that of the test authority, or one that does not verify. Default: no TLS. */
  certificate?: 'trusted' | 'untrusted'
}

export class PostgresServer extends DatabaseServer {
  protected override readonly stopSignal = 'SIGINT'
  readonly #options: PostgresOptions
  #tls: string[] = []

  private constructor(options: PostgresOptions) {
    super('postgres', 'postgres')
    this.#options = options
  }

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const server = new PostgresServer(options)
    try {
      await server.#prepare()
      await server.start()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  /** Options of a channel or connection of this server. */
  get options(): Record<string, unknown> {
    return {
      dialect: 'postgresql',
      host: '127.0.0.1',
      port: this.port,
      database: 'postgres',
      username: POSTGRES_USER,
      password: POSTGRES_PASSWORD,
    }
  }

  protected override command(): string[] {
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.folder,
      max_connections: '60',
      shared_buffers: '32MB',
    }
    const pairs = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    return [
      program('postgres'),
      '-D',
      join(this.folder, 'd'),
      '-p',
      String(this.port),
      ...pairs,
      ...this.#tls,
    ]
  }

  protected override async answers(): Promise<boolean> {
    try {
      await run(program('pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(this.port)])
      return true
    } catch {
      return false
    }
  }

  async #prepare(): Promise<void> {
    this.port = await freePort()
    this.ownFolder()
    const password = this.privateFile('password', POSTGRES_PASSWORD)
    const { certificate } = this.#options
    if (certificate) {
      const pair = certificate === 'trusted' ? serverCertificate : untrustedCertificate
      const { cert, key } = this.certificateFiles(pair, testCa)
      this.#tls = ['-c', 'ssl=on', '-c', `ssl_cert_file=${cert}`, '-c', `ssl_key_file=${key}`]
    }
    const data = join(this.folder, 'd')
    const args = ['-D', data, '-U', POSTGRES_USER, '-A', 'scram-sha-256', `--pwfile=${password}`, '--no-sync']
    await this.execute([program('initdb'), ...args, '-E', 'UTF8', '--locale=C.UTF-8'])
  }
}

function program(name: string): string {
  return join(folderOfPrograms()!, name)
}

/** Where the programs of the newest version are. */
function folderOfPrograms(): string | undefined {
  const versions = existsSync(ROOT) ? readdirSync(ROOT).sort((a, b) => Number(b) - Number(a)) : []
  const debian = versions
    .map(version => join(ROOT, version, 'bin'))
    .find(bin => existsSync(join(bin, 'postgres')))
  const found = findServer('postgres')
  return debian ?? (found === undefined ? undefined : join(found, '..'))
}
