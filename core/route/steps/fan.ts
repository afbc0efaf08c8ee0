/** Multicast, recipient list, wire tap, enricher: copies of a message on several ways. */
import type { Timer } from '../../clock.ts'
import { SignalboxError, toSignalboxError } from '../../errors.ts'
import { type Compiler, type Compiling, isPromise, type Run, shown, then } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'
import type { Expression } from '../options.ts'
import { deliver } from './addresses.ts'
import { withEnd } from './branch-end.ts'

interface FanOptions {
  parallel?: number
  timeoutMs?: number
  need?: 'all' | 'any' | number
  combine?: Expression
  keep?: boolean
}

type Branch = (copy: Exchange) => void | Promise<void>

export const multicast: Compiler<'multicast'> = async c => {
  const runs: Run[] = []
  for (const steps of c.options.branches) runs.push(await c.steps(steps))
  const gather = await gathering(c, c.options)
  return x => gather(x, runs)
}

export const recipients: Compiler<'recipients'> = async c => {
  const to = await c.evaluate(c.options.to, 'to')
  const max = c.options.max!
  const gather = await gathering(c, c.options)
  return async x => {
    const addresses = listOf(await to(x), max)
    await gather(
      x,
      addresses.map(
        (address): Branch =>
          async copy => {
            copy.payload = await deliver(copy, address)
          },
      ),
    )
  }
}

function listOf(value: unknown, max: number): string[] {
  const list = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
  if (list.length > max) {
    const message = `${list.length} recipients are more than ${max}`
    throw new SignalboxError('SIGNALBOX_EXPRESSION_FAILED', message, { details: { max } })
  }
  return list.map(address => {
    if (typeof address === 'string') return address
    throw new SignalboxError('SIGNALBOX_EXPRESSION_FAILED', `an address must be text, not ${shown(address)}`)
  })
}

/** Runs branches on copies, as many at once as are allowed, and makes one message of what they give. */
async function gathering(
  c: Compiling,
  { parallel = 16, timeoutMs, need = 'all', combine, keep }: FanOptions,
): Promise<(x: Exchange, branches: readonly Branch[]) => Promise<void>> {
  const combined = combine === undefined ? undefined : await c.evaluateOf(combine, 'combine')
  return async (x, branches) => {
    const outcomes = await runAll(c, x, branches, parallel, timeoutMs)
    const results = outcomes.flatMap(outcome => ('value' in outcome ? [outcome.value] : []))
    const errors = outcomes.flatMap((outcome, branch) => {
      return 'error' in outcome ? [{ branch, code: outcome.error.code, message: outcome.error.message }] : []
    })
    const needed = need === 'all' ? branches.length : need === 'any' ? Math.min(1, branches.length) : need
    if (results.length < needed) throw partial(outcomes, results.length, needed, errors)
    if (keep) return
    x.payload = combined ? await combined({ original: x.payload, results, errors }, x) : results
  }
}

type Outcome = { value: unknown } | { error: SignalboxError }

function partial(
  outcomes: readonly Outcome[],
  succeeded: number,
  needed: number,
  errors: readonly object[],
): SignalboxError {
  const failed = outcomes.flatMap(outcome => ('error' in outcome ? [outcome.error] : []))
  const first = failed[0]
  const message = `${succeeded} of ${outcomes.length} branches succeeded, ${needed} are needed${first ? `: ${first.message}` : ''}`
  return new SignalboxError('SIGNALBOX_ROUTE_PARTIAL', message, {
    details: { succeeded, needed, errors: errors.slice(0, 100) },
    retryable: failed.every(({ retryable }) => retryable),
    ...(first && { cause: first }),
  })
}

async function runAll(
  c: Compiling,
  x: Exchange,
  branches: readonly Branch[],
  parallel: number,
  timeoutMs: number | undefined,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  const lane = async () => {
    while (next < branches.length) {
      const i = next++
      outcomes[i] = await outcomeOf(branches[i]!, x.copy())
    }
  }
  const lanes = Promise.all(Array.from({ length: Math.min(parallel, branches.length) }, lane))
  if (timeoutMs === undefined) {
    await lanes
    return outcomes
  }
  const late = Promise.withResolvers<void>()
  const timer: Timer = c.clock.after(timeoutMs, late.resolve)
  await Promise.race([lanes, late.promise])
  timer.cancel()
  // Branches that have not begun do not begin any more; those under way are not waited for.
  next = branches.length
  return Array.from(branches, (_, i) => outcomes[i] ?? { error: late_(timeoutMs, i) })
}

function late_(timeoutMs: number, branch: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_TIMEOUT_DEADLINE',
    `branch ${branch} was not done after ${timeoutMs} ms`,
  )
}

async function outcomeOf(branch: Branch, copy: Exchange): Promise<Outcome> {
  try {
    await branch(copy)
    return { value: copy.stopped ? null : copy.payload }
  } catch (thrown) {
    return { error: toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED') }
  }
}

export const tap: Compiler<'tap'> = async c => {
  const run = await c.steps(c.options.steps)
  const limit = c.options.limit!
  const waiting: (() => void)[] = []
  let active = 0
  const end = () => {
    const next = waiting.shift()
    if (next) next()
    else active--
  }
  const begin = (x: Exchange) => {
    const work = withEnd(c, x, run).catch(thrown => {
      const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      const { route, id: step } = c
      c.log.warn({ route, step, cid: x.cid, code: error.code, err: error }, 'a copy of a message failed')
    })
    c.follow(work.finally(end))
  }
  return x => {
    const copy = x.copy()
    if (active < limit) {
      active++
      begin(copy)
      return undefined
    }
    return new Promise<void>(resolve => waiting.push(resolve)).then(() => begin(copy))
  }
}

export const enrich: Compiler<'enrich'> = async c => {
  const run = await c.steps(c.options.steps)
  const { into, combine } = c.options
  const combined = combine === undefined ? undefined : await c.evaluateOf(combine, 'combine')
  const merge = (x: Exchange, copy: Exchange): void | Promise<void> => {
    // What was filtered out adds nothing.
    if (copy.stopped) return undefined
    const { payload: original } = x
    if (combined === undefined) {
      x.payload = withProperty(original, into!, copy.payload)
      return undefined
    }
    return then(combined({ original, addition: copy.payload }, x), value => {
      x.payload = value
    })
  }
  return x => {
    const copy = x.copy()
    const running = run(copy)
    return isPromise(running) ? running.then(() => merge(x, copy)) : merge(x, copy)
  }
}

function withProperty(original: unknown, name: string, addition: unknown): unknown {
  if (
    typeof original === 'object' &&
    original !== null &&
    !Array.isArray(original) &&
    !ArrayBuffer.isView(original)
  ) {
    return { ...original, [name]: addition }
  }
  const message = `only an object can take the addition '${name}', and the payload is ${shown(original)}`
  throw new SignalboxError('SIGNALBOX_EXPRESSION_FAILED', message)
}
