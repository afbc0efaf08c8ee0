/**
 * The thread that exports the spans of all workers of a node: it makes OpenTelemetry's out of records and gives them to
 * the SDK's batch processor and OTLP exporter. It yields to the workers: where processor time is short, spans wait
 * and are dropped in the end, and the messages go on.
 */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import {
  detectResources,
  envDetector,
  hostDetector,
  osDetector,
  processDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources'
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace'
import { createLogger } from './log.ts'
import { speakTo, traceExporter } from './open-telemetry.ts'
import type { TelemetrySettings } from './options.ts'
import { positive } from './options.ts'
import { RecordedReadableSpan, SettlingExporter, type Source } from './readable-spans.ts'
import { MAX_BATCH, type PackedSpans, type SpanTemplate, unpackSpans } from './span-batch.ts'
import { maxQueuedSpans } from './span-outbox.ts'

/** What the thread is started with. */
export interface SpanThreadInit {
  node: string
  settings: TelemetrySettings
}

/** What the node says to the thread. `stop`: send what is left, then end. */
export type ToSpanThread = { type: 'source'; worker: string; port: MessagePort } | { type: 'stop' }

/** Nice value: about a tenth of what a worker gets where both want a core. */
const PRIORITY = 10
/** The workers hold back what is too much. */
const NO_LIMIT = 1 << 30

const { node, settings } = workerData as SpanThreadInit
const log = createLogger({ node, thread: 'spans' }, settings.logs)
speakTo(log)
yieldToOthers()

const detected = detectResources({
  detectors: [processDetector, hostDetector, osDetector, envDetector],
}).merge(resourceFromAttributes({ 'service.name': settings.serviceName }))
const { env } = process
const maxBatch = positive(env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE) ?? MAX_BATCH
const processor = new BatchSpanProcessor({
  exporter: new SettlingExporter(await traceExporter(settings.traces!.endpoint)),
  maxQueueSize: NO_LIMIT,
  // A worker that has so many on their way adds no more until some are gone.
  maxExportBatchSize: Math.min(maxBatch, maxQueuedSpans()),
  ...given('scheduledDelayMillis', positive(env.OTEL_BSP_SCHEDULE_DELAY)),
  ...given('exportTimeoutMillis', positive(env.OTEL_BSP_EXPORT_TIMEOUT)),
})
const receivers = new Map<MessagePort, (packed: PackedSpans) => void>()

parentPort!.on('message', (message: ToSpanThread) => {
  if (message.type === 'source') addSource(message.worker, message.port)
  else
    stop().catch(error => {
      throw error
    })
})

function addSource(worker: string, port: MessagePort): void {
  const resource = resourceFromAttributes({
    'service.instance.id': `${node}/${worker}/${process.pid}`,
    'signalbox.node': node,
    'signalbox.worker': worker,
  }).merge(detected)
  const source: Source = { resource, settled: counts => port.postMessage(counts) }
  const known = new Map<number, SpanTemplate>()
  const receive = (packed: PackedSpans) => {
    for (const record of unpackSpans(packed, known))
      processor.onEnd(new RecordedReadableSpan(record, packed.originMs, source))
  }
  receivers.set(port, receive)
  port.on('message', receive)
  port.on('close', () => receivers.delete(port))
}

async function stop(): Promise<void> {
  // The workers have gone; what they said last may not have been looked at yet.
  for (const [port, receive] of receivers) {
    for (let found = receiveMessageOnPort(port); found; found = receiveMessageOnPort(port))
      receive(found.message)
  }
  try {
    await processor.shutdown()
  } catch (error) {
    log.warn({ err: error }, 'the last traces could not be sent')
  }
  process.exit(0)
}

/** Linux has a priority for each thread; elsewhere there is none that a thread could set for itself alone. */
function yieldToOthers(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), PRIORITY)
  } catch (error) {
    log.debug({ err: error }, 'the thread that exports spans has no lower priority')
  }
}

function given<K extends string>(key: K, value: number | undefined): { [key in K]?: number } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: number })
}
