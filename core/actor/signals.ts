/** What overtakes messages: a lane of its own in front of the mailbox. */
import { SignalboxError } from '../errors.ts'
import type { ActorContext, Behaviour, Down } from './behaviour.ts'

interface Settle {
  resolve: () => void
  reject: (error: unknown) => void
}

export type Signal = { type: 'down'; notice: Down } | { type: 'configure'; options: unknown; done: Settle }

/** Hands a signal to a behaviour. Throws what `down` throws; what `configure` throws goes to who configures. */
export function runSignal(signal: Signal, behaviour: Behaviour, context: ActorContext): void {
  if (signal.type === 'down') {
    behaviour.down?.(signal.notice, context)
    return
  }
  const { done, options } = signal
  if (!behaviour.configure) {
    done.reject(new SignalboxError('SIGNALBOX_USAGE', `${context.self.address} takes no configuration`))
    return
  }
  Promise.try(() => behaviour.configure!(options, context)).then(done.resolve, done.reject)
}

/** What is left of signals when a life of their actor ends: notices were for the behaviour that asked for them. */
export function withoutNotices(signals: Signal[] | undefined): Signal[] | undefined {
  const left = signals?.filter(signal => signal.type === 'configure')
  return left?.length ? left : undefined
}

/** Fails every configuration under way: the actor is no more. */
export function rejectSignals(signals: Signal[] | undefined, error: SignalboxError): void {
  for (const signal of signals ?? []) if (signal.type === 'configure') signal.done.reject(error)
}
