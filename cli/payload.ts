/** Payloads that are given on the command line: JSON, `-` for standard input, `@file`. */
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import type { GivenPayload } from '../actors/messages/log-admin.ts'
import { SignalboxError } from '../core/errors.ts'

/** The value of a payload. Throws SIGNALBOX_USAGE for what is no JSON or cannot be read. */
export async function payloadOf(argument: string): Promise<unknown> {
  return parsed((await sourceOf(argument)).toString('utf8'))
}

/** The same for a message that is kept; `asBytes`: as it is, without being read. */
export async function givenPayload(argument: string, asBytes: boolean): Promise<GivenPayload> {
  const source = await sourceOf(argument)
  return asBytes ? { payloadBase64: source.toString('base64') } : { payload: parsed(source.toString('utf8')) }
}

/** Throws SIGNALBOX_USAGE. */
export function parsed(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_USAGE', `the payload is no JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
}

async function sourceOf(argument: string): Promise<Buffer> {
  if (argument === '-') return buffer(process.stdin)
  if (!argument.startsWith('@')) return Buffer.from(argument)
  try {
    return await readFile(argument.slice(1))
  } catch (cause) {
    const message = `the payload cannot be read: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_USAGE', message, { cause })
  }
}
