/** The actor runtime, for those who write actors. */
export { type Address, baseOf, checkAddress, keyOf } from './address.ts'
export type { Answer } from './ask.ts'
export type {
  ActorContext,
  ActorRef,
  ActorSpec,
  AskOptions,
  Behaviour,
  Down,
  SendOptions,
} from './behaviour.ts'
export type { Envelope, MessageContext, ReplyHead } from './envelope.ts'
export type { KeyedSpec } from './keyed.ts'
export type { Overflow } from './mailbox.ts'
export {
  type Backoff,
  backoffMs,
  type RestartType,
  type Strategy,
  type SupervisionPolicy,
} from './supervision.ts'
export { ActorSystem, type DeadLetter, type SystemOptions } from './system.ts'
