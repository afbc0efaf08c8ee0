/** Aggregator: messages of a group become one. */
import type { Compiler } from '../compiling.ts'
import { type KeptMessage, SEQUENCE_NUMBER, SEQUENCE_SIZE } from '../exchange.ts'
import { type CompleteGroup, grouping } from './groups.ts'

/** Headers of an aggregate. */
const AGGREGATE_SIZE = 'sb-aggregate-size'
const AGGREGATE_REASON = 'sb-aggregate-reason'

export const aggregate: Compiler<'aggregate'> = async c => {
  const { combine } = c.options
  const combined = combine === undefined ? undefined : await c.evaluateOf(combine, 'combine')
  const run = c.alone(async x => {
    if (combined) x.payload = await combined(x.payload, x)
    await c.rest(x)
  })
  return grouping(c, c.options, group => c.goOn(aggregateOf(group), run))
}

/** The headers and variables are those of the first; the places of the parts mean nothing any more. */
function aggregateOf({ messages, reason }: CompleteGroup): KeptMessage {
  const first = messages[0]!
  const payload = messages.map(message => message.payload)
  const headers = { [AGGREGATE_SIZE]: String(messages.length), [AGGREGATE_REASON]: reason }
  const without = (given: Record<string, string>) => {
    const { [SEQUENCE_NUMBER]: _, [SEQUENCE_SIZE]: __, ...others } = given
    return { ...others, ...headers }
  }
  return { ...first, payload, headers: without(first.headers), own: without(first.own) }
}
