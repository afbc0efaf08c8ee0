/** Idempotent receiver: what follows happens once for each key, whoever sends the message again. */
import { SignalboxError } from '../../errors.ts'
import type { StoreRecord } from '../../store/store.ts'
import { type Compiler, keyText } from '../compiling.ts'
import type { Expiring } from '../housekeeping.ts'
import { isConflict, SEEN, stateKey } from '../state.ts'

interface Seen extends Expiring {
  /** It was handled; otherwise somebody is at it until `expiresAt`. */
  handled: boolean
}

export const idempotent: Compiler<'idempotent'> = async c => {
  const { windowMs, reserveMs, onDuplicate } = c.options
  const { state, clock, route, id } = c
  const key = await c.evaluate(c.options.key, 'key')

  /** Undefined when the message was handled before. */
  const reserve = async (place: string): Promise<number | undefined> => {
    for (;;) {
      const value: Seen = { handled: false, expiresAt: clock.now() + reserveMs! }
      const found: StoreRecord<Seen> | undefined = await state.get<Seen>(SEEN, place)
      if (found && found.value.expiresAt > clock.now()) {
        if (found.value.handled) return undefined
        throw new SignalboxError(
          'SIGNALBOX_ROUTE_BUSY',
          `step ${id}: the message is being handled at this moment`,
          {
            retryAfterMs: Math.min(1_000, found.value.expiresAt - clock.now()),
          },
        )
      }
      try {
        return (await state.put(SEEN, place, value, { ifRevision: found?.revision ?? 0 })).revision
      } catch (error) {
        if (!isConflict(error)) throw error
      }
    }
  }

  return async x => {
    const name = keyText(await key(x), 'key')
    const place = stateKey(route, id, name)
    const revision = await reserve(place)
    if (revision === undefined) {
      if (onDuplicate === 'fail') {
        throw new SignalboxError('SIGNALBOX_CONFLICT', `step ${id}: the message was handled before`)
      }
      x.stopped = true
      return
    }
    try {
      await c.rest(x)
    } catch (error) {
      // Another one may have it by now, and then the reservation is not ours to take away.
      await state.delete(SEEN, place, { ifRevision: revision }).catch(ignoreConflict)
      throw error
    }
    const value: Seen = { handled: true, expiresAt: clock.now() + windowMs! }
    await state.put(SEEN, place, value)
  }
}

function ignoreConflict(error: unknown): void {
  if (!isConflict(error)) throw error
}
