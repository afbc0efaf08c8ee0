/** What can be configured of a schedule. */
import { type Static, type TSchema, Type } from '../../core/schema.ts'

const closed = { additionalProperties: false }

const COMMON = {
  service: Type.Optional(Type.String({ minLength: 1, description: 'Service that is called.' })),
  queue: Type.Optional(
    Type.String({
      minLength: 1,
      names: 'queue',
      description: 'Queue that gets a message instead: it survives whatever happens.',
    }),
  ),
  payload: Type.Optional(Type.Unknown({ description: 'What is sent.' })),
  timeoutMs: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 86_400_000, default: 60_000, description: 'Longest run, ms.' }),
  ),
  overlap: Type.Optional(
    Type.Union([Type.Literal('skip'), Type.Literal('queue'), Type.Literal('allow')], {
      default: 'skip',
      description: 'When it is due while it runs: skip, run once more afterwards, or run beside.',
    }),
  ),
  jitterMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 86_400_000,
      default: 0,
      description: 'Each run begins up to so much later, at random, ms.',
    }),
  ),
  catchUp: Type.Optional(
    Type.Union([Type.Literal('none'), Type.Literal('once'), Type.Literal('all')], {
      default: 'once',
      description: 'Runs missed while the node was down: none, one for all of them, or each (at most 1,000).',
    }),
  ),
  paused: Type.Optional(Type.Boolean({ default: false, description: 'Does not run by itself.' })),
  history: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10_000, default: 100, description: 'How many runs are remembered.' }),
  ),
}

const ALL = {
  ...COMMON,
  cron: Type.String({
    minLength: 1,
    maxLength: 256,
    description: 'Minute, hour, day of month, month, day of week; seconds may stand before them.',
  }),
  timezone: Type.Optional(
    Type.String({ default: 'UTC', description: 'Time zone of the cron expression, e.g. Europe/Berlin.' }),
  ),
  everyMs: Type.Integer({ minimum: 100, maximum: 31_536_000_000, description: 'Time between two runs, ms.' }),
  startAt: Type.Optional(
    Type.String({ description: 'Date and time from which intervals count. Default: now.' }),
  ),
  at: Type.String({ description: 'Date and time of the one run, e.g. 2026-12-24T18:00:00Z.' }),
}
const { cron, timezone, everyMs, startAt, at } = ALL

/** Schemas of the options, by type. */
export const SCHEDULE_TYPES: ReadonlyMap<string, TSchema> = new Map<string, TSchema>([
  ['cron', Type.Object({ cron, timezone, ...COMMON }, closed)],
  ['interval', Type.Object({ everyMs, startAt, ...COMMON }, closed)],
  ['once', Type.Object({ at, ...COMMON }, closed)],
])

const AnySchedule = Type.Partial(Type.Object(ALL))

/** The options of any type. */
export type ScheduleResource = Static<typeof AnySchedule>
