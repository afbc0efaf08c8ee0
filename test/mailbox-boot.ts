/** A worker of a project, with one more service whose mailbox is small and refuses or drops what it cannot take. */
import boot, { type BootConfig } from '../cli/worker-boot.ts'
import type { Overflow } from '../core/actor/mailbox.ts'
import type { WorkerContext } from '../core/worker/worker-context.ts'

/** What fits into the mailbox, beside the one message that is being handled. */
export const CAPACITY = 4

export type MailboxConfig = BootConfig & { overflow: Overflow }

/** `service/tight` holds each message until the node asks for `release`. */
export default async function mailboxBoot(worker: WorkerContext) {
  const { overflow } = worker.config as MailboxConfig
  const held: (() => void)[] = []
  let released = false
  let handled = 0
  worker.declare('service/tight', {
    placement: 'everyWorker',
    spec: {
      mailboxCapacity: CAPACITY,
      overflow,
      behaviour: () => ({
        receive: async (_message, envelope) => {
          if (!released) await new Promise<void>(resolve => held.push(resolve))
          handled++
          envelope.resolve({ payload: { handled } })
        },
      }),
    },
  })
  const hooks = await boot(worker)
  return {
    ...hooks,
    requests: {
      ...hooks.requests,
      counts: () => ({ handled, deadLetters: worker.system.deadLetters }),
      release: () => {
        released = true
        for (const go of held.splice(0)) go()
      },
    },
  }
}
