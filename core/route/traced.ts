/** Steps while somebody traces: each has a span, and what it calls belongs to it. */
import { toSignalboxError } from '../errors.ts'
import { Invocation } from '../service/invocation.ts'
import { Observation, observer } from '../telemetry/observe.ts'
import type { Entry } from './compile.ts'
import type { Run } from './compiling.ts'
import type { Exchange } from './exchange.ts'

export function tracedSequence(route: string, entries: readonly Entry[]): Run {
  return async x => {
    for (const { run, count } of entries) {
      if (x.stopped) return
      count.begun++
      try {
        await traced(`route/${route} ${count.id}`, run, x)
      } catch (error) {
        count.failed++
        x.failedAt ??= count.id
        throw error
      }
    }
  }
}

async function traced(name: string, run: Run, x: Exchange): Promise<void> {
  const { context, cid } = x
  const invocation = context instanceof Invocation ? context : undefined
  const span = observer?.step(name, invocation?.trace, cid)
  if (!span || !invocation) return run(x)
  const around = invocation.observation
  invocation.observation = new Observation(span.trace, span, {
    kind: 'service',
    cid,
    from: undefined,
    to: name,
  })
  try {
    await span.within(() => run(x))
    span.end(undefined, undefined)
  } catch (thrown) {
    span.end(toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED'), undefined)
    throw thrown
  } finally {
    invocation.observation = around
  }
}
