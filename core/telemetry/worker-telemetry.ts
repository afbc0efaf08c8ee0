/** Telemetry of a worker thread: what is switched on when it starts, and what its node may ask of it. */
import type { MessagePort } from 'node:worker_threads'
import type { ActorSystem } from '../actor/system.ts'
import type { Logger } from './log.ts'
import { setLogLevel } from './log.ts'
import { measureServices } from './meters.ts'
import { setTracer, tailHub } from './observe.ts'
import type { TelemetrySettings } from './options.ts'
import { RecordTracer } from './record-tracer.ts'
import { RootSampler } from './root-sampler.ts'
import { type TraceSnapshot, takeSnapshot } from './snapshot.ts'
import { maxQueuedSpans, SpanOutbox } from './span-outbox.ts'

export interface WorkerTelemetry {
  requests: Record<string, (payload: never) => unknown>
  /** Sends the traces that are left. */
  stop(): Promise<void>
}

/** The spans of this thread; undefined where none are made, or the SDK makes them. */
let outbox: SpanOutbox | undefined
let pendingPort: MessagePort | undefined

/** Where the spans of this thread go, from now on. May be called before telemetry has started. */
export function exportSpansTo(port: MessagePort): void {
  if (outbox === undefined) pendingPort = port
  else outbox.connect(port)
}

/** Switches on what the settings say. */
export async function startWorkerTelemetry(
  settings: TelemetrySettings | undefined,
  at: { node: string; slot: number; system: ActorSystem; log: Logger },
): Promise<WorkerTelemetry> {
  const worker = String(at.slot)
  measureServices(settings?.measure ?? false)
  const traces = await startTracing(settings, { node: at.node, worker, log: at.log })
  return {
    requests: {
      metrics: () => takeSnapshot(at.node, worker, at.system, traces?.snapshot()),
      logLevel: (level: string) => setLogLevel(level),
      tailOpen: (filter: unknown) => tailHub.open(filter),
      tailRead: (id: number) => tailHub.read(id),
      tailClose: (id: number) => tailHub.close(id),
    },
    stop: async () => {
      setTracer(undefined)
      await traces?.stop()
    },
  }
}

interface Tracing {
  snapshot(): TraceSnapshot
  stop(): Promise<void>
}

async function startTracing(
  settings: TelemetrySettings | undefined,
  speaker: { node: string; worker: string; log: Logger },
): Promise<Tracing | undefined> {
  if (!settings?.traces) return undefined
  const { ratio, maxPerSecond, sdkInWorker } = settings.traces
  if (sdkInWorker) {
    const { startTraces } = await import('./open-telemetry.ts')
    const { tracer, sampler, stop } = await startTraces(settings, speaker)
    setTracer(tracer)
    return { snapshot: () => ({ roots: sampler.counts, spans: undefined }), stop }
  }
  const spans = new SpanOutbox(maxQueuedSpans())
  outbox = spans
  if (pendingPort) spans.connect(pendingPort)
  const sampler = new RootSampler(ratio!, maxPerSecond, () => spans.full)
  setTracer(new RecordTracer(spans, sampler))
  return {
    snapshot: () => ({ roots: sampler.counts, spans: spans.counts }),
    stop: async () => spans.flush(),
  }
}
