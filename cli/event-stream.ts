/** Reads Server-Sent Events (WHATWG HTML, 9.2) from the body of a response. */
import { SignalboxError } from '../core/errors.ts'

/** An event that is longer than this ends the stream. */
const MAX_EVENT_CHARACTERS = 1024 * 1024

/** One event: its type (`message` unless it says otherwise) and its data. */
export interface StreamEvent {
  type: string
  data: string
}

/** The events that have data. Throws SIGNALBOX_FORMAT_LIMIT. */
export async function* eventsOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  let type = ''
  let data: string[] = []
  let size = 0
  for await (const line of linesOf(body)) {
    if (line === '') {
      if (data.length > 0) yield { type: type || 'message', data: data.join('\n') }
      type = ''
      data = []
      size = 0
      continue
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!
    if (field === 'event') type = value!
    if (field !== 'data') continue
    size += value!.length
    if (size > MAX_EVENT_CHARACTERS) throw tooLong()
    data.push(value!)
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
