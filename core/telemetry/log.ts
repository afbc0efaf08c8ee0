/** The log: pino, with secrets redacted. People get pretty lines on a terminal, programs get JSON. */
import { createRequire } from 'node:module'
import { isatty } from 'node:tty'
import { type DestinationStream, type LoggerOptions, pino } from 'pino'
import type PrettyFactory from 'pino-pretty'
import { SignalboxError } from '../errors.ts'
import { mask } from './mask.ts'

/** The part of pino that the bus uses. */
export interface Logger {
  debug(data: object, message?: string): void
  info(data: object, message?: string): void
  warn(data: object, message?: string): void
  error(data: object, message?: string): void
  child(bindings: Record<string, unknown>): Logger
}

export interface LogOptions {
  /** Least level that is written. Default: SIGNALBOX_LOG_LEVEL, else `info`; it can be changed later. */
  level?: string | undefined
  /** Pretty lines instead of JSON; default: standard output is a terminal. */
  pretty?: boolean | undefined
  /** Where the lines go instead of standard output. */
  destination?: DestinationStream
}

const LEVELS: Readonly<Record<string, number>> = { ...pino.levels.values, silent: Number.POSITIVE_INFINITY }
const STDOUT = 1

/** The least level of this thread: one for all loggers and their children, so that a change counts at once. */
let least = LEVELS.info!

/**
 * Makes the root logger of this thread. Writes to standard output synchronously, so a crash loses no line, from
 * worker threads as well. Throws SIGNALBOX_CONFIG_INVALID for an unknown level.
 */
export function createLogger(bindings: Record<string, unknown>, options: LogOptions = {}): Logger {
  setLogLevel(options.level ?? (process.env.SIGNALBOX_LOG_LEVEL || 'info'))
  // In a worker thread process.stdout is a pipe to the main thread; the descriptor is the terminal itself.
  const pretty = options.pretty ?? isatty(STDOUT)
  const { destination } = options
  const stream = pretty
    ? prettyStream(destination)
    : (destination ?? pino.destination({ fd: STDOUT, sync: true }))
  const log = pino(settings(bindings), stream)
  const { child } = log
  // The formatters do not see the bindings of children. Children inherit this.
  log.child = function (this: typeof log, own: object, ...rest: []) {
    return child.call(this, masked(own as Record<string, unknown>), ...rest) as never
  }
  return log
}

/** Changes what is written in this thread, at once and for every logger. Throws SIGNALBOX_CONFIG_INVALID. */
export function setLogLevel(level: string): void {
  if (!Object.hasOwn(LEVELS, level)) {
    const message = `'${level}' is no log level; there are: ${Object.keys(LEVELS).join(', ')}`
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', message)
  }
  least = LEVELS[level]!
}

function settings(base: Record<string, unknown>): LoggerOptions {
  return {
    // Children copy the level when they are made, so it is looked at for each line instead.
    level: 'trace',
    base,
    formatters: { log: masked, bindings: masked },
    // Errors are data by then.
    serializers: { err: error => error },
    hooks: {
      logMethod(args, method, level) {
        if (level >= least) method.apply(this, args)
      },
    },
  }
}

function masked(data: Record<string, unknown>): Record<string, unknown> {
  return mask(data) as Record<string, unknown>
}

function prettyStream(destination: DestinationStream | undefined): DestinationStream {
  // As a stream in this thread: pino's transports run in a thread of their own, which a worker must not depend on.
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof PrettyFactory
  return pretty({ sync: true, colorize: isatty(STDOUT), destination: (destination as never) ?? STDOUT })
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
}
