/** When a schedule is due. All times are milliseconds since the epoch. */
import { Cron } from 'croner'
import { SignalboxError } from '../../core/errors.ts'
import type { ScheduleResource } from './options.ts'

/** Gives the times of a schedule. */
export interface Times {
  /** The first time after a moment; undefined when there is none any more. */
  after(moment: number): number | undefined
}

/**
 * The times of a schedule. `startedAt`: when it was set up, from which intervals count. Throws
 * SIGNALBOX_OPTIONS_INVALID for a cron expression, time zone or date that is none.
 */
export function timesOf(type: string, options: ScheduleResource, startedAt: number): Times {
  switch (type) {
    case 'cron':
      return cronTimes(options.cron!, options.timezone)
    case 'interval':
      return intervalTimes(
        options.everyMs!,
        options.startAt === undefined ? startedAt : dateOf(options.startAt),
      )
    default: {
      const at = dateOf(options.at!)
      return { after: moment => (at > moment ? at : undefined) }
    }
  }
}

/**
 * Cron: five fields, or six with seconds first. A time that daylight saving leaves out comes when the clock has moved
 * on; one that comes twice is due once, unless the expression is one of intervals (`*`, `*\/5`).
 */
function cronTimes(pattern: string, timezone = 'UTC'): Times {
  let cron: Cron
  try {
    cron = new Cron(pattern, { timezone, mode: '5-or-6-parts', paused: true })
    // A zone that does not exist is found at the first use.
    cron.nextRun(new Date(0))
  } catch (cause) {
    const message = `cron '${pattern}' in ${timezone}: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message, { cause })
  }
  return {
    after: moment => {
      const next = cron.nextRun(new Date(moment))
      return next === null ? undefined : next.getTime()
    },
  }
}

function intervalTimes(everyMs: number, anchor: number): Times {
  return {
    after: moment => {
      if (moment < anchor) return anchor
      return anchor + (Math.floor((moment - anchor) / everyMs) + 1) * everyMs
    },
  }
}

function dateOf(text: string): number {
  const time = Date.parse(text)
  if (!Number.isNaN(time)) return time
  throw new SignalboxError(
    'SIGNALBOX_OPTIONS_INVALID',
    `'${text}' is no date and time: write 2026-12-24T18:00:00Z`,
  )
}
