/** `signalbox invoke`: calls a service of a running node as a program outside the bus. */
import { text } from 'node:stream/consumers'
import { SignalboxError } from '../core/errors.ts'
import { connect } from '../core/router/client.ts'

export interface InvokeOptions {
  endpoint: string
  serverKey: string
  name: string
  timeout: number
}

/** Prints the answer as JSON. */
export async function invoke(service: string, payload: string, options: InvokeOptions): Promise<void> {
  const input = payloadOf(payload === '-' ? await text(process.stdin) : payload)
  const keys = { publicKey: variable('SIGNALBOX_PUBLIC_KEY'), secretKey: variable('SIGNALBOX_SECRET_KEY') }
  const { endpoint, serverKey, name, timeout } = options
  const client = await connect({ endpoint, serverKey, name, keys, timeoutMs: timeout })
  try {
    const answer = await client.invoke(service, input, { timeoutMs: timeout })
    console.log(
      JSON.stringify(answer ?? null, (_key, value) => (typeof value === 'bigint' ? String(value) : value), 2),
    )
  } finally {
    await client.close()
  }
}

function payloadOf(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_USAGE', `the payload is no JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
}

function variable(name: string): string {
  const value = process.env[name]
  if (value) return value
  throw new SignalboxError('SIGNALBOX_USAGE', `${name} is not set: make keys with \`signalbox keys\``)
}
