/** Steps that call services and routes, send by connections, and have queues and topics keep messages. */
import type { KeepOptions } from '../../service/service.ts'
import { type Compiler, type Compiling, isPromise, keyText, then, valuesOf } from '../compiling.ts'
import { type Exchange, headersToSend } from '../exchange.ts'
import type { OptionsOf } from '../options.ts'

/** What is sent, and what goes along; both evaluated for the message. */
async function messageOf(
  c: Compiling,
  { payload, headers }: Pick<OptionsOf<'tell'>, 'payload' | 'headers'>,
): Promise<(x: Exchange) => Sent | Promise<Sent>> {
  const value = payload === undefined ? undefined : await c.value(payload, 'payload')
  const named = headers === undefined ? undefined : await valuesOf(c, headers, 'headers')
  return x => {
    const p = value === undefined ? x.payload : value(x)
    if (named === undefined && !isPromise(p)) return { payload: p, headers: headersToSend(x) }
    return then(p, payload => then(named?.(x) ?? [], h => ({ payload, headers: headersToSend(x, h) })))
  }
}

interface Sent {
  payload: unknown
  headers: Record<string, string>
}

function take(x: Exchange, into: string | undefined, answer: unknown): void {
  if (into === undefined) x.payload = answer
  else x.setVar(into, answer)
}

export const call: Compiler<'call'> = async c => {
  const { service, route, timeoutMs, into } = c.options
  const name = route === undefined ? service! : `route/${route}`
  const message = await messageOf(c, c.options)
  return x =>
    then(message(x), async ({ payload, headers }) => {
      const answer = await x.context.invoke(name, payload, {
        headers,
        ...(timeoutMs !== undefined && { timeoutMs }),
      })
      take(x, into, answer)
    })
}

export const tell: Compiler<'tell'> = async c => {
  const { service, route } = c.options
  const name = route === undefined ? service! : `route/${route}`
  const message = await messageOf(c, c.options)
  return x => then(message(x), ({ payload, headers }) => x.context.tell(name, payload, { headers }))
}

export const send: Compiler<'send'> = async c => {
  const { connection, attributes, timeoutMs, into } = c.options
  const message = await messageOf(c, c.options)
  const named = attributes === undefined ? undefined : await valuesOf(c, attributes, 'attributes')
  return x =>
    then(message(x), async ({ payload, headers }) => {
      const given = named && Object.fromEntries(await named(x))
      const { cid, signal } = x
      const answer = await x.context.connection(connection).send({
        payload,
        cid,
        signal,
        headers,
        ...(given && { attributes: given }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      })
      take(x, into, answer.payload)
    })
}

export const publish: Compiler<'publish'> = c => {
  const { topic } = c.options
  return keeping(c, c.options, (x, payload, options) => x.context.publish(topic, payload, options))
}

export const enqueue: Compiler<'enqueue'> = c => {
  const { queue } = c.options
  return keeping(c, c.options, (x, payload, options) => x.context.enqueue(queue, payload, options))
}

async function keeping(
  c: Compiling,
  given: Omit<OptionsOf<'enqueue'>, 'queue'>,
  keep: (x: Exchange, payload: unknown, options: KeepOptions) => Promise<unknown>,
) {
  const { delayMs, priority } = given
  const id = given.messageId === undefined ? undefined : await c.evaluate(given.messageId, 'messageId')
  const key = given.key === undefined ? undefined : await c.evaluate(given.key, 'key')
  const message = await messageOf(c, given)
  return async (x: Exchange): Promise<void> => {
    const { payload, headers } = await message(x)
    await keep(x, payload, {
      headers,
      ...(id && { id: keyText(await id(x), 'messageId') }),
      ...(key && { key: keyText(await key(x), 'key') }),
      ...(delayMs !== undefined && { delayMs }),
      ...(priority !== undefined && { priority }),
    })
  }
}
