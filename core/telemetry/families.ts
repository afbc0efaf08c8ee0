/** Snapshots of all threads of a node as families of metrics: what Prometheus and OTLP are both written from. */
import { EXPORT_BOUNDS, exportCounts } from './histogram.ts'
import type { MeterKind } from './meters.ts'
import type { MetricsSnapshot } from './snapshot.ts'

export type Labels = Record<string, string>

export interface HistogramValue {
  /** Counts between the bounds, not accumulated; the last one is above them all. */
  counts: number[]
  sum: number
  count: number
  max: number
}

export interface Sample<T> {
  labels: Labels
  value: T
  /** When the counter was 0; milliseconds since the epoch. */
  startedAt: number
  at: number
}

interface About {
  /** As OpenTelemetry writes it, e.g. `signalbox.channel.messages`. */
  name: string
  help: string
  /** UCUM: `s`, `By`, `1` for a ratio, `{message}` for what is counted. */
  unit: string
}

export type Family =
  | (About & { type: 'counter' | 'gauge'; samples: Sample<number>[] })
  | (About & { type: 'histogram'; bounds: readonly number[]; samples: Sample<HistogramValue>[] })

const KINDS: MeterKind[] = ['channel', 'service', 'connection', 'consumer']

/** The families, each with the samples of all snapshots. Those without a sample are left out. */
export function familiesOf(snapshots: readonly MetricsSnapshot[]): Family[] {
  const families = new Families()
  for (const snapshot of snapshots) {
    for (const kind of KINDS) addMeters(families, snapshot, kind)
    addActors(families, snapshot)
    addTraces(families, snapshot)
    addAudit(families, snapshot)
    addRuntime(families, snapshot)
    addHost(families, snapshot)
  }
  return families.all()
}

class Families {
  readonly #families = new Map<string, Family>()

  number(
    type: 'counter' | 'gauge',
    about: About,
    from: MetricsSnapshot,
    labels: Labels,
    value: number,
  ): void {
    const family = this.#family({ ...about, type, samples: [] })
    ;(family.samples as Sample<number>[]).push(sample(from, labels, value))
  }

  histogram(about: About, from: MetricsSnapshot, labels: Labels, value: HistogramValue): void {
    const family = this.#family({ ...about, type: 'histogram', bounds: EXPORT_BOUNDS, samples: [] })
    ;(family.samples as Sample<HistogramValue>[]).push(sample(from, labels, value))
  }

  /** The family of this name; `made` when it is the first. */
  #family(made: Family): Family {
    const known = this.#families.get(made.name)
    if (known) return known
    this.#families.set(made.name, made)
    return made
  }

  all(): Family[] {
    return [...this.#families.values()]
  }
}

function sample<T>(from: MetricsSnapshot, labels: Labels, value: T): Sample<T> {
  return {
    labels: { node: from.node, worker: from.worker, ...labels },
    value,
    startedAt: from.startedAt,
    at: from.at,
  }
}

function addMeters(families: Families, from: MetricsSnapshot, kind: MeterKind): void {
  const messages = {
    name: `signalbox.${kind}.messages`,
    unit: '{message}',
    help: `Messages that a ${kind} has settled, by outcome: ok or the code of the error.`,
  }
  const active = {
    name: `signalbox.${kind}.active`,
    unit: '{message}',
    help: `Messages that a ${kind} has in hand.`,
  }
  const duration = {
    name: `signalbox.${kind}.duration`,
    unit: 's',
    help: `Time from taking a message to settling it, by ${kind}.`,
  }
  for (const meter of from.meters) {
    if (meter.kind !== kind) continue
    const labels: Labels = {
      [kind]: meter.name,
      ...(meter.transport !== undefined && { transport: meter.transport }),
    }
    // A zero that nobody has counted to would be a lie.
    if (meter.measured) families.number('counter', messages, from, { ...labels, outcome: 'ok' }, meter.ok)
    for (const [outcome, count] of Object.entries(meter.failed)) {
      families.number('counter', messages, from, { ...labels, outcome }, count)
    }
    if (meter.measured) families.number('gauge', active, from, labels, meter.active)
    if (kind === 'channel') families.number('counter', RECEIVED_BYTES, from, labels, meter.bytes)
    if (!meter.latency) continue
    const { count, sumMs, maxMs } = meter.latency
    families.histogram(duration, from, labels, {
      counts: exportCounts(meter.latency),
      sum: sumMs / 1000,
      count,
      max: maxMs / 1000,
    })
  }
}

const RECEIVED_BYTES = {
  name: 'signalbox.channel.received',
  unit: 'By',
  help: 'Payload bytes that a channel has received.',
}

function addActors(families: Families, from: MetricsSnapshot): void {
  const gauge = (name: string, unit: string, help: string, labels: Labels, value: number) =>
    families.number('gauge', { name, unit, help }, from, labels, value)
  const counter = (name: string, unit: string, help: string, labels: Labels, value: number) =>
    families.number('counter', { name, unit, help }, from, labels, value)
  for (const { address: actor, ...of } of from.actors) {
    gauge(
      'signalbox.actor.count',
      '{actor}',
      'Actors at an address, its keys counted together.',
      { actor },
      of.actors,
    )
    gauge('signalbox.actor.mailbox.messages', '{message}', 'Messages in the mailbox.', { actor }, of.queued)
    gauge(
      'signalbox.actor.mailbox.senders',
      '{message}',
      'Messages that wait for a place in the mailbox.',
      { actor },
      of.waiting,
    )
    gauge('signalbox.actor.busy', '{message}', 'Messages being handled.', { actor }, of.busy)
    counter(
      'signalbox.actor.messages',
      '{message}',
      'Messages that an actor has taken from its mailbox.',
      { actor },
      of.handled,
    )
    counter(
      'signalbox.actor.dropped',
      '{message}',
      'Messages that a full mailbox dropped or refused.',
      { actor },
      of.dropped,
    )
    counter('signalbox.actor.restarts', '{restart}', 'Restarts by the supervisor.', { actor }, of.restarts)
  }
  if (from.deadLetters === undefined) return
  counter('signalbox.dead_letters', '{message}', 'Messages that no actor has handled.', {}, from.deadLetters)
}

function addTraces(families: Families, from: MetricsSnapshot): void {
  const { traces } = from
  if (!traces) return
  const roots = {
    name: 'signalbox.trace.started',
    unit: '{trace}',
    help: 'Traces that began here: kept, or not sampled because of the ratio, the limit per second or a full queue.',
  }
  for (const [decision, count] of Object.entries(traces.roots)) {
    families.number('counter', roots, from, { decision }, count)
  }
  if (!traces.spans) return
  const { queued, ...settled } = traces.spans
  const spans = {
    name: 'signalbox.trace.spans',
    unit: '{span}',
    help: 'Spans by outcome: exported, failed at the collector, or dropped because the queue was full.',
  }
  for (const [outcome, count] of Object.entries(settled)) {
    families.number('counter', spans, from, { outcome }, count)
  }
  const waiting = { name: 'signalbox.trace.queued', unit: '{span}', help: 'Spans that are not exported yet.' }
  families.number('gauge', waiting, from, {}, queued)
}

function addAudit(families: Families, from: MetricsSnapshot): void {
  if (from.audit === undefined) return
  const { recorded, dropped, waitingBytes } = from.audit
  const records = {
    name: 'signalbox.audit.records',
    unit: '{record}',
    help: 'Steps of messages that were recorded for the audit log.',
  }
  const lost = {
    name: 'signalbox.audit.dropped',
    unit: '{record}',
    help: 'Steps of messages that were not recorded because the audit log did not keep up.',
  }
  const waiting = {
    name: 'signalbox.audit.waiting',
    unit: 'By',
    help: 'Records that wait to be taken by the audit log.',
  }
  families.number('counter', records, from, {}, recorded)
  families.number('counter', lost, from, {}, dropped)
  families.number('gauge', waiting, from, {}, waitingBytes)
}

function addRuntime(families: Families, from: MetricsSnapshot): void {
  const { runtime } = from
  const gauge = (name: string, unit: string, help: string, value: number, labels: Labels = {}) =>
    families.number('gauge', { name, unit, help }, from, labels, value)
  const delayHelp = 'How late the event loop was in the last seconds, by statistic.'
  for (const [stat, ms] of Object.entries(runtime.loopDelayMs)) {
    gauge('signalbox.event_loop.delay', 's', delayHelp, ms / 1000, { stat })
  }
  gauge(
    'signalbox.event_loop.utilization',
    '1',
    'Share of the last seconds that the event loop was busy.',
    runtime.utilization,
  )
  const time = {
    name: 'signalbox.event_loop.time',
    unit: 's',
    help: 'Time of the event loop by state: active or idle.',
  }
  families.number('counter', time, from, { state: 'active' }, runtime.activeSeconds)
  families.number('counter', time, from, { state: 'idle' }, runtime.idleSeconds)
  gauge('signalbox.heap.used', 'By', 'Used heap of the thread.', runtime.heapUsedBytes)
  gauge('signalbox.heap.limit', 'By', 'Heap limit of V8 for the thread.', runtime.heapLimitBytes)
  gauge(
    'signalbox.heap.external',
    'By',
    'Memory outside the heap that it holds: Buffers.',
    runtime.externalBytes,
  )
}

function addHost(families: Families, from: MetricsSnapshot): void {
  const { host } = from
  if (!host) return
  for (const [state, count] of Object.entries(host.workers)) {
    families.number(
      'gauge',
      { name: 'signalbox.workers', unit: '{worker}', help: 'Workers of the node by state.' },
      from,
      { state },
      count,
    )
  }
  const replaced = {
    name: 'signalbox.worker.replacements',
    unit: '{worker}',
    help: 'Workers that died and were replaced.',
  }
  families.number('counter', replaced, from, {}, host.replaced)
  families.number(
    'gauge',
    { name: 'signalbox.peers', unit: '{peer}', help: 'Nodes and programs that are attached.' },
    from,
    {},
    host.peers,
  )
  families.number(
    'gauge',
    { name: 'signalbox.process.resident_memory', unit: 'By', help: 'Resident memory of the process.' },
    from,
    {},
    host.residentBytes,
  )
  families.number(
    'counter',
    { name: 'signalbox.process.cpu', unit: 's', help: 'CPU time of the process.' },
    from,
    {},
    host.cpuSeconds,
  )
  families.number(
    'gauge',
    { name: 'signalbox.process.start_time', unit: 's', help: 'Start of the process since the epoch.' },
    from,
    {},
    host.startedAt / 1000,
  )
}
