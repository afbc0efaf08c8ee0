/** Filter, content-based router, dynamic router. */
import { SignalboxError } from '../../errors.ts'
import { type Compiler, type Evaluate, isPromise, isTrue, type Run, shown } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'
import { deliver } from './addresses.ts'

export const filter: Compiler<'filter'> = async c => {
  const when = await c.evaluate(c.options.when, 'when')
  const decide = (x: Exchange, value: unknown) => {
    if (!isTrue(value)) x.stopped = true
  }
  return x => {
    const value = when(x)
    if (value === true) return undefined
    if (isPromise(value)) return value.then(found => decide(x, found))
    return decide(x, value)
  }
}

export const choose: Compiler<'choose'> = async c => {
  const branches: { when: Evaluate | undefined; run: Run }[] = []
  for (const [i, { when, steps }] of c.options.branches.entries()) {
    branches.push({
      when: when === undefined ? undefined : await c.evaluate(when, `branches[${i}].when`),
      run: await c.steps(steps),
    })
  }
  const from = (x: Exchange, first: number): void | Promise<void> => {
    for (let i = first; i < branches.length; i++) {
      const { when, run } = branches[i]!
      if (when === undefined) return run(x)
      const value = when(x)
      if (value instanceof Promise) return value.then(found => (isTrue(found) ? run(x) : from(x, i + 1)))
      if (isTrue(value)) return run(x)
    }
    return undefined
  }
  return x => from(x, 0)
}

export const dynamic: Compiler<'dynamic'> = async c => {
  const next = await c.evaluate(c.options.next, 'next')
  const maxHops = c.options.maxHops!
  return async x => {
    for (let hops = 0; ; hops++) {
      const address = await next(x)
      if (address === null || address === undefined || address === '') return
      if (typeof address !== 'string') {
        throw new SignalboxError(
          'SIGNALBOX_EXPRESSION_FAILED',
          `next must be an address, not ${shown(address)}`,
        )
      }
      if (hops >= maxHops) {
        const message = `the message has been to ${maxHops} addresses; the next would be ${address.slice(0, 200)}`
        throw new SignalboxError('SIGNALBOX_EXPRESSION_FAILED', message, { details: { maxHops } })
      }
      const answer = await deliver(x, address)
      if (answer !== undefined) x.payload = answer
    }
  }
}
