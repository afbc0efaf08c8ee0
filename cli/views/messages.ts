/** How `signalbox messages` shows recorded steps, and the way of one message. */
import type { TrailView } from '../../actors/admin/operator.ts'
import type { AuditRecord } from '../../core/audit/entry.ts'
import type { TrailStep } from '../../core/audit/trail.ts'
import { type Column, duration, oneLine, paint, time } from '../output.ts'

export const MESSAGE_COLUMNS: Column<AuditRecord>[] = [
  { title: 'WHEN', value: ({ at }) => moment(at) },
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'WHERE', value: record => oneLine(whereOf(record)) },
  {
    title: 'OUTCOME',
    value: ({ outcome }) => oneLine(outcome),
    style: ({ outcome }) => (outcome === 'ok' ? 'green' : 'red'),
  },
  { title: 'TOOK', value: ({ durationMs }) => duration(durationMs) },
  { title: 'CID', value: ({ cid }) => oneLine(cid) },
  { title: 'ID', value: ({ id }) => id },
]

/** The steps as a tree, each with when it began, how long it took and how it ended. */
export function trailText({ cid, from, durationMs, steps, truncated, notes }: TrailView): string {
  if (steps.length === 0) return [`nothing is recorded of ${oneLine(cid)}`, ...notes].join('\n')
  const count = steps.length === 1 ? '1 step' : `${steps.length} steps`
  const head = `${paint('bold', oneLine(cid))}  ${moment(from)}  ${count} in ${duration(durationMs)}`
  const lines = steps.map((step, i) => stepLine(step, isLast(steps, i)))
  if (truncated) lines.push('... and more steps than are shown')
  return [head, ...lines, ...notes.map(note => paint('dim', note))].join('\n')
}

function stepLine(step: TrailStep, last: boolean): string {
  const branch = step.depth === 0 ? '' : `${'   '.repeat(step.depth - 1)}${last ? '└─ ' : '├─ '}`
  const { outcome, durationMs, sinceStartMs, waitedMs, attempt, status, id } = step
  const parts = [
    paint('dim', `+${duration(sinceStartMs)}`.padStart(9)),
    `${branch}${step.kind} ${paint('bold', oneLine(whereOf(step)))}`,
    paint(outcome === 'ok' ? 'green' : 'red', oneLine(outcome)),
    duration(durationMs),
  ]
  if (status !== undefined) parts.push(String(status))
  if (attempt !== undefined && attempt > 1) parts.push(`attempt ${attempt}`)
  if (waitedMs !== undefined && waitedMs >= 1) parts.push(`waited ${duration(waitedMs)}`)
  return [...parts, paint('dim', id)].join('  ')
}

/** Whether no later step hangs on the same branch. */
function isLast(steps: readonly TrailStep[], at: number): boolean {
  const { depth } = steps[at]!
  const next = steps.slice(at + 1).find(step => step.depth <= depth)
  return next === undefined || next.depth < depth
}

function whereOf({ address, to, from, kind, operation, detail }: AuditRecord): string {
  const what = [kind === 'publish' || kind === 'delivery' ? undefined : operation, detail]
    .filter(Boolean)
    .join(' ')
  const place = kind === 'replay' ? `${from} > ${address}` : to === undefined ? address : `${address} > ${to}`
  return what === '' || kind === 'replay' ? place : `${place} (${what})`
}

function moment(atMs: number): string {
  return `${time(atMs)}.${String(Math.floor(atMs) % 1000).padStart(3, '0')}`
}
