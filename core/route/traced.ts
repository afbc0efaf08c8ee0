/** Steps while somebody traces: each has a span, and what it calls belongs to it. */
import { toSignalboxError } from '../errors.ts'
import { Invocation } from '../service/invocation.ts'
import { observer } from '../telemetry/observe.ts'
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
  const step = observer?.step(name, invocation?.trace, cid)
  if (!step || !invocation) return run(x)
  const around = invocation.observation
  invocation.observation = step
  try {
    await (step.active ? step.within(() => run(x)) : run(x))
    step.end({})
  } catch (thrown) {
    step.end({ error: toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED') })
    throw thrown
  } finally {
    invocation.observation = around
  }
}
