/** A lock in one key: SET NX PX with a token, renewed while it is held, freed by its holder only. */
import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { RedisClient } from './client.ts'

const RENEW =
  "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) end return 0"
const FREE = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0"
const DEFAULT_TTL_MS = 20_000
/** Renewals within the life of the lock. */
const RENEWALS = 3
const RETRY_MS = 50

/** What the work under a lock gets. */
export interface HeldLock {
  /** Known to nobody else; what is written under the lock may carry it. */
  readonly token: string
  /** Aborted when the lock was lost, or could not be renewed in time. */
  readonly signal: AbortSignal
}

type Run = <R>(command: (client: RedisClient) => Promise<R>) => Promise<R>

/** Runs `work` under the lock. Rejects with SIGNALBOX_CONFLICT when it is not free within `waitMs`. */
export async function withLock<T>(
  run: Run,
  clock: Clock,
  name: string,
  work: (lock: HeldLock) => Promise<T>,
  options: { ttlMs?: number; waitMs?: number; signal?: AbortSignal; timeoutMs?: number },
): Promise<T> {
  const { ttlMs = DEFAULT_TTL_MS, waitMs = options.timeoutMs ?? 0, signal } = options
  const key = `lock:${name}`
  const token = randomBytes(16).toString('hex')
  await acquire(run, clock, key, token, ttlMs, waitMs, signal)
  const lost = new AbortController()
  const stop = keep(run, clock, key, token, ttlMs, lost)
  try {
    return await work({ token, signal: signal ? AbortSignal.any([signal, lost.signal]) : lost.signal })
  } finally {
    stop()
    // What cannot be freed now ends with its time.
    await run(client => client.eval(FREE, 1, key, token)).catch(() => 0)
  }
}

async function acquire(
  run: Run,
  clock: Clock,
  key: string,
  token: string,
  ttlMs: number,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = clock.monotonic() + waitMs
  for (;;) {
    if (signal?.aborted) throw new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal.reason })
    if ((await run(client => client.set(key, token, 'PX', ttlMs, 'NX'))) === 'OK') return
    const leftMs = until - clock.monotonic()
    if (leftMs <= 0)
      throw new SignalboxError('SIGNALBOX_CONFLICT', `${key} is held by somebody else`, { retryable: true })
    // Not all at the same time.
    const pauseMs = Math.min(leftMs, RETRY_MS * (0.5 + Math.random()))
    await new Promise<void>(resolve => clock.after(pauseMs, resolve))
  }
}

/** Renews a lock until it is stopped. */
function keep(
  run: Run,
  clock: Clock,
  key: string,
  token: string,
  ttlMs: number,
  lost: AbortController,
): () => void {
  let timer: Timer
  let validUntil = clock.monotonic() + ttlMs
  const later = () => {
    timer = clock.after(ttlMs / RENEWALS, () => void renew())
  }
  const renew = async () => {
    const startedAt = clock.monotonic()
    try {
      const held = await run(client => client.eval(RENEW, 1, key, token, ttlMs))
      if (held === 0)
        return lost.abort(new SignalboxError('SIGNALBOX_LEASE_LOST', `${key} is not held any more`))
      validUntil = startedAt + ttlMs
    } catch (error) {
      // Another try may come in time.
      if (clock.monotonic() + ttlMs / RENEWALS >= validUntil) return lost.abort(error)
    }
    if (!stopped) later()
  }
  let stopped = false
  later()
  return () => {
    stopped = true
    timer.cancel()
  }
}
