/** The compiler of each kind of step. A new kind is its options in options.ts, a file in steps/ and a line here. */
import type { Compiler } from './compiling.ts'
import type { StepKind } from './options.ts'
import { aggregate } from './steps/aggregate.ts'
import { choose, dynamic, filter } from './steps/choosing.ts'
import { circuit } from './steps/circuit.ts'
import { claim, restore } from './steps/claim.ts'
import { deadLetter } from './steps/dead-letter.ts'
import { delay } from './steps/delay.ts'
import { enrich, multicast, recipients, tap } from './steps/fan.ts'
import { idempotent } from './steps/idempotent.ts'
import { build, fail, log, map, parse, set, stop, transform, validate } from './steps/message.ts'
import { resequence } from './steps/resequence.ts'
import { retry } from './steps/retry.ts'
import { saga } from './steps/saga.ts'
import { call, enqueue, publish, send, tell } from './steps/sending.ts'
import { split } from './steps/split.ts'
import { throttle } from './steps/throttle.ts'

export const COMPILERS: { readonly [K in StepKind]: Compiler<K> } = {
  filter,
  choose,
  recipients,
  multicast,
  dynamic,
  tap,
  split,
  aggregate,
  resequence,
  enrich,
  set,
  transform,
  map,
  parse,
  build,
  validate,
  claim,
  restore,
  log,
  call,
  tell,
  send,
  publish,
  enqueue,
  idempotent,
  throttle,
  delay,
  retry,
  circuit,
  deadLetter,
  saga,
  fail,
  stop,
}

/** Kinds that what follows in their list belongs to: it happens later, or they must know how it ends. */
export const WITH_REST: ReadonlySet<StepKind> = new Set(['aggregate', 'resequence', 'delay', 'idempotent'])

/** Kinds that keep something on disk. */
export const STATEFUL: ReadonlySet<StepKind> = new Set([
  'aggregate',
  'resequence',
  'delay',
  'idempotent',
  'claim',
  'restore',
  'saga',
])
