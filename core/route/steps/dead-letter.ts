/** Dead letter: a message that fails is put into a queue as it was, with the reason and the step. */
import { type SignalboxError, toSignalboxError } from '../../errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { type Compiler, isPromise, type Run } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'

const MAX_TEXT = 4_000

export const deadLetter: Compiler<'deadLetter'> = async c => {
  const run = await c.steps(c.options.steps)
  return deadLettering(c.options.queue, c.options.rethrow!, run, c)
}

/** Wraps steps so that a failure of theirs puts the message into a queue. */
export function deadLettering(
  queue: string,
  rethrow: boolean,
  run: Run,
  { route, log }: { route: string; log: Logger },
): Run {
  return x => {
    const original = x.copy()
    const failed = async (thrown: unknown): Promise<void> => {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      // Whoever gave up sends it again if it is worth it; a queue that cannot take it must not hide what failed.
      if (x.signal.aborted) throw error
      try {
        await put(queue, route, original, x.failedAt, error)
      } catch (cause) {
        log.error({ route, queue, cid: x.cid, err: cause }, 'a dead letter could not be kept')
        throw error
      }
      log.warn(
        { route, step: x.failedAt, queue, cid: x.cid, code: error.code, err: error },
        'a message failed',
      )
      if (rethrow) throw error
      x.stopped = true
    }
    try {
      const pending = run(x)
      return isPromise(pending) ? pending.catch(failed) : undefined
    } catch (thrown) {
      return failed(thrown)
    }
  }
}

async function put(
  queue: string,
  route: string,
  x: Exchange,
  step: string | undefined,
  error: SignalboxError,
): Promise<void> {
  const headers: Record<string, string> = {
    ...x.headers,
    'sb-dead-route': route,
    'sb-dead-code': error.code,
    'sb-dead-reason': error.message.replace(/[\r\n\0]+/g, ' ').slice(0, MAX_TEXT),
    ...(step !== undefined && { 'sb-dead-step': step }),
  }
  await x.context.enqueue(queue, x.payload, { headers })
}
