/**
 * What the author of a route writes: a YAML file below `routes/`, or the builder in TypeScript, which makes the same
 * data with functions where YAML has JSONata.
 *
 * ```yaml
 * # routes/invoices/intake.yaml, which is route/invoices.intake
 * deadLetter: invoices.failed
 * steps:
 *   - idempotent: id
 *   - filter: total > 0
 *   - choose:
 *       - when: total > 10000
 *         steps: [{ call: invoices.approve }]
 *       - steps: [{ set: { vars: { approved: true } } }]
 *   - publish: invoices
 * ```
 *
 * ```ts
 * import { route } from 'signalbox'
 *
 * export default route<Invoice>('invoices.intake')
 *   .deadLetterTo('invoices.failed')
 *   .idempotent(invoice => invoice.id)
 *   .filter(invoice => invoice.total > 0)
 *   .choose(c => c
 *     .when(invoice => invoice.total > 10_000, r => r.call('invoices.approve'))
 *     .otherwise(r => r.set({ vars: { approved: true } })))
 *   .publish('invoices')
 * ```
 */
import type { TSchema } from '../schema.ts'
import type { Expression, OptionsOf, RouteDefinition, StepDefinition, StepKind, StepList } from './options.ts'

type Settings = Omit<RouteDefinition, 'steps' | 'name' | 'input' | 'output' | 'deadLetter'> & {
  input?: TSchema
  output?: TSchema
}

/** Options with functions over the payload that a step gets. */
type Typed<P, T> = {
  [K in keyof T]: T[K] extends Expression | undefined ? Expression<P> | Extract<T[K], undefined> : T[K]
}
type Opts<P, K extends StepKind> = Typed<P, OptionsOf<K>>
type Part<P, K extends StepKind, Without extends string> = Omit<Opts<P, K>, Without> & { id?: string }
type Body<P> = (steps: StepBuilder<P>) => StepBuilder<never> | StepBuilder<unknown> | StepBuilder<P>

/** Branches of {@link StepBuilder.choose}. */
export class BranchBuilder<P> {
  readonly branches: { when?: Expression; steps: StepList }[] = []

  when(condition: Expression<P>, steps: Body<P>): this {
    this.branches.push({ when: condition as Expression, steps: stepsOf(steps) })
    return this
  }

  /** What happens when no condition holds. */
  otherwise(steps: Body<P>): this {
    this.branches.push({ steps: stepsOf(steps) })
    return this
  }
}

/** Steps of {@link StepBuilder.saga}. */
export class SagaBuilder<P> {
  readonly steps: { name?: string; do: StepList; undo?: StepList }[] = []

  step(name: string, does: Body<P>, undoes?: Body<P>): this {
    this.steps.push({ name, do: stepsOf(does), ...(undoes && { undo: stepsOf(undoes) }) })
    return this
  }
}

function stepsOf<P>(body: Body<P>): StepList {
  return (body(new StepBuilder<P>()) as StepBuilder<P>).steps
}

/** A list of steps in the making. `P` is the payload at this place. */
export class StepBuilder<P> {
  readonly steps: StepList = []

  /** Only messages for which it is true go on. */
  filter(when: Expression<P, boolean>, options: { id?: string } = {}): this {
    return this.#add('filter', { when }, options)
  }

  /** Content-based router: the first branch whose condition holds. */
  choose(branches: (b: BranchBuilder<P>) => BranchBuilder<P>, options: { id?: string } = {}): this {
    return this.#add('choose', { branches: branches(new BranchBuilder<P>()).branches }, options)
  }

  /** Recipient list: sends a copy to each of the addresses, and combines the answers. */
  recipients(to: Expression<P>, options: Part<P, 'recipients', 'to'> = {}): StepBuilder<unknown> {
    return this.#next('recipients', { to }, options)
  }

  /** Scatter-gather over lists of steps. */
  multicast(branches: Body<P>[], options: Part<P, 'multicast', 'branches'> = {}): StepBuilder<unknown> {
    return this.#next('multicast', { branches: branches.map(stepsOf) }, options)
  }

  /** Dynamic router: asks for the next address after each hop. */
  dynamic(next: Expression<P>, options: Part<P, 'dynamic', 'next'> = {}): StepBuilder<unknown> {
    return this.#next('dynamic', { next }, options)
  }

  /** Wire tap: a copy that nobody waits for. */
  tap(steps: Body<P>, options: Part<P, 'tap', 'steps'> = {}): this {
    return this.#add('tap', { steps: stepsOf(steps) }, options)
  }

  /** Handles each part on its own; parts of arrays are typed by what `each` gives. */
  split<T = P extends readonly (infer I)[] ? I : unknown>(
    steps: Body<T>,
    options: Omit<Part<P, 'split', 'steps' | 'each'>, never> & {
      each?: Expression<P, Iterable<T> | AsyncIterable<T>>
    } = {},
  ): StepBuilder<unknown> {
    return this.#next('split', { steps: stepsOf(steps) }, options)
  }

  /** Collects messages until their group is complete; what follows gets them as one. */
  aggregate<R = P[]>(
    options: Omit<Part<P, 'aggregate', 'combine'>, never> & { combine?: Expression<P[], R> },
  ): StepBuilder<R> {
    return this.#next('aggregate', {}, options)
  }

  /** Puts messages into the order of their numbers. */
  resequence(options: Part<P, 'resequence', never> = {}): this {
    return this.#add('resequence', {}, options)
  }

  /** Adds what other steps find. */
  enrich<R = P>(
    steps: Body<P>,
    options: { id?: string; into?: string; combine?: Expression<{ original: P; addition: unknown }, R> } = {},
  ): StepBuilder<R> {
    return this.#next('enrich', { steps: stepsOf(steps) }, options)
  }

  set(options: Part<P, 'set', never>): this {
    return this.#add('set', {}, options)
  }

  /** The new payload: JSONata, or what a function returns. */
  transform<R = unknown>(to: Expression<P, R>, options: { id?: string } = {}): StepBuilder<R> {
    return this.#next('transform', { to }, options)
  }

  /** The new payload by a file in `mappings/`. */
  map<R = unknown>(mapping: string, options: Part<P, 'map', 'mapping'> = {}): StepBuilder<R> {
    return this.#next('map', { mapping }, options)
  }

  parse<R = unknown>(format: string, options: Part<P, 'parse', 'format'> = {}): StepBuilder<R> {
    return this.#next('parse', { format }, options)
  }

  build(format: string, options: Part<P, 'build', 'format'> = {}): StepBuilder<string | Buffer> {
    return this.#next('build', { format }, options)
  }

  validate(options: { schema?: TSchema; with?: string; id?: string }): this {
    return this.#add('validate', {}, options)
  }

  /** Claim check: keeps the payload in the store; a ticket goes on in its place. */
  claim(options: Part<P, 'claim', never> = {}): StepBuilder<string> {
    return this.#next('claim', {}, options)
  }

  /** Brings a payload back that {@link claim} has kept. */
  restore<R = unknown>(options: Part<P, 'restore', never> = {}): StepBuilder<R> {
    return this.#next('restore', {}, options)
  }

  log(message: Expression<P>, options: Part<P, 'log', 'message'> = {}): this {
    return this.#add('log', { message }, options)
  }

  /** Calls a service; its answer is the new payload. */
  call<R = unknown>(service: string, options: Part<P, 'call', 'service' | 'route'> = {}): StepBuilder<R> {
    return this.#next('call', { service }, options)
  }

  /** Calls a route; its answer is the new payload. */
  callRoute<R = unknown>(route: string, options: Part<P, 'call', 'service' | 'route'> = {}): StepBuilder<R> {
    return this.#next('call', { route }, options)
  }

  tell(service: string, options: Part<P, 'tell', 'service' | 'route'> = {}): this {
    return this.#add('tell', { service }, options)
  }

  /** Sends by a connection; the answer is the new payload. */
  send<R = unknown>(connection: string, options: Part<P, 'send', 'connection'> = {}): StepBuilder<R> {
    return this.#next('send', { connection }, options)
  }

  publish(topic: string, options: Part<P, 'publish', 'topic'> = {}): this {
    return this.#add('publish', { topic }, options)
  }

  enqueue(queue: string, options: Part<P, 'enqueue', 'queue'> = {}): this {
    return this.#add('enqueue', { queue }, options)
  }

  /** Idempotent receiver: what follows happens once for each key. */
  idempotent(key: Expression<P>, options: Part<P, 'idempotent', 'key'> = {}): this {
    return this.#add('idempotent', { key }, options)
  }

  throttle(options: Part<P, 'throttle', never>): this {
    return this.#add('throttle', {}, options)
  }

  delay(ms: number | Expression<P, number>, options: { id?: string } = {}): this {
    return this.#add('delay', { ms }, options)
  }

  retry(steps: Body<P>, options: Part<P, 'retry', 'steps'> = {}): StepBuilder<unknown> {
    return this.#next('retry', { steps: stepsOf(steps) }, options)
  }

  /** Circuit breaker: calls that fail again and again are not made for a while. */
  circuit(
    steps: Body<P>,
    options: Part<P, 'circuit', 'steps' | 'fallback'> & { fallback?: Body<P> } = {},
  ): StepBuilder<unknown> {
    const { fallback, ...others } = options
    const steps_ = { steps: stepsOf(steps), ...(fallback && { fallback: stepsOf(fallback) }) }
    return this.#next('circuit', steps_, others)
  }

  deadLetter(queue: string, steps: Body<P>, options: Part<P, 'deadLetter', 'steps' | 'queue'> = {}) {
    return this.#next<unknown>('deadLetter', { queue, steps: stepsOf(steps) }, options)
  }

  saga(steps: (saga: SagaBuilder<P>) => SagaBuilder<P>, options: { id?: string } = {}): StepBuilder<unknown> {
    return this.#next('saga', { steps: steps(new SagaBuilder<P>()).steps }, options)
  }

  fail(message: Expression<P, string>, options: Part<P, 'fail', 'message'> = {}): this {
    return this.#add('fail', { message }, options)
  }

  /** The message is handled; nothing that follows happens. */
  stop(options: Part<P, 'stop', never> = {}): this {
    return this.#add('stop', {}, options)
  }

  #add(
    kind: StepKind,
    required: object,
    { id, ...options }: { id?: string; [option: string]: unknown },
  ): this {
    this.steps.push({
      ...(id !== undefined && { id }),
      [kind]: { ...required, ...options },
    } as StepDefinition)
    return this
  }

  #next<R>(kind: StepKind, required: object, options: object): StepBuilder<R> {
    return this.#add(kind, required, options as { id?: string }) as unknown as StepBuilder<R>
  }
}

/** A route in the making; what a file below `routes/` exports as default. */
export class RouteBuilder<P = unknown> extends StepBuilder<P> {
  readonly #settings: Omit<RouteDefinition, 'steps'>

  constructor(name: string | undefined) {
    super()
    this.#settings = name === undefined ? {} : { name }
  }

  /** Description, schemas and limits. */
  settings(settings: Settings): this {
    Object.assign(this.#settings, settings)
    return this
  }

  /** Messages that fail go to this queue. */
  deadLetterTo(queue: string): this {
    this.#settings.deadLetter = queue
    return this
  }

  /** The route as data. */
  definition(): RouteDefinition {
    return { ...this.#settings, steps: this.steps }
  }
}

/**
 * Begins a route. `P` is the type of the messages it gets; give a schema in `settings` to be sure of it. Without a name
 * the path of the file below `routes/` gives it.
 */
export function route<P = unknown>(name?: string): RouteBuilder<P> {
  return new RouteBuilder<P>(name)
}
