/** The log: pino, with secrets redacted. People get pretty lines on a terminal, programs get JSON. */
import { isMainThread } from 'node:worker_threads'
import { pino } from 'pino'

/** The part of pino that the bus uses. */
export interface Logger {
  debug(data: object, message?: string): void
  info(data: object, message?: string): void
  warn(data: object, message?: string): void
  error(data: object, message?: string): void
  child(bindings: Record<string, unknown>): Logger
}

const REDACTED = [
  'password',
  'secret',
  'token',
  'authorization',
  '*.password',
  '*.secret',
  '*.token',
  '*.authorization',
]

export interface LogOptions {
  level?: string
  /** Pretty lines instead of JSON; default: standard output is a terminal. */
  pretty?: boolean
}

/** Makes the root logger of this thread. Writes to standard output synchronously, so a crash loses no line. */
export function createLogger(bindings: Record<string, unknown>, options: LogOptions = {}): Logger {
  const level = options.level ?? process.env.SIGNALBOX_LOG_LEVEL ?? 'info'
  const pretty = options.pretty ?? Boolean(process.stdout.isTTY)
  const settings = { level, base: bindings, redact: REDACTED }
  if (pretty && isMainThread) {
    return pino({ ...settings, transport: { target: 'pino-pretty', options: { sync: true } } })
  }
  return pino(settings, pino.destination({ fd: 1, sync: true }))
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
}
