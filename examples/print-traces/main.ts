/**
 * Prints traces as they come: the smallest collector there is, to see a first trace with. It takes OTLP over HTTP as
 * JSON (https://opentelemetry.io/docs/specs/otlp/) on 127.0.0.1, on port 4318 or the one given.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** As OTLP has it; bytes are in hexadecimal, times in nanoseconds as text. */
interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: Record<string, unknown> }[]
}

interface Export {
  resourceSpans?: { scopeSpans: { spans: Span[] }[] }[]
}

/** What is printed of a span. */
interface Step {
  id: string
  parent: string | undefined
  startedAt: bigint
  text: (depth: number) => string
}

/** What is said beside the name of a span. */
const SHOWN = ['http.request.method', 'http.route', 'http.response.status_code', 'error.type']
/** Workers send their parts of a trace at different times. */
const QUIET_MS = 500
const MAX_TRACES = 100
const MAX_STEPS = 1_000
const MAX_BYTES = 16 * 1024 * 1024

const traces = new Map<string, { steps: Step[]; timer: NodeJS.Timeout }>()

function take(span: Span): void {
  const { traceId } = span
  const known = traces.get(traceId)
  const steps = [...(known?.steps ?? []), stepOf(span)].slice(-MAX_STEPS)
  clearTimeout(known?.timer)
  traces.set(traceId, { steps, timer: setTimeout(() => print(traceId, steps), QUIET_MS) })
  if (traces.size > MAX_TRACES) traces.delete(traces.keys().next().value!)
}

function stepOf({ spanId, parentSpanId, name, startTimeUnixNano, endTimeUnixNano, attributes }: Span): Step {
  const startedAt = BigInt(startTimeUnixNano)
  const took = `${(Number(BigInt(endTimeUnixNano) - startedAt) / 1e6).toFixed(1)} ms`
  const found = SHOWN.flatMap(shown => attributes.filter(({ key }) => key === shown))
  const values = found.flatMap(({ value }) => Object.values(value).map(plain))
  const text = (depth: number) =>
    [`${'  '.repeat(depth)}${plain(name)}`.padEnd(30), took.padStart(8), ...values].join('  ')
  return { id: spanId, parent: parentSpanId, startedAt, text }
}

function print(traceId: string, steps: readonly Step[]): void {
  const ids = new Set(steps.map(({ id }) => id))
  const lines = (some: readonly Step[], depth: number): string[] =>
    some
      .toSorted((a, b) => Number(a.startedAt - b.startedAt))
      .flatMap(({ id, text }) => [
        text(depth),
        ...lines(
          steps.filter(({ parent }) => parent === id),
          depth + 1,
        ),
      ])
  const roots = steps.filter(({ parent }) => parent === undefined || !ids.has(parent))
  console.log(`trace ${plain(traceId)}\n${lines(roots, 1).join('\n')}\n`)
}

/** What came from outside must not write on the terminal as it likes. */
function plain(text: unknown): string {
  return String(text).replace(/\p{C}/gu, '?').slice(0, 200)
}

async function exportOf(request: IncomingMessage): Promise<Export> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as Export
}

const server = createServer(async (request, response) => {
  try {
    const { resourceSpans = [] } = await exportOf(request)
    for (const { scopeSpans } of resourceSpans) for (const { spans } of scopeSpans) spans.forEach(take)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  } catch (error) {
    console.error(`this is not OTLP as JSON: ${(error as Error).message}`)
    response.writeHead(400).end()
  }
})
server.listen(Number(process.argv[2] ?? 4318), '127.0.0.1', () => {
  console.log(`waiting for traces on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
