/** How `signalbox ps` shows a node. */
import type { ActorView, NodeView, WorkerView } from '../../actors/admin/operator.ts'
import { type Column, duration, oneLine, paint, table } from '../output.ts'

/** One line of the table of actors: an actor in one worker, or the sum of all that have its address. */
interface ActorLine {
  address: string
  /** The workers it runs on. */
  on: Pick<WorkerView, 'slot' | 'role'>[]
  states: string[]
  endpoint: string | undefined
  rate: number | undefined
  queued: number | undefined
  busy: number | undefined
  handled: number | undefined
  restarts: number | undefined
  lastError: string | undefined
  /** Of a queue or topic. */
  held: string | undefined
}

/** Tables of a node for people. `all` gives one line for each actor of each worker. */
export function nodeText(node: NodeView, options: { all: boolean }, now: number = Date.now()): string {
  const workers = options.all ? node.workers : node.workers.map(withoutInner)
  const lines = actorLines(workers, options.all)
  const sections = [headOf(node, now), table(WORKER_COLUMNS, node.workers)]
  if (node.peers.length > 0) sections.push(table(PEER_COLUMNS, node.peers))
  sections.push(lines.length > 0 ? table(actorColumns(lines, options.all), lines) : 'no actors run')
  return sections.join('\n\n')
}

function headOf(node: NodeView, now: number): string {
  const workers = node.workers.filter(({ role }) => role !== 'keeper').length
  const replaced = node.replaced > 0 ? paint('yellow', `${node.replaced} replaced`) : undefined
  const facts = [
    `node ${oneLine(node.node)}`,
    `signalbox ${oneLine(node.version)}`,
    `up ${duration(now - node.startedAt)}`,
    `${workers} worker${workers === 1 ? '' : 's'}`,
    ...(replaced ? [replaced] : []),
    ...(node.endpoint ? [oneLine(node.endpoint)] : []),
  ]
  return `${paint('bold', oneLine(node.name))}  ${facts.join(', ')}`
}

const WORKER_COLUMNS: Column<WorkerView>[] = [
  { title: 'WORKER', value: nameOf },
  { title: 'PLACE', value: ({ place }) => place },
  { title: 'STATE', value: ({ state }) => state, style: ({ state }) => styleOf([state]) },
  { title: 'ACTORS', value: ({ actors }) => actors.length },
]

const PEER_COLUMNS: Column<NodeView['peers'][number]>[] = [
  { title: 'PEER', value: ({ id }) => id },
  { title: 'ROLE', value: ({ role }) => role },
  { title: 'NAME', value: ({ name }) => name },
]

/** A column of numbers is shown when any actor has one. */
function actorColumns(lines: readonly ActorLine[], all: boolean): Column<ActorLine>[] {
  const counted = (title: string, key: 'rate' | 'queued' | 'busy' | 'handled' | 'restarts') =>
    lines.some(line => line[key] !== undefined) ? [{ title, value: (line: ActorLine) => line[key] }] : []
  return [
    { title: 'ACTOR', value: ({ address }) => address },
    { title: all ? 'WORKER' : 'WORKERS', value: ({ on }) => (all ? nameOf(on[0]!) : on.length) },
    { title: 'STATE', value: ({ states }) => stateOf(states), style: ({ states }) => styleOf(states) },
    ...counted('RATE/s', 'rate'),
    ...counted('QUEUED', 'queued'),
    ...counted('BUSY', 'busy'),
    ...counted('HANDLED', 'handled'),
    ...counted('RESTARTS', 'restarts'),
    { title: 'WHERE / LAST ERROR', value: ({ lastError, endpoint, held }) => lastError ?? endpoint ?? held },
  ]
}

function actorLines(workers: readonly WorkerView[], all: boolean): ActorLine[] {
  const found = workers.flatMap(on => on.actors.map(actor => ({ on, actor })))
  const groups = Map.groupBy(found, ({ on, actor }) => (all ? `${actor.address}\0${on.slot}` : actor.address))
  const lines = Array.from(groups.values(), group => lineOf(group))
  return lines.sort((a, b) => compare(a.address, b.address) || a.on[0]!.slot - b.on[0]!.slot)
}

/** Actors that are parts of others, or of the bus itself. */
const INNER = /^(?:(?:queue|topic)\/.+\/ops|system\/.+|pubsub\/api)$/

function withoutInner(worker: WorkerView): WorkerView {
  return { ...worker, actors: worker.actors.filter(({ address }) => !INNER.test(address)) }
}

function nameOf({ slot, role }: Pick<WorkerView, 'slot' | 'role'>): number | 'keeper' {
  return role === 'keeper' ? 'keeper' : slot
}

/** `12 ready, 3 leased, 1 dead`: of a topic the sum over its subscriptions. Undefined for other actors. */
function heldText({ address, subscriptions }: ActorView): string | undefined {
  if (!/^(?:queue|topic)\//.test(address) || typeof subscriptions !== 'object' || subscriptions === null)
    return undefined
  const counts = Object.values(subscriptions) as Record<string, unknown>[]
  const sum = (state: string) => counts.reduce((all, count) => all + (Number(count?.[state]) || 0), 0)
  const shown = ['ready', 'leased', 'delayed', 'dead'].flatMap(state => {
    const count = sum(state)
    return count > 0 ? `${count} ${state}` : []
  })
  return shown.join(', ') || 'empty'
}

function lineOf(group: readonly { on: WorkerView; actor: ActorView }[]): ActorLine {
  const actors = group.map(({ actor }) => actor)
  const sum = (key: 'rate' | 'queued' | 'busy' | 'handled' | 'restarts') => {
    const values = actors.map(actor => actor[key]).filter(value => typeof value === 'number')
    return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0)
  }
  const rate = sum('rate')
  return {
    address: actors[0]!.address,
    on: group.map(({ on }) => on),
    states: actors.map(({ state }) => state),
    endpoint: actors.find(({ endpoint }) => endpoint)?.endpoint,
    rate: rate === undefined ? undefined : Math.round(rate * 10) / 10,
    queued: sum('queued'),
    busy: sum('busy'),
    handled: sum('handled'),
    restarts: sum('restarts'),
    lastError: actors.find(({ lastError }) => lastError)?.lastError,
    held: actors.map(heldText).find(text => text !== undefined),
  }
}

/** `running`, or `2 running, 1 failed` where workers differ. */
function stateOf(states: readonly string[]): string {
  const groups = Map.groupBy(states, state => state)
  if (groups.size === 1) return states[0]!
  return Array.from(groups, ([state, same]) => `${same.length} ${state}`).join(', ')
}

const GOOD = /^(running|open|ready|started|connected|idle)$/
const BAD = /fail|lost|dead|crash|stuck|error/

function styleOf(states: readonly string[]): 'green' | 'red' | 'yellow' {
  if (states.some(state => BAD.test(state))) return 'red'
  return states.every(state => GOOD.test(state)) ? 'green' : 'yellow'
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
