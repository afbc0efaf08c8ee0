/** What runs in a worker thread: the actor system, its part of the router, and the boot module's actors. */
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import { ActorSystem } from '../actor/system.ts'
import { fromWire, SignalboxError, toSignalboxError } from '../errors.ts'
import { RouterPipes } from '../router/router-pipe.ts'
import { createLogger } from '../telemetry/log.ts'
import { exportSpansTo, startWorkerTelemetry } from '../telemetry/worker-telemetry.ts'
import { ControlPort } from './control-port.ts'
import type { ToWorker, WorkerInit } from './messages.ts'
import { type BootModule, WorkerContext, type WorkerHooks } from './worker-context.ts'
import { WorkerRouter } from './worker-router.ts'

type GcEntry = PerformanceEntry & { detail: { kind: number } }

const init = workerData as WorkerInit
const port = parentPort!
const log = createLogger({ node: init.node, worker: init.slot }, init.telemetry?.logs)
const beats = new Int32Array(init.heartbeat)
setInterval(() => Atomics.add(beats, 0, 1), init.heartbeatMs)
new PerformanceObserver(list => {
  const full = list
    .getEntries()
    .some(entry => (entry as GcEntry).detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR)
  if (full) Atomics.store(beats, 1, Math.round(getHeapStatistics().used_heap_size / 1_048_576))
}).observe({ entryTypes: ['gc'] })

const system = new ActorSystem({ log })
const router: WorkerRouter = new WorkerRouter(
  init.place,
  system,
  new RouterPipes(init.routerPort, (from, body, attachments) => router.receive(from, body, attachments)),
)
const control = new ControlPort(port)
router.onLost = (place, error) => hooks?.lost?.(place, error.message)
const context = new WorkerContext(init, system, control, log)

/** Undefined until the boot module has done its work. */
let hooks: WorkerHooks | undefined

// Before the boot module: other workers may be talking already.
port.on('message', (message: ToWorker) => {
  receive(message).catch(error => {
    throw error
  })
})

const telemetry = await startWorkerTelemetry(init.telemetry, {
  node: init.node,
  slot: init.slot,
  system,
  log,
})
const { default: boot } = (await import(init.boot)) as { default: BootModule }
hooks = await boot(context)
control.post({ type: 'ready' })

async function receive(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'peer':
      router.connect(message.place, message.port)
      return
    case 'spans':
      exportSpansTo(message.port)
      return
    case 'lost':
      router.lost(message.place, fromWire(message.error))
      return
    case 'directory':
      router.apply(message.change)
      return
    case 'finish':
      router.finish(message.place)
      return
    case 'activate':
      context.activate(message.address)
      return
    case 'deactivate':
      await context.deactivate(message.address)
      return
    case 'cpuResult':
      control.cpuResult(message)
      return
    case 'request':
      await answer(message)
      return
    case 'drain':
      await drain(message.handover)
      return
    case 'stop':
      await hooks?.stop?.()
      await system.shutdown()
      await telemetry.stop()
      process.exit(0)
  }
}

async function drain(handover: boolean): Promise<void> {
  await hooks?.drain?.(handover)
  // When the whole node goes, its workers go on for each other until all have drained.
  await router.finished(handover ? 'all' : 'otherNodes')
  await router.drained()
  control.post({ type: 'drained' })
}

async function answer({ id, verb, payload }: Extract<ToWorker, { type: 'request' }>): Promise<void> {
  try {
    const handler = hooks?.requests?.[verb] ?? context.requests[verb] ?? telemetry.requests[verb]
    if (!handler) throw new SignalboxError('SIGNALBOX_USAGE', `a worker knows no request '${verb}'`)
    control.post({ type: 'reply', id, value: await (handler as (payload: unknown) => unknown)(payload) })
  } catch (thrown) {
    control.post({ type: 'reply', id, error: toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED').toWire() })
  }
}
