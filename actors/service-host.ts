/** The actor of a service: it runs the service for each message, several at once. */

import { Expiring } from '../core/actor/deadlines.ts'
import type { Envelope } from '../core/actor/envelope.ts'
import type { ActorSpec, ActorSystem } from '../core/actor/index.ts'
import { SignalboxError } from '../core/errors.ts'
import type { ServiceRunner } from '../core/service/runner.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { Placement } from '../core/worker/worker-context.ts'

const DEFAULT_CONCURRENCY = 256
const DEFAULT_CAPACITY = 4_096
const DEFAULT_TIMEOUT_MS = 30_000

/** Where the actor of a service lives, and what it does. */
export function servicePlacement(system: ActorSystem, runner: ServiceRunner): Placement {
  const spec = serviceActor(system, runner)
  switch (runner.type.placement ?? 'everyWorker') {
    case 'everyWorker':
      return { placement: 'everyWorker', balance: runner.type.balance ?? 'localFirst', spec }
    case 'singleton':
      return { placement: 'singleton', spec }
    case 'keyed':
      return { placement: 'keyed', spec: { ...spec, concurrency: runner.type.concurrency ?? 1 } }
  }
}

/** The spec of the actor that runs a service. */
export function serviceActor(system: ActorSystem, runner: ServiceRunner): ActorSpec {
  const { type } = runner
  const timeoutMs = type.timeoutMs ?? DEFAULT_TIMEOUT_MS
  return {
    concurrency: type.concurrency ?? DEFAULT_CONCURRENCY,
    mailboxCapacity: type.mailboxCapacity ?? DEFAULT_CAPACITY,
    shutdownMs: timeoutMs,
    behaviour: () => ({
      inspect: () => runner.meter.inspect(),
      receive(_payload, envelope) {
        if (envelope.deadline !== 0) return runner.run(envelope)
        const limit = new TimeLimit(envelope, system.clock.monotonic() + timeoutMs, runner.name, system.log)
        system.deadlines.add(limit)
        const running = runner.run(envelope)
        if (running instanceof Promise) return running.finally(() => system.deadlines.remove(limit))
        system.deadlines.remove(limit)
        return undefined
      },
    }),
  }
}

/** The time limit of a message whose sender set none. */
class TimeLimit extends Expiring {
  readonly #envelope: Envelope
  readonly #name: string
  readonly #log: Logger

  constructor(envelope: Envelope, deadline: number, name: string, log: Logger) {
    super()
    this.#envelope = envelope
    this.#name = name
    this.#log = log
    this.deadline = deadline
  }

  expire(): void {
    const message = `service ${this.#name} took longer than its time limit`
    const error = new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', message)
    // Nobody else will be told.
    if (this.#envelope.kind === 'tell') {
      const { cid } = this.#envelope.context
      this.#log.warn({ service: this.#name, ...(cid !== undefined && { cid }), code: error.code }, message)
    }
    this.#envelope.reject(error)
    this.#envelope.cancel(error)
  }
}
