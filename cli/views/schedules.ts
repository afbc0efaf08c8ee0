/** How schedules and their runs are shown. */
import type { ScheduleStateView } from '../../actors/admin/kept-operator.ts'
import type { ScheduleRun } from '../../actors/schedules/schedule.ts'
import { type Column, duration, table, time } from '../output.ts'

const SCHEDULES: Column<ScheduleStateView>[] = [
  { title: 'SCHEDULE', value: ({ name }) => name },
  { title: 'TYPE', value: ({ type }) => type },
  { title: 'STATE', value: stateOf, style: view => (stateOf(view) === 'active' ? undefined : 'yellow') },
  { title: 'NEXT', value: ({ nextAt }) => nextAt && time(nextAt) },
  { title: 'LAST', value: ({ last }) => last && time(last.startedAt) },
  { title: 'OUTCOME', value: ({ last }) => last?.outcome, style: ({ last }) => styleOf(last) },
  { title: 'CALLS', value: ({ target }) => target },
  { title: 'ERROR', value: ({ last, error }) => error ?? last?.reason },
]

const RUNS: Column<ScheduleRun>[] = [
  { title: 'RUN', value: ({ number }) => number },
  { title: 'DUE', value: ({ dueAt }) => (dueAt === undefined ? 'by hand' : time(dueAt)) },
  { title: 'STARTED', value: ({ startedAt }) => time(startedAt) },
  { title: 'TOOK', value: ({ startedAt, endedAt }) => endedAt && duration(endedAt - startedAt) },
  { title: 'OUTCOME', value: ({ outcome }) => outcome, style: styleOf },
  { title: 'REASON', value: ({ reason }) => reason },
]

export function schedulesText(schedules: readonly ScheduleStateView[]): string {
  return table(SCHEDULES, schedules)
}

export function runsText(runs: readonly ScheduleRun[]): string {
  return table(RUNS, runs)
}

/** `run 7 ok, 1.2 s`, or what went wrong. */
export function runText({ number, outcome, startedAt, endedAt, reason }: ScheduleRun): string {
  const took = endedAt === undefined ? '' : `, ${duration(endedAt - startedAt)}`
  return `run ${number} ${outcome === 'running' ? 'goes on' : outcome}${took}${reason ? `: ${reason}` : ''}`
}

function stateOf({ paused, running, error }: ScheduleStateView): string {
  if (error !== undefined) return 'broken'
  if (paused) return 'paused'
  return running ? 'running' : 'active'
}

function styleOf(run: ScheduleRun | undefined): 'red' | 'green' | undefined {
  if (run === undefined || run.outcome === 'running' || run.outcome === 'skipped') return undefined
  return run.outcome === 'ok' ? 'green' : 'red'
}
