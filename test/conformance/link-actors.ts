/** Actors that the link scenarios start. */
import type { ActorContext, ActorSpec } from '../../core/actor/behaviour.ts'
import type { Envelope } from '../../core/actor/envelope.ts'

/** An actor of one function; it stays when that throws. */
export function spec<T>(
  receive: (payload: T, envelope: Envelope, context: ActorContext) => unknown,
  more: Omit<ActorSpec, 'behaviour'> = {},
): ActorSpec {
  return {
    concurrency: 64,
    // Some handlers never end; the stop of their actor waits for them.
    shutdownMs: 1,
    ...more,
    behaviour: () => ({ receive: receive as (payload: unknown) => unknown }),
  }
}

export const echo = spec(payload => payload)

/** An actor that handles one message each time it is allowed to. */
export function gated<T>(more: Omit<ActorSpec, 'behaviour'> = {}): {
  spec: ActorSpec
  seen: T[]
  /** Lets `count` more messages through. */
  allow(count: number): void
} {
  const seen: T[] = []
  let allowed = 0
  let wake: (() => void) | undefined
  const receive = async (payload: T) => {
    seen.push(payload)
    while (allowed === 0) await new Promise<void>(resolve => (wake = resolve))
    allowed--
  }
  return {
    spec: spec(receive, { concurrency: 1, ...more }),
    seen,
    allow(count) {
      allowed += count
      wake?.()
    },
  }
}
