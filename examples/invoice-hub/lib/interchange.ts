/** Partners' EDIFACT: the one INVOIC message of an interchange, in its groups. */
import { codecOf, type EdiInterchange, SignalboxError } from 'signalbox'
import { type Place, refused } from './document.ts'

/** An interchange begins with UNA or UNB, perhaps behind line ends. */
export function isEdifact(bytes: Buffer): boolean {
  return /^\s*UN[AB]/.test(bytes.toString('latin1', 0, 64))
}

/**
 * The content of the message by groups. Counts and references of the trailers are not checked: partners send them
 * wrong, and the invoice is none the worse for it.
 */
export function parseInterchange(bytes: Buffer): unknown {
  const { messages = [] } = parse(bytes)
  const [message] = messages
  if (message?.type === 'INVOIC' && messages.length === 1) return message.content
  const found = messages.map(({ type }) => type).join(', ') || 'none'
  throw refused(`one INVOIC message is expected, found ${found}`, segmentAt('UNH'))
}

function parse(bytes: Buffer): EdiInterchange {
  try {
    const options = { group: true, strict: false }
    return codecOf('edifact').parse(bytes, { maxDepth: 64 }, options) as EdiInterchange
  } catch (error) {
    if (!(error instanceof SignalboxError) || error.code !== 'SIGNALBOX_FORMAT_INVALID') throw error
    throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', error.message, {
      status: 422,
      details: { element: 'UNB', ...error.details },
      cause: error,
    })
  }
}

/** The segment that a path of the mapping leads to, with its groups: `lines[3]/QTY`. Which line of the file it is, is not known. */
export function segmentAt(path: string): Place {
  return { element: stepsOf(path).join('/') || 'UNH', line: 0, column: 0 }
}

/** `totals[MOA[0][0] = '9'].MOA[0][1]` is `totals['9']` and `MOA`: of the brackets, numbers of groups and values count. */
function stepsOf(path: string): string[] {
  const steps: string[] = []
  let depth = 0
  let inside = ''
  let name = ''
  for (const char of `${path}.`) {
    if (char === ']' && --depth === 0) {
      const value = /'[^']*'/.exec(inside)?.[0]
      const isGroup = !/^[A-Z]{3}/.test(name)
      if (value !== undefined || isGroup) name += `[${value ?? inside}]`
    } else if (depth > 0) {
      inside += char
    } else if (char === '.') {
      if (name !== '') steps.push(name)
      name = ''
    } else if (char !== '[' && char !== ']') {
      name += char
    }
    if (char === '[' && depth++ === 0) inside = ''
  }
  return steps
}
