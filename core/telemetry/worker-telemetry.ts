/** Telemetry of a worker thread: what is switched on when it starts, and what its node may ask of it. */
import type { ActorSystem } from '../actor/system.ts'
import type { Logger } from './log.ts'
import { setLogLevel } from './log.ts'
import { measureServices } from './meters.ts'
import { setTracer, tailHub } from './observe.ts'
import type { TelemetrySettings } from './options.ts'
import { takeSnapshot } from './snapshot.ts'

export interface WorkerTelemetry {
  requests: Record<string, (payload: never) => unknown>
  /** Sends the traces that are left. */
  stop(): Promise<void>
}

/** Switches on what the settings say. */
export async function startWorkerTelemetry(
  settings: TelemetrySettings | undefined,
  at: { node: string; slot: number; system: ActorSystem; log: Logger },
): Promise<WorkerTelemetry> {
  const worker = String(at.slot)
  measureServices(settings?.measure ?? false)
  let stopTraces: (() => Promise<void>) | undefined
  if (settings?.traces) {
    const { startTraces } = await import('./open-telemetry.ts')
    const traces = await startTraces(settings, { node: at.node, worker, log: at.log })
    setTracer(traces.tracer)
    stopTraces = traces.stop
  }
  return {
    requests: {
      metrics: () => takeSnapshot(at.node, worker, at.system),
      logLevel: (level: string) => setLogLevel(level),
      tailOpen: (filter: unknown) => tailHub.open(filter),
      tailRead: (id: number) => tailHub.read(id),
      tailClose: (id: number) => tailHub.close(id),
    },
    stop: async () => {
      setTracer(undefined)
      await stopTraces?.()
    },
  }
}
