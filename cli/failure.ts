/** What the command line says when something went wrong, and with which code it exits. */
import { CommanderError } from 'commander'
import { type ErrorOptions, SignalboxError } from '../core/errors.ts'
import { plain } from './output.ts'

/** Exit codes: 0 fine, 1 it failed, 2 the call itself was wrong. */
export const FAILED = 1
export const USAGE = 2

const USAGE_CODES: readonly string[] = [
  'SIGNALBOX_USAGE',
  'SIGNALBOX_CONFIG_INVALID',
  'SIGNALBOX_OPTIONS_INVALID',
]

/** The advice of the table is for callers of functions. */
const USAGE_FIX = 'See the help of the verb: it ends with examples.'

/** An error with advice for this case, in the place of the general one of its code. */
export class AdvisedError extends SignalboxError {
  readonly #fix: string

  constructor(code: string, message: string, fix: string, options: ErrorOptions = {}) {
    super(code, message, options)
    this.#fix = fix
  }

  override get fix(): string {
    return this.#fix
  }
}

/** Says on standard error what went wrong and what to do. Returns the exit code. */
export function report(error: unknown): number {
  // Commander has said it.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  if (!(error instanceof SignalboxError)) {
    console.error(error)
    return FAILED
  }
  console.error(`error ${plain(error.code)}: ${plain(error.message)}`)
  // A worker that did not start says why in its cause.
  const fix = fixOf(error.cause) ?? (error.code === 'SIGNALBOX_USAGE' ? USAGE_FIX : error.fix)
  if (fix) console.error(`  to mend it: ${plain(fix)}`)
  return USAGE_CODES.includes(error.code) ? USAGE : FAILED
}

function fixOf(cause: unknown): string | undefined {
  const code = (cause as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? new SignalboxError(code).fix : undefined
}
