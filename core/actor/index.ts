/** The actor runtime, as the built-in actors use it. */
export type { ActorSpec, AskOptions } from './behaviour.ts'
export type { Envelope } from './envelope.ts'
export { type Backoff, backoffMs } from './supervision.ts'
export { ActorSystem } from './system.ts'
