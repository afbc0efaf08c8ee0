/**
 * The options of every kind of step, as JSON Schema: from here come the types of the builder, the check of route
 * files, and the defaults.
 */

import type { TProperties } from 'typebox'
import type { SignalboxError } from '../errors.ts'
import { type Static, Type } from '../schema.ts'
import type { Identity } from '../service/service.ts'

/** A message on its way through a route, as functions of a route see it. */
export interface RouteMessage<Payload = unknown> {
  readonly payload: Payload
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** What the route has noted on the way; other routes and services do not see it. */
  readonly vars: Readonly<Record<string, unknown>>
  /** Correlation id. */
  readonly cid: string
  readonly identity: Identity | undefined
  /** What went wrong, in the steps that deal with it. */
  readonly error: SignalboxError | undefined
}

/**
 * A question about a message: JSONata over the payload, with `$headers`, `$vars`, `$cid`, `$identity` and `$failure`, or
 * in TypeScript a function.
 */
export type Expression<Payload = never, Result = unknown> =
  | string
  | ((payload: Payload, message: RouteMessage<Payload>) => Result | Promise<Result>)

/** Text is an {@link Expression}, anything else stands for itself. */
export type Value<Payload = never> = Expression<Payload> | number | boolean | null | object

/** A list of steps. */
export interface StepList extends Array<StepDefinition> {}

const closed = { additionalProperties: false }
const object = <P extends TProperties>(properties: P) => Type.Object(properties, closed)
const Expr = (description: string) =>
  Type.Unsafe<Expression>({ type: 'string', minLength: 1, maxLength: 65_536, description })
const AnyValue = (description: string) => Type.Unsafe<Value>({ description })
const Values = (description: string) =>
  Type.Unsafe<Readonly<Record<string, Value>>>({ type: 'object', maxProperties: 1_000, description })
const Steps = (description: string) =>
  Type.Unsafe<StepList>({ type: 'array', minItems: 1, description, signalboxSteps: true })
const Ms = (description: string, more: object = {}) =>
  Type.Integer({ minimum: 1, maximum: 31_622_400_000, description, ...more })
const Count = (description: string, more: object = {}) =>
  Type.Integer({ minimum: 1, maximum: 1_000_000, description, ...more })
const Name = (description: string) => Type.String({ minLength: 1, maxLength: 256, description })
const Options = (description: string) =>
  Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object', description })
const one = <T extends string>(values: readonly T[], description: string, fallback?: T) =>
  Type.Unsafe<T>({
    enum: [...values],
    description,
    ...(fallback !== undefined && { default: fallback }),
  })
const opt = Type.Optional

/** What calls have in common. */
const CALL = {
  payload: opt(AnyValue('What is sent. Default: the payload of the message.')),
  headers: opt(Values('Headers that go along, beside those that the route has set.')),
  timeoutMs: opt(Ms('How long to wait for the answer. Default: as long as the caller of the route does.')),
  into: opt(Name('Name of the variable that takes the answer. Default: it becomes the payload.')),
}
const KEEP = {
  payload: opt(AnyValue('What is sent. Default: the payload of the message.')),
  headers: opt(Values('Headers that go along, beside those that the route has set.')),
  messageId: opt(Expr('Within the window of the queue or topic a second message of this id is dropped.')),
  key: opt(Expr('Messages of one key are delivered in order.')),
  delayMs: opt(Ms('Delivered not sooner than after so many milliseconds.')),
  priority: opt(Type.Integer({ minimum: 0, maximum: 9, description: '0 to 9, default 4.' })),
}
/** What sending to several has in common. */
const FAN = {
  parallel: opt(Count('How many branches run at once.', { default: 16, maximum: 1_000 })),
  timeoutMs: opt(Ms('Branches that are not done by then have failed. Default: no limit of their own.')),
  need: opt(
    Type.Unsafe<'all' | 'any' | number>({
      anyOf: [{ enum: ['all', 'any'] }, { type: 'integer', minimum: 0 }],
      default: 'all',
      description: 'How many branches must succeed for the step to: `all`, `any` (one), or a number.',
    }),
  ),
  combine: opt(
    Expr(
      'Makes the new payload of `{ original, results, errors }`. Default: the list of results, in the order of the branches.',
    ),
  ),
  keep: opt(Type.Boolean({ default: false, description: 'Leave the message as it was.' })),
}
const BATCH = {
  key: opt(Expr('Messages with the same key belong together. Default: the header sb-correlation-id.')),
  messageId: opt(
    Expr('Tells a message from the others of its group; a second one of the same id is ignored.'),
  ),
  timeoutMs: opt(Ms('The group is complete so long after its first message.')),
  idleMs: opt(Ms('The group is complete when so long none has come.')),
  maxSize: opt(Count('A group of this size is complete in any case.', { default: 9_000, maximum: 9_000 })),
}

/** Options of each kind of step. */
export const STEP_OPTIONS = {
  // Choosing
  filter: object({ when: Expr('Only messages for which this is true go on; the others end here, handled.') }),
  choose: object({
    branches: Type.Array(
      object({
        when: opt(Expr('The first branch for which this is true is taken. Without: always.')),
        steps: Steps('What happens then.'),
      }),
      {
        minItems: 1,
        maxItems: 1_000,
        description: 'Tried in order; when none is taken the message goes on as it is.',
      },
    ),
  }),
  recipients: object({
    to: Expr('The addresses: a list such as ["service/a", "queue/b", "topic/c", "route/d", "connection/e"].'),
    max: opt(Count('More recipients than this are an error.', { default: 100 })),
    ...FAN,
  }),
  multicast: object({
    branches: Type.Unsafe<StepList[]>({
      type: 'array',
      minItems: 1,
      maxItems: 1_000,
      items: { type: 'array', minItems: 1, signalboxSteps: true },
      description: 'Lists of steps; each gets a copy of the message.',
    }),
    ...FAN,
  }),
  dynamic: object({
    next: Expr('The next address, asked again after each; nothing (null) ends it.'),
    maxHops: opt(Count('More than this is an error.', { default: 100 })),
  }),
  tap: object({
    steps: Steps('Get a copy of the message; nobody waits for them and their failure is only logged.'),
    limit: opt(Count('So many copies are under way at most; then the message waits.', { default: 1_000 })),
  }),
  // Taking apart and putting together
  split: object({
    each: opt(Expr('The parts: an array or a stream. Default: the payload.')),
    format: opt(Name('The payload is a body of this format, which is read record by record.')),
    options: opt(Options('Options of the format.')),
    parallel: opt(Count('How many parts are handled at once.', { default: 1, maximum: 1_000 })),
    onError: opt(
      one(
        ['stop', 'collect'],
        'The first failure ends it, or failures are counted and the others go on.',
        'stop',
      ),
    ),
    result: opt(
      one(
        ['summary', 'list', 'original'],
        'The payload afterwards: { parts, failed, errors }, the list of results, or what it was.',
        'summary',
      ),
    ),
    maxParts: opt(
      Count('More parts than this are an error.', { default: 1_000_000, maximum: 1_000_000_000 }),
    ),
    steps: Steps('What happens to each part.'),
  }),
  aggregate: object({
    ...BATCH,
    size: opt(Count('The group is complete with so many messages.', { maximum: 9_000 })),
    sequence: opt(
      Type.Boolean({ default: false, description: 'Complete with all parts that a split has made.' }),
    ),
    when: opt(
      Expr('The group is complete with a message for which this is true; `$size` is how many there are.'),
    ),
    combine: opt(Expr('Makes the new payload of the list of payloads. Default: the list.')),
  }),
  resequence: object({
    mode: opt(
      one(
        ['stream', 'batch'],
        'stream: each message goes on as soon as all before it have. batch: a group is collected and sorted.',
        'stream',
      ),
    ),
    number: opt(Expr('The place of a message, a whole number. Default: the header sb-sequence-number.')),
    first: opt(
      Type.Integer({ minimum: 0, default: 1, description: 'stream: the number of the first message.' }),
    ),
    size: opt(Count('batch: the group is complete with so many messages.', { maximum: 9_000 })),
    sequence: opt(
      Type.Boolean({ default: false, description: 'batch: complete with all parts of a split.' }),
    ),
    forgetMs: opt(
      Ms('stream: how long a group in which nothing happens is remembered.', { default: 3_600_000 }),
    ),
    ...BATCH,
  }),
  enrich: object({
    steps: Steps('Get a copy of the message; their payload is the addition.'),
    into: opt(Name('Name of the property of the payload that takes the addition.')),
    combine: opt(Expr('Makes the new payload of `{ original, addition }`, instead of `into`.')),
  }),
  // The message
  set: object({
    payload: opt(AnyValue('The new payload.')),
    headers: opt(Values('New values of headers; null removes one.')),
    vars: opt(Values('New values of variables; null removes one.')),
  }),
  transform: object({ to: Expr('The new payload.') }),
  map: object({
    mapping: Name('Name of a file in mappings/, without its ending.'),
    into: opt(Name('Name of the variable that takes the result. Default: it becomes the payload.')),
  }),
  parse: object({
    format: Name('json, xml, form, text, msgpack, csv, ...'),
    options: opt(Options('Options of the format.')),
    maxDepth: opt(Count('How deep values may be nested.', { default: 64, maximum: 1_000 })),
  }),
  build: object({
    format: Name('json, xml, form, text, msgpack, csv, ...'),
    options: opt(Options('Options of the format.')),
  }),
  validate: object({
    schema: opt(Options('JSON Schema of the payload.')),
    with: opt(Name('A file below schemas/: NAME.json, NAME.xsd, NAME.rules.yaml or NAME.ts.')),
  }),
  claim: object({
    forMs: opt(Ms('The body is deleted after so long.', { default: 86_400_000 })),
  }),
  restore: object({
    ticket: opt(Expr('The ticket. Default: the header sb-claim.')),
    keep: opt(Type.Boolean({ default: true, description: 'The body can be restored again.' })),
  }),
  log: object({
    message: Expr('What is written.'),
    level: opt(one(['debug', 'info', 'warn', 'error'], 'How loud.', 'info')),
  }),
  // Sending
  call: object({
    service: opt(Name('Name of the service.')),
    route: opt(Name('Name of the route.')),
    ...CALL,
  }),
  tell: object({
    service: opt(Name('Name of the service.')),
    route: opt(Name('Name of the route.')),
    payload: CALL.payload,
    headers: CALL.headers,
  }),
  send: object({
    connection: Name('Name of the connection.'),
    attributes: opt(Values('What the protocol needs: path, routing key, file name.')),
    ...CALL,
  }),
  publish: object({ topic: Name('Name of the topic.'), ...KEEP }),
  enqueue: object({ queue: Name('Name of the queue.'), ...KEEP }),
  // Time and failure
  idempotent: object({
    key: Expr('What is the same for the same message.'),
    windowMs: opt(Ms('How long a message is remembered.', { default: 86_400_000 })),
    reserveMs: opt(
      Ms('A message that is being handled may be taken up again after so long.', { default: 300_000 }),
    ),
    onDuplicate: opt(
      one(['ignore', 'fail'], 'A message that was handled before ends here, or fails (409).', 'ignore'),
    ),
  }),
  throttle: object({
    limit: Count('So many messages pass ...'),
    perMs: opt(Ms('... in so many milliseconds, on each node.', { default: 1_000 })),
    burst: opt(Count('So many may pass at once. Default: as many as `limit`.')),
    over: opt(one(['wait', 'reject'], 'What happens to more: they wait, or fail (429).', 'wait')),
    maxWaitMs: opt(Ms('A message that would have to wait longer fails (429).', { default: 30_000 })),
  }),
  delay: object({
    ms: AnyValue(
      'How long, in milliseconds. Up to 1,000 the caller waits; beyond the message is kept on disk and the caller is answered.',
    ),
  }),
  retry: object({
    steps: Steps('What is tried.'),
    attempts: opt(Count('How often, the first time included.', { default: 5, maximum: 1_000 })),
    minMs: opt(
      Ms('The pause after the first attempt is up to so long, a random time (full jitter).', {
        default: 100,
      }),
    ),
    maxMs: opt(Ms('No pause is longer.', { default: 10_000 })),
    factor: opt(
      Type.Number({
        minimum: 1,
        maximum: 10,
        default: 2,
        description: 'Each pause may be so many times the one before.',
      }),
    ),
    budgetMs: opt(Ms('No attempt begins later than this after the first.', { default: 30_000 })),
    on: opt(one(['retryable', 'any'], 'Errors that say the same message may succeed, or any.', 'retryable')),
    unless: opt(
      Type.Array(Name('Code of an error.'), { maxItems: 1_000, description: 'Not after these codes.' }),
    ),
  }),
  circuit: object({
    steps: Steps('What is protected.'),
    failures: opt(Count('It opens after so many failures one after the other.', { default: 5 })),
    openMs: opt(Ms('It stays open for so long; then one message is a probe.', { default: 5_000 })),
    fallback: opt(Steps('What happens instead while it is open. Default: SIGNALBOX_CIRCUIT_OPEN.')),
    unless: opt(
      Type.Array(Name('Code of an error.'), {
        maxItems: 1_000,
        description: 'Codes that are no failure of the other side.',
      }),
    ),
  }),
  deadLetter: object({
    queue: Name('Name of the queue that takes the original message, with the reason and the step.'),
    steps: Steps('What may fail.'),
    rethrow: opt(
      Type.Boolean({
        default: false,
        description: 'The caller gets the error as well. Default: it is answered.',
      }),
    ),
  }),
  saga: object({
    steps: Type.Array(
      object({
        name: opt(Name('For people.')),
        do: Steps('What is done.'),
        undo: opt(
          Steps(
            'What takes it back; it may run more than once, and for a step of which nobody knows if it was done.',
          ),
        ),
      }),
      {
        minItems: 1,
        maxItems: 100,
        description: 'Done in order; after a failure those done are taken back in reverse.',
      },
    ),
  }),
  fail: object({
    code: opt(Name('Code of the error. Default: SIGNALBOX_REQUEST_REFUSED.')),
    message: Expr('What went wrong.'),
    status: opt(Type.Integer({ minimum: 400, maximum: 599, description: 'Status in HTTP terms.' })),
  }),
  stop: object({
    status: opt(
      Type.Integer({ minimum: 200, maximum: 599, description: 'Status of the answer in HTTP terms.' }),
    ),
  }),
}

export type StepKind = keyof typeof STEP_OPTIONS
export type OptionsOf<K extends StepKind> = Static<(typeof STEP_OPTIONS)[K]>

/** What a text or function alone stands for: `filter: total > 0` is `filter: { when: total > 0 }`. */
export const SHORTHANDS = {
  filter: 'when',
  transform: 'to',
  map: 'mapping',
  parse: 'format',
  build: 'format',
  log: 'message',
  call: 'service',
  tell: 'service',
  send: 'connection',
  publish: 'topic',
  enqueue: 'queue',
  recipients: 'to',
  dynamic: 'next',
  idempotent: 'key',
  delay: 'ms',
  fail: 'message',
  throttle: 'limit',
  // Lists
  tap: 'steps',
  choose: 'branches',
  multicast: 'branches',
  saga: 'steps',
} as const satisfies Partial<Record<StepKind, string>>

/** Kinds that need no options: `restore:` alone will do. */
export const WITHOUT_OPTIONS: ReadonlySet<StepKind> = new Set(['claim', 'restore', 'stop', 'resequence'])

type Short<K extends StepKind> = K extends keyof typeof SHORTHANDS
  ? (typeof SHORTHANDS)[K] extends keyof OptionsOf<K>
    ? NonNullable<OptionsOf<K>[(typeof SHORTHANDS)[K]]>
    : never
  : never

/** One step: exactly one kind with its options, and a name for counts, traces and durable state. */
export type StepDefinition = {
  [K in StepKind]: { id?: string } & { [P in K]: OptionsOf<K> | Short<K> | null }
}[StepKind]

const ID = Type.String({
  pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$',
  description: 'Name of the step in its route.',
})

/** Everything of a route but its steps. */
export const ROUTE_SETTINGS = {
  name: opt(
    Type.String({
      pattern: '^[A-Za-z][A-Za-z0-9_-]*(\\.[A-Za-z0-9_-]+)*$',
      maxLength: 128,
      description: 'Name on the bus. Default: the path below routes/, with dots for slashes.',
    }),
  ),
  description: opt(Type.String({ maxLength: 1_000, description: 'For people.' })),
  input: opt(Options('JSON Schema of the payload; others are refused.')),
  output: opt(Options('JSON Schema of the answer.')),
  concurrency: opt(Count('How many messages a worker handles at once.', { default: 256 })),
  timeoutMs: opt(Ms('Longest time for one message whose sender sets none.', { default: 30_000 })),
  mailboxCapacity: opt(Count('How many messages may wait in each worker.', { default: 4_096 })),
  deadLetter: opt(Name('Queue that takes messages which fail; the caller is answered then.')),
}

export const RouteSchema = object({
  ...ROUTE_SETTINGS,
  steps: Steps('What happens to a message, in order.'),
})

export { ID as STEP_ID }

/** A route as data: what a YAML file says, or what the builder makes. */
export type RouteDefinition = Static<typeof RouteSchema>
