/** A connection as a service uses it: its operations are counted, traced and carry the correlation id. */
import { recorder } from '../audit/recorder.ts'
import { type SignalboxError, toSignalboxError } from '../errors.ts'
import type { Connection, Transport } from '../transport.ts'
import type { Meter } from './meters.ts'
import { observer } from './observe.ts'
import { traceHeaders } from './trace-context.ts'

/** The message that a call on a connection belongs to. */
export interface Caller {
  readonly cid: string | undefined
  readonly trace: string | undefined
  /** What makes the call, e.g. `service/orders.create`, where that is known. */
  readonly from?: string | undefined
  /** Aborted when whoever called gives up or the deadline passes; read where an operation follows it. */
  readonly signal?: AbortSignal | undefined
}

interface About {
  meter: Meter
  transport: Transport
}

/** Operations by name, each with the place of the argument that is a message or its options. */
const SEND_ONLY: Readonly<Record<string, number>> = { send: 0 }

/** The connection for one caller. Everything but its operations is the connection's own. */
export function viewConnection(connection: Connection, about: About, caller: Caller): Connection {
  const operations = about.transport.connection?.operations ?? SEND_ONLY
  return new Proxy(connection, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      if (typeof key !== 'string' || !Object.hasOwn(operations, key)) return value.bind(target)
      const position = operations[key]!
      return (...args: unknown[]) => run(target, about, caller, key, args, position, value as Operation)
    },
  })
}

type Operation = (this: Connection, ...args: unknown[]) => unknown

async function run(
  target: Connection,
  { meter, transport }: About,
  caller: Caller,
  operation: string,
  args: unknown[],
  position: number,
  call: Operation,
): Promise<unknown> {
  const options = args[position] as Record<string, unknown> | undefined
  const side = transport.connection
  const kind = side?.kind ?? (transport.capabilities.requestReply ? 'client' : 'producer')
  const observation = observer?.connection(meter, {
    ...pick(caller),
    operation,
    kind,
    endpoint: target.endpoint(),
    options,
  })
  const carried = carry(
    options,
    caller.cid,
    transport.capabilities.headers ? (observation?.trace ?? caller.trace) : undefined,
  )
  if (side?.followsCall && carried.signal === undefined && caller.signal) carried.signal = caller.signal
  const passed = args.slice()
  passed[position] = carried
  const startedAt = meter.begin()
  try {
    const result = await call.apply(target, passed)
    meter.end(startedAt)
    observation?.end({ status: statusOf(result), body: options?.payload })
    if (recorder) audit(meter, caller, operation, startedAt, options, statusOf(result), undefined)
    return result
  } catch (thrown) {
    const error = toSignalboxError(thrown, 'SIGNALBOX_CONNECT_FAILED')
    meter.end(startedAt, error.code)
    const status = error.details?.status as number | undefined
    observation?.end({ error, status, body: options?.payload })
    if (recorder) audit(meter, caller, operation, startedAt, options, status, error)
    throw thrown
  }
}

function audit(
  { name, transport }: Meter,
  { cid, from }: Caller,
  operation: string,
  startedAt: number,
  options: Record<string, unknown> | undefined,
  status: number | undefined,
  error: SignalboxError | undefined,
): void {
  const { payload, headers, attributes } = options ?? {}
  const path = options?.path ?? (attributes as { path?: unknown } | undefined)?.path
  recorder?.record({
    kind: 'connection',
    cid: cid ?? '',
    address: `connection/${transport}/${name}`,
    from,
    operation,
    detail: typeof path === 'string' ? withoutQuery(path) : undefined,
    startedAt,
    error: error?.code,
    status: typeof status === 'number' ? status : undefined,
    bytesOut: payload instanceof Uint8Array ? payload.length : undefined,
    headers: headers as Record<string, string> | undefined,
    payload,
  })
}

/** What is asked for may hold secrets. */
function withoutQuery(path: string): string {
  const mark = path.indexOf('?')
  return mark < 0 ? path : path.slice(0, mark)
}

function pick({ cid, trace }: Caller): Caller {
  return { cid, trace }
}

/** The options with the correlation id and the trace, unless the caller has set its own. */
function carry(
  options: Record<string, unknown> | undefined,
  cid: string | undefined,
  trace: string | undefined,
): Record<string, unknown> {
  const headers = options?.traceparent === undefined ? traceHeaders(trace) : undefined
  const given = options?.headers as Record<string, string> | undefined
  const own = given !== undefined && Object.keys(given).some(name => name.toLowerCase() === 'traceparent')
  return {
    ...(cid !== undefined && { cid }),
    ...options,
    ...(headers && !own && { headers: { ...given, ...headers } }),
  }
}

function statusOf(result: unknown): number | undefined {
  const status = (result as { status?: unknown } | undefined)?.status
  return typeof status === 'number' ? status : undefined
}
