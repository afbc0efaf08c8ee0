/** Request bodies of the admin API: collected within limits and read as what the route takes. */
import type { IncomingMessage } from 'node:http'
import { SignalboxError } from '../../core/errors.ts'
import { parseBody } from '../../core/message/formats.ts'
import { decodeUtf8 } from '../../core/message/text.ts'

const MAX_JSON_DEPTH = 64
const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json$/
/** Sources, configuration and secrets: whatever a client calls them, except what an HTML form can send. */
const TEXT_TYPE =
  /^(?:text\/[a-z0-9.+-]+|application\/(?:octet-stream|[a-z0-9.+-]*(?:yaml|typescript|javascript)))$/

/** Reads the body; undefined when there is none. Throws SIGNALBOX_FORMAT_* errors. */
export async function readBody(
  request: IncomingMessage,
  kind: 'json' | 'text' | 'none',
  maxBytes: number,
): Promise<unknown> {
  const { headers } = request
  const announced = headers['content-length']
  if (kind === 'none' && (headers['transfer-encoding'] !== undefined || Number(announced ?? 0) > 0)) {
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', 'this route takes no body', {
      details: { fix: 'Send the request without a body.' },
    })
  }
  if (kind === 'none') return undefined
  if (announced !== undefined && Number(announced) > maxBytes) throw tooLarge(maxBytes)
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    throw unsupported(`content encoding '${encoding}'`, ['identity'])
  const isEmpty = headers['transfer-encoding'] === undefined && (announced ?? '0') === '0'
  if (!isEmpty) checkType(headers['content-type'], kind)
  const bytes = await collect(request, maxBytes)
  if (kind === 'text') return decodeUtf8(bytes, 'the body')
  return bytes.length === 0 ? undefined : parseBody('json', bytes, { maxDepth: MAX_JSON_DEPTH })
}

function checkType(given: string | undefined, kind: 'json' | 'text'): void {
  const type = given === undefined ? undefined : given.split(';', 1)[0]!.trim().toLowerCase()
  if (kind === 'json' && (type === undefined || !JSON_TYPE.test(type))) {
    throw unsupported(type === undefined ? 'a body without Content-Type' : `media type '${type}'`, [
      'application/json',
    ])
  }
  if (kind === 'text' && type !== undefined && !TEXT_TYPE.test(type)) {
    throw unsupported(`media type '${type}'`, ['text/plain', 'application/yaml', 'application/octet-stream'])
  }
}

async function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    // Left open on an early exit: the connection still has to carry the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof SignalboxError) throw error
    throw new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away while it sent its request', {
      cause: error,
    })
  }
  return Buffer.concat(chunks, bytes)
}

function tooLarge(maxBytes: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the body is larger than ${maxBytes} bytes`, {
    details: { limit: 'maxBodyBytes', maxBytes },
  })
}

function unsupported(what: string, accepted: string[]): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', `${what} is not accepted here`, {
    details: { accepted, fix: `Send one of: ${accepted.join(', ')}.` },
  })
}
