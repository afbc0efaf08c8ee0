/** What the three kinds of channels have in common: where their messages come from. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import type { Receive } from '../../core/transport.ts'
import { type ClientUse, type OpenClient, openClient } from './client.ts'
import type { RedisChannelSettings } from './options.ts'

/** What a source gets from its channel. */
export interface SourceContext {
  readonly options: RedisChannelSettings
  readonly receive: Receive
  readonly clock: Clock
  readonly log: Logger
  /** Aborted when the channel closes. */
  readonly signal: AbortSignal
  /** Name of the channel. */
  readonly name: string
  /** The source is broken and delivers nothing more. */
  broken(error: Error): void
}

/** Where messages come from. One instance lives from one `open` to one `close`. */
export interface Source {
  open(): Promise<void>
  /** Takes nothing more; resolves when what was taken is settled or given back. */
  drain(): Promise<void>
  /** Takes nothing more and settles nothing more, except what has succeeded. Idempotent. */
  close(): Promise<void>
  /** Resolves when the server answers. */
  ping(): Promise<void>
}

/** Opens a client of a source; losing it breaks the source. */
export async function openSourceClient(
  context: SourceContext,
  use: Omit<ClientUse, 'name'>,
): Promise<OpenClient> {
  const opened = await openClient(
    context.options,
    { ...use, name: `signalbox-${context.name.replaceAll(/[^!-~]/g, '_')}` },
    context.signal,
  )
  void opened.lost.then(error => context.broken(error))
  return opened
}

/** A key that belongs to another one and lives in the same hash slot of a cluster. */
export function companion(key: string, suffix: string): string {
  // A key with a hash tag of its own keeps it; one with stray braces has no tag that a name could repeat.
  return /[{}]/.test(key) ? `${key}:${suffix}` : `{${key}}:${suffix}`
}
