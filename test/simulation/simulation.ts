/** One simulation from a seed: a time of chaos, then calm, then the check of everything that has to hold. */
import { SignalboxError } from '../../core/errors.ts'
import { SimulatedJournal } from '../../core/store/messages/journal-test-kit.ts'
import { MessageLog } from '../../core/store/messages/message-log.ts'
import { Consumer, Link, Operator, type Parts, Publisher } from './clients.ts'
import { Process, type Sabotage, SimulatedNode } from './node.ts'
import { type Plan, planOf } from './plan.ts'
import { bytesOf, Truth } from './truth.ts'
import { World } from './world.ts'

export interface Outcome {
  violations: readonly string[]
  history: readonly string[]
  counts: Truth['counts']
}

const MOST_MS = 120_000
/** Mean pause until a second log is opened on what is on the disk, to compare. */
const TWIN_EVERY_MS = 25

export async function simulate(seed: number, sabotage: Sabotage = {}): Promise<Outcome> {
  Publisher.numbers = 0
  Link.pending = 0
  const world = new World(seed)
  const plan = planOf(world)
  const truth = new Truth(world, plan)
  const node = new SimulatedNode(world, plan, truth, sabotage)
  const parts = { world, plan, truth, node }
  world.note(JSON.stringify(plan))
  void node.start()
  await chaos(parts)
  await calm(parts)
  await aftermath(parts)
  return { violations: truth.violations, history: world.history, counts: truth.counts }
}

async function chaos(parts: Parts): Promise<void> {
  const { world, plan, node } = parts
  const end = world.time + plan.activeMs
  const isOver = () => world.time >= end
  let active = 0
  const begin = (work: Promise<void>) => {
    active++
    void work.then(() => active--)
  }
  for (let i = 1; i <= plan.publishers; i++) begin(new Publisher(parts, `p${i}`).run(isOver))
  for (const name of Object.keys(plan.subscriptions)) {
    for (let i = 1; i <= plan.consumers; i++)
      void new Consumer(parts, `${name}-${i}`, name).run(() => node.done)
  }
  if (plan.chaos.operator) begin(new Operator(parts).run(isOver))
  if (plan.chaos.crash) begin(crashes(parts, isOver))
  if (plan.chaos.disk) begin(diskFaults(parts, isOver))
  if (plan.chaos.clock) begin(clockJumps(parts, isOver))
  if (plan.chaos.actor) begin(actorFailures(parts, isOver))
  begin(twins(parts, isOver))
  const done = await world.run(() => isOver() && active === 0, MOST_MS)
  if (!done) parts.truth.violation('what was begun does not end')
  node.disk.failure = undefined
  node.disk.full = false
}

async function crashes({ world, node, plan }: Parts, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await world.sleep((0.05 + world.random()) * 0.4 * plan.activeMs)
    if (!node.process) continue
    node.crash()
    await world.sleep(world.random() * 20)
    void node.start()
  }
}

async function diskFaults({ world, node }: Parts, isOver: () => boolean): Promise<void> {
  const { disk } = node
  while (!isOver()) {
    await world.sleep(world.random() * 200)
    if (world.chance(0.5)) disk.full = true
    else disk.failure = new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', 'the simulated disk fails')
    world.note(`disk ${disk.full ? 'full' : 'fails'}`)
    await world.sleep(world.random() * 60)
    disk.full = false
    disk.failure = undefined
    world.note('disk works')
  }
}

async function clockJumps({ world, truth }: Parts, isOver: () => boolean): Promise<void> {
  const HOUR = 3_600_000
  while (!isOver()) {
    await world.sleep(world.random() * 300)
    const ms = world.pick([HOUR, -HOUR, 5_000, -5_000, 86_400_000])
    world.jump(ms)
    truth.jumped()
    world.note(`clock ${ms}`)
  }
}

async function actorFailures(parts: Parts, isOver: () => boolean): Promise<void> {
  const link = new Link(parts)
  while (!isOver()) {
    await parts.world.sleep(parts.world.random() * 200)
    await link.call('fail').catch(() => parts.world.note('actor fails'))
  }
}

/** Now and then, when nothing is being written, another log is opened on the same disk: it must know the same. */
async function twins(parts: Parts, isOver: () => boolean): Promise<void> {
  const { world, node } = parts
  while (!isOver()) {
    await world.sleep(1 + world.random() * 2 * TWIN_EVERY_MS)
    const { process } = node
    if (process?.log && process.journal.waiting === 0 && !node.disk.failure) await compare(parts, process)
  }
}

async function compare(parts: Parts, process: Process): Promise<void> {
  try {
    await compareAll(parts, process)
  } catch (error) {
    parts.truth.violation(`what is on the disk cannot be read after a restart: ${String(error)}`)
  }
}

async function compareAll({ world, plan, node, truth }: Parts, process: Process): Promise<void> {
  const { log } = process
  const journal = new SimulatedJournal(node.disk.copy(), self => self.step(), plan.segmentBytes)
  const { settings } = plan
  const clock = world.clock(() => false)
  const twin = await MessageLog.open({ journal, settings, clock, random: () => 0 })
  const names = (of: MessageLog) => of.subscriptions().map(({ name }) => name)
  if (process.journal.waiting > 0) return
  const [here, there] = [names(log!), names(twin)]
  if (here.join() !== there.join()) truth.violation(`subscriptions are ${here}; after a restart ${there}`)
  for (const name of here.filter(name => there.includes(name))) {
    const withSettled = settings.keep === undefined
    const before = await Process.dump(log!, name, withSettled)
    const after = await Process.dump(twin, name, withSettled)
    if (process.journal.waiting > 0) return
    if (before.join('\n') === after.join('\n')) continue
    const gone = before.filter(line => !after.includes(line))
    const come = after.filter(line => !before.includes(line))
    truth.violation(`${name} after a restart is without [${gone}] but with [${come}]`)
    world.note(`${name}: a restart differs`)
  }
  checkCounts(log!, truth, 'now')
  checkCounts(twin, truth, 'after a restart')
}

function checkCounts(log: MessageLog, truth: Truth, when: string): void {
  const { messages, bytes, kept, subscriptions } = log.counts()
  let most = 0
  let sum = 0
  for (const [name, { ready, leased, delayed, dead }] of Object.entries(subscriptions)) {
    const owed = ready + leased + delayed + dead
    most = Math.max(most, owed)
    sum += owed
    if (Math.min(ready, leased, delayed, dead) < 0) truth.violation(`${name}: counts below 0, ${when}`)
  }
  if (messages < most || messages > sum || bytes < messages || kept < 0) {
    truth.violation(
      `${messages} messages of ${bytes} bytes and ${kept} kept; subscriptions owe ${most} to ${sum}, ${when}`,
    )
  }
}

/** Nothing goes wrong any more: everything has to be handled. */
async function calm(parts: Parts): Promise<void> {
  const { world, node, truth } = parts
  node.calm = true
  world.note('calm')
  if (!node.process) void node.start()
  const idle = () => {
    const { process } = node
    if (!process?.log) return false
    const { subscriptions } = process.log.counts()
    if (process.journal.waiting > 0) return false
    return Object.keys(parts.plan.subscriptions).every(name => {
      const counts = subscriptions[name]
      return counts !== undefined && counts.ready + counts.leased + counts.delayed === 0
    })
  }
  if (!(await world.run(idle, MOST_MS))) {
    truth.violation(`messages stay: ${JSON.stringify(node.process?.log?.counts())}`)
  }
}

async function aftermath(parts: Parts): Promise<void> {
  const { world, node, truth, plan } = parts
  const { process } = node
  node.done = true
  const log = process?.raw
  if (!process || !log) return truth.violation('there is no process at the end')
  let done = false
  const look = async () => {
    await compare(parts, process)
    for (const name of Object.keys(plan.subscriptions)) {
      const { messages } = await log.browse({ subscription: name, states: ['dead'], limit: 1_000 })
      truth.finished(name, messages)
      const counted = log.counts().subscriptions[name]?.dead
      if (counted !== messages.length)
        truth.violation(`${name}: ${messages.length} dead letters, counted ${counted}`)
      await log.purge(name, ['dead'])
    }
    const { messages, bytes } = log.counts()
    if (messages !== 0 || bytes !== 0)
      truth.violation(`${messages} messages of ${bytes} bytes stay when all is purged`)
    await spaceComesBack(parts, log)
    done = true
  }
  void look().catch(error => {
    truth.violation(`the last look failed: ${(error as Error).stack}`)
    done = true
  })
  if (!(await world.run(() => done, 10 * MOST_MS))) truth.violation('the last look does not end')
}

/** When ids and kept messages are forgotten, and some messages have gone through, the disk is nearly empty. */
async function spaceComesBack({ world, node, truth, plan }: Parts, log: MessageLog): Promise<void> {
  const { dedupWindowMs = 0, keep } = plan.settings
  await world.sleep(dedupWindowMs + (keep?.ageMs ?? 0) + 5_000)
  for (let i = 0; i < 20; i++) {
    await log.publish([{ content: bytesOf({ number: -i, version: 0 }) }])
    for (const name of Object.keys(plan.subscriptions)) {
      const taken = await node.process!.raw!.take(name, 100)
      await log.settle(
        name,
        taken.map(({ message: { seq }, lease }) => ({ seq, lease })),
      )
    }
    await world.sleep(100)
  }
  await world.sleep((keep?.ageMs ?? 0) + 5_000)
  // Ages go by the wall clock, so after that was put back old messages are kept long.
  if (plan.chaos.clock && keep) return
  const bytes = [...node.disk.records.values()].reduce((sum, { length }) => sum + length, 0)
  if (bytes > 3 * plan.segmentBytes + 2_000) truth.violation(`${bytes} bytes stay on the disk`)
}

export type { Plan }
