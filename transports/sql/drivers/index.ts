/** The drivers, each loaded on first use. */
import { SignalboxError } from '../../../core/errors.ts'
import type { Dialect } from '../options.ts'
import type { Driver } from '../session.ts'

const LOADERS: Readonly<Record<Dialect, { library: string; load(): Promise<Driver> }>> = {
  postgresql: { library: 'pg', load: async () => (await import('./postgresql.ts')).load() },
  mysql: { library: 'mysql2', load: async () => (await import('./mysql.ts')).load('mysql') },
  mariadb: { library: 'mysql2', load: async () => (await import('./mysql.ts')).load('mariadb') },
  mssql: { library: 'tedious', load: async () => (await import('./mssql.ts')).load() },
  oracle: { library: 'oracledb', load: async () => (await import('./oracle.ts')).load() },
  sqlite: { library: 'node:sqlite', load: async () => (await import('./sqlite.ts')).load() },
}

/** Loads the driver of a product. Rejects with SIGNALBOX_DRIVER_MISSING when its library is not installed. */
export async function loadDriver(dialect: Dialect): Promise<Driver> {
  const { library, load } = LOADERS[dialect]
  try {
    return await load()
  } catch (error) {
    const { code, message = '' } = error as { code?: string; message?: string }
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    if (!isMissing || !message.includes(`'${library}'`)) throw error
    throw driverMissing(dialect, library, error)
  }
}

/** @internal The error that says what to install. */
export function driverMissing(dialect: Dialect, library: string, cause: unknown): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_DRIVER_MISSING',
    `the dialect ${dialect} needs the package ${library}, which is not installed: npm install ${library}`,
    { details: { package: library }, cause },
  )
}
