/** The way of one message through the bus: its steps as a tree, with what lies between them. */
import type { AuditRecord } from './entry.ts'

/** A step of the way. */
export interface TrailStep extends AuditRecord {
  /** How deep in the tree; 0 is where the message came in. */
  depth: number
  /** The step that this one followed from; undefined for the first. */
  parent: string | undefined
  /** Since the beginning of the way, milliseconds. */
  sinceStartMs: number
  /** Since the step that it followed from began; for a delivery, since the message was kept. */
  gapMs: number
}

/** The steps of one correlation id, as the tree is read: each before what followed from it. */
export interface Trail {
  cid: string
  from: number
  to: number
  durationMs: number
  steps: TrailStep[]
  /** There are more than are shown. */
  truncated: boolean
}

/** Clocks of threads differ by so much at most. */
const SKEW_MS = 0.5

/**
 * Puts records of one cid in the order of the way. What a step followed from is what made it (`from`) where that was
 * recorded, a delivery followed from what was kept under its number, and everything else from the shortest step that
 * it lies within. Steps that ran side by side under the same name may trade what followed from them.
 */
export function trailOf(cid: string, records: readonly AuditRecord[], truncated: boolean): Trail {
  const sorted = [...records].sort((a, b) => a.at - b.at || b.durationMs - a.durationMs)
  const from = sorted[0]?.at ?? 0
  const to = Math.max(from, ...sorted.map(endOf))
  const order: Order = new Map(sorted.map((record, i) => [record, i]))
  const parents = new Map(sorted.map(record => [record, parentOf(record, order)]))
  for (const record of sorted) if (isAboveItself(record, parents)) parents.set(record, undefined)
  const children = new Map<AuditRecord | undefined, AuditRecord[]>()
  for (const record of sorted) {
    const parent = parents.get(record)
    children.set(parent, [...(children.get(parent) ?? []), record])
  }
  const steps: TrailStep[] = []
  const walk = (record: AuditRecord, parent: AuditRecord | undefined, depth: number) => {
    const since = parent === undefined ? from : parent.kind === 'publish' ? endOf(parent) : parent.at
    steps.push({
      ...record,
      depth,
      parent: parent?.id,
      sinceStartMs: record.at - from,
      gapMs: Math.max(0, record.at - since),
    })
    for (const child of children.get(record) ?? []) walk(child, record, depth + 1)
  }
  for (const root of children.get(undefined) ?? []) walk(root, undefined, 0)
  return { cid, from, to, durationMs: to - from, steps, truncated }
}

function endOf({ at, durationMs }: AuditRecord): number {
  return at + durationMs
}

/** Records with their place by time. */
type Order = ReadonlyMap<AuditRecord, number>

/** Steps that began and ended within the tolerance of the clocks may look as if each held the next. */
function isAboveItself(
  record: AuditRecord,
  parents: ReadonlyMap<AuditRecord, AuditRecord | undefined>,
): boolean {
  let above = parents.get(record)
  for (let i = 0; above !== undefined && i <= parents.size; i++) {
    if (above === record) return true
    above = parents.get(above)
  }
  return false
}

function parentOf(record: AuditRecord, order: Order): AuditRecord | undefined {
  const all = [...order.keys()]
  if (record.kind === 'delivery') {
    const kept = all.find(
      other => other.kind === 'publish' && isOf(record, other) && other.seq === record.seq,
    )
    if (kept) return kept
  }
  if (record.kind === 'dead') {
    const deliveries = all.filter(
      other => other.kind === 'delivery' && other.address === record.address && other.seq === record.seq,
    )
    if (deliveries.length > 0) return deliveries.at(-1)
  }
  const around = all.filter(other => other !== record && holds(other) && encloses(other, record, order))
  const makers = around.filter(other => other.address === record.from || other.to === record.from)
  return shortest(makers.length > 0 ? makers : around)
}

/** Whether a delivery is one of this queue or topic: `topic/events/billing` is one of `topic/events`. */
function isOf({ address }: AuditRecord, kept: AuditRecord): boolean {
  return address === kept.address || address.startsWith(`${kept.address}/`)
}

function holds({ kind }: AuditRecord): boolean {
  return kind === 'channel' || kind === 'service' || kind === 'delivery' || kind === 'replay'
}

/** Of two that take exactly the same time the one that was sorted first is outside. */
function encloses(outer: AuditRecord, inner: AuditRecord, order: Order): boolean {
  if (outer.at > inner.at + SKEW_MS || endOf(outer) + SKEW_MS < endOf(inner)) return false
  const alike = Math.abs(outer.at - inner.at) <= SKEW_MS && Math.abs(endOf(outer) - endOf(inner)) <= SKEW_MS
  return !alike || !holds(inner) || order.get(outer)! < order.get(inner)!
}

function shortest(records: readonly AuditRecord[]): AuditRecord | undefined {
  return records.reduce<AuditRecord | undefined>(
    (best, record) => (best === undefined || record.durationMs <= best.durationMs ? record : best),
    undefined,
  )
}
