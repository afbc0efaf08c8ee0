/** Checks of the clock and of what is known of time zones. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Check } from './check.ts'

const WATCHED_MS = 300
/** The wall clock may be slewed a little while it is watched; more is a step. */
const STEP_MS = 25

export interface Clocks {
  wallMs(): number
  monotonicMs(): number
  wait(ms: number): Promise<unknown>
}

const SYSTEM: Clocks = { wallMs: Date.now, monotonicMs: () => performance.now(), wait: ms => delay(ms) }

/** Whether the wall clock runs as fast as the monotonic one. */
export function clockDrift({ wallMs, monotonicMs, wait }: Clocks = SYSTEM): Check {
  return {
    id: 'clock',
    title: 'clock',
    run: async () => {
      const offset = () => wallMs() - monotonicMs()
      const before = offset()
      await wait(WATCHED_MS)
      const driftMs = Math.abs(offset() - before)
      return {
        status: driftMs > STEP_MS ? 'warn' : 'ok',
        detail: `${driftMs.toFixed(1)} ms against the monotonic clock within ${WATCHED_MS} ms`,
        why: 'Tokens, certificates and schedules go by the wall clock; one that jumps makes them wrong.',
        fix: 'timedatectl set-ntp true  (one time service only; in a virtual machine, not also that of the host)',
      }
    },
  }
}

/** Summer time must be known: without the data of ICU every zone is UTC. `offsetOf` gives minutes east of UTC. */
export function timeZones(offsetOf: (zone: string, at: Date) => number = zoneOffset): Check {
  return {
    id: 'time-zones',
    title: 'time zones',
    run: async () => {
      const winter = offsetOf('Europe/Berlin', new Date('2025-01-15T12:00:00Z'))
      const summer = offsetOf('Europe/Berlin', new Date('2025-07-15T12:00:00Z'))
      const known = winter === 60 && summer === 120
      return {
        status: known ? 'ok' : 'fail',
        detail: known
          ? `known; here it is ${Intl.DateTimeFormat().resolvedOptions().timeZone}`
          : `Berlin is taken to be ${winter} minutes from UTC in winter and ${summer} in summer`,
        why: 'Schedules with a time zone run at the wrong hour.',
        fix: 'Use a Node.js with full ICU data (that of nodejs.org has it).',
      }
    },
  }
}

function zoneOffset(timeZone: string, at: Date): number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  const name = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value
  const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(name ?? '') ?? []
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0))
}
