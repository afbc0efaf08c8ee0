/** Runs a service for one message: checks what goes in and what comes out, and makes every failure a typed one. */
import type { Envelope } from '../actor/envelope.ts'
import { recorder } from '../audit/recorder.ts'
import { type IdSource, idSource } from '../clock.ts'
import { type ErrorCode, SignalboxError, toSignalboxError } from '../errors.ts'
import { compileSchema, type SchemaViolation, type TSchema, type Validator } from '../schema.ts'
import { type Meter, measuring, meterOf } from '../telemetry/meters.ts'
import { type Observation, observer } from '../telemetry/observe.ts'
import { readTexts } from '../text-values.ts'
import { Invocation, type Origin, type ServicePorts } from './invocation.ts'
import { createService, type ServiceClass } from './service.ts'

/** Makes correlation ids for messages that came with none. */
const makeCid: IdSource = idSource()

export { addressOf } from './invocation.ts'

export class ServiceRunner {
  readonly name: string
  readonly type: ServiceClass
  readonly meter: Meter
  readonly #ports: ServicePorts
  readonly #inputSchema: TSchema | undefined
  readonly #input: Validator | undefined
  readonly #output: Validator | undefined

  /** Compiles the schemas. Throws SIGNALBOX_SERVICE_INVALID when one is no JSON Schema, or a setting no number. */
  constructor(name: string, type: ServiceClass, ports: ServicePorts) {
    this.name = name
    this.type = type
    this.#ports = ports
    checkSettings(name, type)
    this.meter = meterOf('service', name)
    try {
      this.#inputSchema = type.input
      this.#input = this.#inputSchema && compileSchema(this.#inputSchema)
      this.#output = type.output && compileSchema(type.output)
    } catch (cause) {
      const message = `service ${name} has a schema that is none: ${(cause as Error).message}`
      throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', message, { cause })
    }
  }

  /** Handles a message and settles it. Never throws, so a service that fails never restarts its actor. */
  run(envelope: Envelope): void | Promise<void> {
    const invocation = new Invocation(this.#ports, this.name, envelope, makeCid)
    const startedAt = measuring ? this.meter.begin() : 0
    const observation = observer?.service(this.meter, envelope.context, invocation, startedAt)
    if (observation !== undefined) invocation.observation = observation
    if (recorder?.services) invocation.auditedAt = startedAt || performance.now()
    let result: unknown
    try {
      const violations = this.#input?.(envelope.payload)
      if (violations) invocation.payload = this.#readTexts(envelope, violations)
      const { payload } = invocation
      const service = createService(this.type, invocation)
      if (observation?.active) result = observation.within(() => service.handle(payload))
      else result = service.handle(payload)
      if (!isThenable(result)) {
        this.#answer(envelope, invocation, startedAt, observation, result)
        return
      }
    } catch (error) {
      this.#fail(envelope, invocation, startedAt, observation, error)
      return
    }
    return this.#settle(envelope, invocation, startedAt, observation, result)
  }

  /** An input that does not match as it stands may do so when its texts are read. Throws SIGNALBOX_INPUT_INVALID. */
  #readTexts({ payload, context }: Envelope, found: SchemaViolation[]): unknown {
    const textAt = (context.origin as Origin | undefined)?.textAt
    const { value, violations } =
      textAt === undefined
        ? { value: payload, violations: found }
        : readTexts(this.#inputSchema!, payload, textAt)
    if (violations) throw invalid('SIGNALBOX_INPUT_INVALID', `input of ${this.name}`, violations)
    return value
  }

  async #settle(
    envelope: Envelope,
    invocation: Invocation,
    startedAt: number,
    observation: Observation | undefined,
    result: PromiseLike<unknown>,
  ): Promise<void> {
    try {
      this.#answer(envelope, invocation, startedAt, observation, await result)
    } catch (error) {
      this.#fail(envelope, invocation, startedAt, observation, error)
    }
  }

  #answer(
    envelope: Envelope,
    invocation: Invocation,
    startedAt: number,
    observation: Observation | undefined,
    value: unknown,
  ): void {
    const violations = this.#output?.(value)
    if (violations) throw invalid('SIGNALBOX_OUTPUT_INVALID', `output of ${this.name}`, violations)
    envelope.resolve(value, invocation.head)
    const endMs = startedAt === 0 ? undefined : this.meter.end(startedAt)
    observation?.end({ endMs, bytes: envelope.bytes || undefined, body: envelope.payload })
    if (invocation.auditedAt !== 0) this.#audit(envelope, invocation, undefined)
  }

  #audit(
    { context, bytes, payload }: Envelope,
    invocation: Invocation,
    error: SignalboxError | undefined,
  ): void {
    const { cid, from: address, auditedAt: startedAt } = invocation
    const step = { kind: 'service', cid, address, startedAt, headers: context.headers, payload } as const
    const { code, status } = error ?? {}
    recorder?.record({ ...step, bytesIn: bytes || undefined, error: code, status })
  }

  #fail(
    envelope: Envelope,
    invocation: Invocation,
    startedAt: number,
    observation: Observation | undefined,
    thrown: unknown,
  ): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    let endMs: number | undefined
    if (startedAt === 0) this.meter.fail(error.code)
    else endMs = this.meter.end(startedAt, error.code)
    observation?.end({ error, endMs, bytes: envelope.bytes || undefined, body: envelope.payload })
    if (invocation.auditedAt !== 0) this.#audit(envelope, invocation, error)
    // What the service did not mean to throw is the author's to see; so is what nobody else will be told.
    if (error.status >= 500 && envelope.cancelled === undefined) {
      invocation.log.error({ code: error.code, err: error }, 'service failed')
    } else if (envelope.kind === 'tell' && envelope.cancelled === undefined) {
      invocation.log.warn({ code: error.code, err: error }, 'message refused')
    }
    envelope.reject(error)
  }
}

/** Violations that the message names; the details have more. */
const MAX_SHOWN = 10
/** Violations in the details: a hostile input could have millions. */
const MAX_REPORTED = 1_000

function invalid(code: ErrorCode, what: string, all: SchemaViolation[]): SignalboxError {
  const shown = all.slice(0, MAX_SHOWN).map(({ pointer, rule }) => `${pointer || '(all)'} ${rule}`)
  if (all.length > MAX_SHOWN) shown.push(`and ${all.length - MAX_SHOWN} more`)
  const more = all.length > MAX_REPORTED ? { total: all.length } : undefined
  const details = { errors: all.slice(0, MAX_REPORTED), ...more }
  return new SignalboxError(code, `${what}: ${shown.join('; ')}`, { details })
}

/** Query builders and the like are no promises, and are meant to be awaited as well. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value instanceof Promise) return true
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function checkSettings(name: string, type: ServiceClass): void {
  for (const setting of ['concurrency', 'timeoutMs', 'mailboxCapacity'] as const) {
    const value: unknown = type[setting]
    if (value === undefined || (typeof value === 'number' && value >= 1)) continue
    const message = `${setting} of service ${name} must be a number of at least 1, got ${String(value)}`
    throw new SignalboxError('SIGNALBOX_SERVICE_INVALID', message)
  }
}
