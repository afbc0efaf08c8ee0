/** Reads Server-Sent Events (WHATWG HTML, 9.2) from the body of a response. */
import { SignalboxError } from '../core/errors.ts'

/** An event that is longer than this ends the stream. */
const MAX_EVENT_CHARACTERS = 1024 * 1024

/** The data of each event. Comments and other fields are left out. Throws SIGNALBOX_FORMAT_LIMIT. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let data: string[] = []
  let size = 0
  for await (const line of linesOf(body)) {
    if (line === '') {
      if (data.length > 0) yield data.join('\n')
      data = []
      size = 0
    } else if (/^data(:|$)/.test(line)) {
      const value = line.slice(5).replace(/^ /, '')
      size += value.length
      if (size > MAX_EVENT_CHARACTERS) throw tooLong()
      data.push(value)
    }
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    // A CR at the end may be the first half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    yield* lines
    if (rest.length > MAX_EVENT_CHARACTERS) throw tooLong()
  }
}

function tooLong(): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_FORMAT_LIMIT',
    `an event of the stream is longer than ${MAX_EVENT_CHARACTERS} characters`,
  )
}
