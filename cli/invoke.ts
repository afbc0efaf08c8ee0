/** `signalbox invoke`: calls a service of a running node, through its admin API or as a program outside the bus. */
import { SignalboxError } from '../core/errors.ts'
import { AdminClient } from './admin-client.ts'
import { type AdminFlags, adminTarget } from './admin-target.ts'
import { AdvisedError } from './failure.ts'
import { payloadOf } from './payload.ts'

/** Longest time to look for the names of services, to correct a mistyped one. */
const SUGGEST_TIMEOUT_MS = 3_000

/** Calls through the admin API and prints the answer as JSON. */
export async function invoke(
  service: string,
  payload: string,
  options: AdminFlags & { timeout: number },
): Promise<void> {
  const input = await payloadOf(payload)
  const target = adminTarget(options)
  try {
    print(await new AdminClient(target).invoke(service, input, options.timeout))
  } catch (error) {
    throw await corrected(error, service, new AdminClient(target, SUGGEST_TIMEOUT_MS))
  }
}

export interface ZeroMqOptions {
  endpoint: string
  serverKey?: string
  name: string
  timeout: number
}

/** Calls over the ZeroMQ port and prints the answer as JSON. */
export async function invokeOverZeroMq(
  service: string,
  payload: string,
  { endpoint, serverKey, name, timeout }: ZeroMqOptions,
): Promise<void> {
  if (serverKey === undefined) {
    throw new SignalboxError('SIGNALBOX_USAGE', '--endpoint needs --server-key, the public key of the node')
  }
  const input = await payloadOf(payload)
  const keys = { publicKey: variable('SIGNALBOX_PUBLIC_KEY'), secretKey: variable('SIGNALBOX_SECRET_KEY') }
  const { connect } = await import('../core/router/client.ts')
  const client = await connect({ endpoint, serverKey, name, keys, timeoutMs: timeout })
  try {
    print(await client.invoke(service, input, { timeoutMs: timeout }))
  } finally {
    await client.close()
  }
}

/** The error for a service that is not there, with the name that was meant. */
async function corrected(error: unknown, service: string, client: AdminClient): Promise<unknown> {
  if ((error as SignalboxError).code !== 'SIGNALBOX_ADDRESS_UNKNOWN') return error
  // Without the names, the error is said as it came.
  const services = await client.services().catch(() => [])
  const { nearest } = await import('../core/schema.ts')
  const near = nearest(
    service.split('#')[0]!,
    services.map(({ name }) => name),
  )
  const message = `there is no service '${service}'${near ? `; did you mean '${near}'?` : ''}`
  return new AdvisedError(
    'SIGNALBOX_ADDRESS_UNKNOWN',
    message,
    'See which services run with `signalbox services`.',
    {
      cause: (error as Error).cause,
    },
  )
}

/** Bytes as they are; all else as JSON. */
function print(answer: unknown): void {
  if (answer instanceof Uint8Array) {
    process.stdout.write(answer)
    return
  }
  const plainJson = (_key: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  console.log(JSON.stringify(answer ?? null, plainJson, 2))
}

function variable(name: string): string {
  const value = process.env[name]
  if (value) return value
  throw new SignalboxError('SIGNALBOX_USAGE', `${name} is not set: make keys with \`signalbox keys\``)
}
