/** Whether something was left open: sockets, servers, timers, files. */
import { until } from './wait.ts'

// Resources that come and go by themselves, and those of the test runner and its output.
const PASSING = new Set(['Immediate', 'TickObject', 'FSReqCallback', 'FSReqPromise', 'PipeWrap', 'TTYWrap'])

function open(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const type of process.getActiveResourcesInfo()) {
    if (!PASSING.has(type)) counts.set(type, (counts.get(type) ?? 0) + 1)
  }
  return counts
}

function grown(before: Map<string, number>): string[] {
  return [...open()].filter(([type, count]) => count > (before.get(type) ?? 0)).map(([type]) => type)
}

/** Runs `work` and rejects when more handles are open afterwards than before, naming their types. */
export async function leavesNoHandle(work: () => Promise<void>): Promise<void> {
  const before = open()
  await work()
  let left: string[] = []
  try {
    await until(() => {
      left = grown(before)
      return left.length === 0
    }, 'handles closed')
  } catch (cause) {
    throw new Error(`left open: ${left.join(', ')}`, { cause })
  }
}
