/** Private MariaDB servers. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { serverCertificate, testCa, untrustedCertificate } from '../certificates/certificates.ts'
import { freePort } from '../free-port.ts'
import { DatabaseServer } from './database-server.ts'
import { type ServerTestOptions, serverTest } from './require.ts'

const run = promisify(execFile)

/** A user that may do everything in the database `test`. */
export const MARIADB_USER = 'test'
export const MARIADB_PASSWORD = 'p:a@s/s"word'

/** Options for a test or suite that needs MariaDB. */
export function mariadbTest(): ServerTestOptions {
  return serverTest('mariadbd')
}

export interface MariadbOptions {
  /** The certificate of the server: that of the test authority, or one that does not verify. Default: no TLS. */
  certificate?: 'trusted' | 'untrusted'
}

export class MariadbServer extends DatabaseServer {
  protected override readonly stopSignal = 'SIGTERM'
  readonly #options: MariadbOptions
  #tls: string[] = []

  private constructor(options: MariadbOptions) {
    super('mariadb', 'mysql')
    this.#options = options
  }

  static async start(options: MariadbOptions = {}): Promise<MariadbServer> {
    const server = new MariadbServer(options)
    try {
      await server.#prepare()
      await server.start()
      await server.#makeUser()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  /** Options of a channel or connection of this server. */
  get options(): Record<string, unknown> {
    return {
      dialect: 'mariadb',
      host: '127.0.0.1',
      port: this.port,
      database: 'test',
      username: MARIADB_USER,
      password: MARIADB_PASSWORD,
    }
  }

  protected override command(): string[] {
    return [
      'mariadbd',
      '--no-defaults',
      `--datadir=${join(this.folder, 'd')}`,
      `--socket=${this.#socket}`,
      `--port=${this.port}`,
      '--bind-address=127.0.0.1',
      `--pid-file=${join(this.folder, 'pid')}`,
      '--skip-name-resolve',
      '--innodb-buffer-pool-size=32M',
      ...this.#tls,
    ]
  }

  protected override async answers(): Promise<boolean> {
    try {
      await run('mariadb-admin', ['--no-defaults', '-S', this.#socket, '-uroot', 'ping'])
      return true
    } catch {
      return false
    }
  }

  get #socket(): string {
    return join(this.folder, 's.sock')
  }

  async #prepare(): Promise<void> {
    this.port = await freePort()
    this.ownFolder()
    const { certificate } = this.#options
    if (certificate) {
      const pair = certificate === 'trusted' ? serverCertificate : untrustedCertificate
      const { cert, key } = this.certificateFiles(pair, testCa)
      this.#tls = [`--ssl-cert=${cert}`, `--ssl-key=${key}`]
    }
    await this.execute([
      'mariadb-install-db',
      '--no-defaults',
      `--datadir=${join(this.folder, 'd')}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ])
  }

  async #makeUser(): Promise<void> {
    const sql = [
      'create database test character set utf8mb4',
      `create user '${MARIADB_USER}'@'127.0.0.1' identified by '${MARIADB_PASSWORD}'`,
      `grant all on test.* to '${MARIADB_USER}'@'127.0.0.1'`,
    ].join('; ')
    await run('mariadb', ['--no-defaults', '-S', this.#socket, '-uroot', '-e', sql])
  }
}
