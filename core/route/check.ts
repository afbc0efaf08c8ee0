/** Checks a route as data and brings it into its full form: no shorthands, every default filled in. */
import { SignalboxError } from '../errors.ts'
import { compileSchema, nearest, type SchemaViolation, type TSchema, type Validator } from '../schema.ts'
import {
  type OptionsOf,
  type RouteDefinition,
  RouteSchema,
  SHORTHANDS,
  STEP_ID,
  STEP_OPTIONS,
  type StepKind,
  WITHOUT_OPTIONS,
} from './options.ts'

/** A step in its full form. */
export interface Step<K extends StepKind = StepKind> {
  kind: K
  /** Unique in its route; made from the kind where the author gives none. */
  id: string
  options: OptionsOf<K>
  /** JSON pointer of the step in the route. */
  pointer: string
}

/** A route in its full form. Lists of steps inside the options are lists of {@link Step}. */
export interface CheckedRoute {
  settings: Omit<RouteDefinition, 'steps'>
  steps: Step[]
}

const MAX_DEPTH = 16
const MAX_STEPS = 2_000
const KINDS = Object.keys(STEP_OPTIONS) as StepKind[]
const validators = new Map<TSchema, Validator>()

/** Collects what is wrong; `pointer` is the JSON pointer of the value in the definition. */
export class RouteChecker {
  readonly problems: SchemaViolation[] = []
  readonly #ids = new Set<string>()
  readonly #counts = new Map<string, number>()
  #steps = 0

  /** The route in its full form; worth nothing when there are problems. */
  check(definition: unknown): CheckedRoute {
    const none: CheckedRoute = { settings: {}, steps: [] }
    if (!isRecord(definition)) {
      this.#add('', 'must be an object with steps')
      return none
    }
    if (!this.#conforms(RouteSchema, withoutSteps(definition), '')) return none
    const { steps: _, ...settings } = definition as RouteDefinition
    for (const key of ['input', 'output'] as const) this.#schema(settings[key], `/${key}`)
    this.#collectIds(definition.steps, 0)
    return { settings, steps: this.#list(definition.steps, '/steps', 0) }
  }

  #list(list: unknown, pointer: string, depth: number): Step[] {
    if (!Array.isArray(list) || list.length === 0) {
      this.#add(pointer, 'must be a list of at least one step')
      return []
    }
    if (depth > MAX_DEPTH) {
      this.#add(pointer, `is nested deeper than ${MAX_DEPTH} steps`)
      return []
    }
    return list.flatMap((step, i) => this.#step(step, `${pointer}/${i}`, depth) ?? [])
  }

  #step(step: unknown, pointer: string, depth: number): Step | undefined {
    if (++this.#steps > MAX_STEPS) {
      if (this.#steps === MAX_STEPS + 1) this.#add(pointer, `is one of more than ${MAX_STEPS} steps`)
      return undefined
    }
    const kind = this.#kindOf(step, pointer)
    if (kind === undefined) return undefined
    const record = step as Record<string, unknown>
    const place = `${pointer}/${kind}`
    const given = expanded(kind, record[kind])
    if (!isRecord(given)) {
      this.#add(place, 'must be an object with the options of the step')
      return undefined
    }
    if (!this.#conforms(STEP_OPTIONS[kind], given, place)) return undefined
    const options = withDefaults(STEP_OPTIONS[kind], given)
    this.#contradictions(kind, options, place)
    this.#nested(options, STEP_OPTIONS[kind], place, depth)
    return { kind, id: this.#idOf(kind, record.id), options: options as never, pointer }
  }

  #kindOf(step: unknown, pointer: string): StepKind | undefined {
    if (!isRecord(step)) {
      this.#add(pointer, `must be a step, such as { call: orders.create }`)
      return undefined
    }
    const kinds = Object.keys(step).filter(key => key !== 'id')
    if (step.id !== undefined && !this.#conforms(STEP_ID, step.id, `${pointer}/id`)) return undefined
    for (const key of kinds) {
      if (Object.hasOwn(STEP_OPTIONS, key)) continue
      const near = nearest(key, KINDS)
      this.#add(pointer, `must not have the property '${key}'${near ? `; did you mean '${near}'?` : ''}`)
      return undefined
    }
    if (kinds.length === 1) return kinds[0] as StepKind
    this.#add(
      pointer,
      kinds.length === 0 ? 'says not what to do' : `must be one step, not ${kinds.join(' and ')}`,
    )
    return undefined
  }

  /** What a schema cannot say. */
  #contradictions(kind: StepKind, options: Record<string, unknown>, place: string): void {
    const some = (...names: string[]) =>
      names.filter(name => options[name] !== undefined && options[name] !== false)
    const exactlyOne = (...names: string[]) => {
      if (some(...names).length !== 1) this.#add(place, `must have one of ${names.join(' and ')}`)
    }
    if (kind === 'call' || kind === 'tell') exactlyOne('service', 'route')
    if (kind === 'validate') {
      exactlyOne('schema', 'with')
      this.#schema(options.schema, `${place}/schema`)
    }
    if (kind === 'set' && some('payload', 'headers', 'vars').length === 0 && options.payload !== false) {
      this.#add(place, 'must have payload, headers or vars')
    }
    if (kind === 'enrich' && some('into', 'combine').length !== 1) exactlyOne('into', 'combine')
    if (kind === 'aggregate' && some('size', 'sequence', 'when', 'timeoutMs', 'idleMs').length === 0) {
      this.#add(place, 'must say when a group is complete: size, sequence, when, timeoutMs or idleMs')
    }
    if (kind === 'resequence') this.#resequence(options, place, some)
    for (const name of ['into', 'headers', 'vars']) this.#names(options[name], `${place}/${name}`)
  }

  #resequence(options: Record<string, unknown>, place: string, some: (...names: string[]) => string[]): void {
    const isBatch = options.mode === 'batch'
    const foreign = isBatch
      ? some('forgetMs').filter(() => options.forgetMs !== 3_600_000)
      : some('size', 'sequence', 'idleMs')
    for (const name of foreign)
      this.#add(`${place}/${name}`, `has no meaning in mode ${String(options.mode)}`)
    if (isBatch && some('size', 'sequence', 'timeoutMs', 'idleMs').length === 0) {
      this.#add(place, 'must say when a group is complete: size, sequence, timeoutMs or idleMs')
    }
  }

  /** Names that lead to prototypes are none. */
  #names(value: unknown, place: string): void {
    const names = typeof value === 'string' ? [value] : isRecord(value) ? Object.keys(value) : []
    for (const name of names) if (isUnsafeName(name)) this.#add(place, `must not use the name '${name}'`)
  }

  #schema(schema: unknown, place: string): void {
    if (schema === undefined) return
    try {
      compileSchema(schema as TSchema)
    } catch (error) {
      this.#add(place, `is no JSON Schema: ${(error as Error).message}`)
    }
  }

  /** Replaces lists of steps by their full form. */
  #nested(value: Record<string, unknown>, schema: TSchema, place: string, depth: number): void {
    const { properties = {} } = schema as { properties?: Record<string, SchemaNode> }
    for (const [name, node] of Object.entries(properties)) {
      const inner = value[name]
      if (inner === undefined) continue
      const at = `${place}/${name}`
      if (node.signalboxSteps) value[name] = this.#list(inner, at, depth + 1)
      else if (node.items?.signalboxSteps && Array.isArray(inner)) {
        value[name] = inner.map((list, i) => this.#list(list, `${at}/${i}`, depth + 1))
      } else if (node.items?.properties && Array.isArray(inner)) {
        value[name] = inner.map((item, i) => {
          const copy = { ...(item as Record<string, unknown>) }
          this.#nested(copy, node.items as TSchema, `${at}/${i}`, depth)
          return copy
        })
      }
    }
  }

  #idOf(kind: StepKind, given: unknown): string {
    if (typeof given === 'string') return given
    for (;;) {
      const count = (this.#counts.get(kind) ?? 0) + 1
      this.#counts.set(kind, count)
      const id = `${kind}-${count}`
      if (!this.#ids.has(id)) return id
    }
  }

  /** Names that authors give; they come before those that are made. */
  #collectIds(value: unknown, depth: number): void {
    if (depth > 8 * MAX_DEPTH || typeof value !== 'object' || value === null) return
    const isStep = isRecord(value) && Object.keys(value).some(key => Object.hasOwn(STEP_OPTIONS, key))
    if (isStep && typeof value.id === 'string') {
      if (this.#ids.has(value.id)) this.#add('/steps', `has two steps named ${value.id}`)
      this.#ids.add(value.id)
    }
    for (const inner of Object.values(value)) this.#collectIds(inner, depth + 1)
  }

  #conforms(schema: TSchema, value: unknown, pointer: string): boolean {
    let validate = validators.get(schema)
    if (!validate) {
      validate = compileSchema(schema)
      validators.set(schema, validate)
    }
    const violations = validate(standIn(value, 0)) ?? []
    for (const violation of violations) this.#add(pointer + violation.pointer, violation.rule)
    return violations.length === 0
  }

  #add(pointer: string, rule: string): void {
    if (this.problems.length < 1_000) this.problems.push({ pointer, rule })
  }
}

interface SchemaNode {
  signalboxSteps?: boolean
  items?: SchemaNode & TSchema
  properties?: object
}

/** Brings a route into its full form. Throws SIGNALBOX_ROUTE_INVALID with everything that is wrong. */
export function checkRoute(definition: unknown, what: string): CheckedRoute {
  const checker = new RouteChecker()
  const checked = checker.check(definition)
  if (checker.problems.length === 0) return checked
  const list = checker.problems.map(({ pointer, rule }) => `${what}: ${pointer || '(all)'} ${rule}`)
  throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', list.join('\n'), {
    details: { errors: checker.problems },
  })
}

/** Whether a name would reach a prototype. */
export function isUnsafeName(name: string): boolean {
  return name === '__proto__' || name === 'constructor' || name === 'prototype'
}

function expanded(kind: StepKind, value: unknown): unknown {
  if (value === null || value === undefined || value === true) return WITHOUT_OPTIONS.has(kind) ? {} : value
  const short = (SHORTHANDS as Partial<Record<StepKind, string>>)[kind]
  if (short === undefined || isRecord(value)) return value
  return { [short]: value }
}

function withDefaults(schema: TSchema, given: Record<string, unknown>): Record<string, unknown> {
  const { properties = {} } = schema as { properties?: Record<string, { default?: unknown }> }
  const options = { ...given }
  for (const [name, { default: fallback }] of Object.entries(properties)) {
    if (fallback !== undefined && options[name] === undefined) options[name] = fallback
  }
  return options
}

function withoutSteps(definition: Record<string, unknown>): Record<string, unknown> {
  const { steps } = definition
  return { ...definition, ...(Array.isArray(steps) && { steps: steps.map(() => 0) }) }
}

/** The same with texts in the place of functions: to a schema both are expressions. */
function standIn(value: unknown, depth: number): unknown {
  if (typeof value === 'function') return 'function'
  if (typeof value !== 'object' || value === null || depth > 8) return value
  if (Array.isArray(value)) return value.map(item => standIn(item, depth + 1))
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, standIn(inner, depth + 1)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
