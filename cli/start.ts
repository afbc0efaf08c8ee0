/** `signalbox start [dir]`: runs a project until it is told to stop. */
import { join } from 'node:path'
import { Deployer } from '../actors/deployer.ts'
import { auditSettings } from '../core/audit/policy.ts'
import { SignalboxError } from '../core/errors.ts'
import { siblingModule } from '../core/module-url.ts'
import { type Node, startNode } from '../core/node.ts'
import type { Static } from '../core/schema.ts'
import type { ReferenceSources } from '../core/security/references.ts'
import { createLogger, type Logger } from '../core/telemetry/log.ts'
import { type TelemetryOptions, telemetrySettings } from '../core/telemetry/options.ts'
import { Acts } from './acts.ts'
import { isKept } from './kept.ts'
import { LiveResources } from './live-resources.ts'
import { bootFromState, openAdmin, openRecordedState } from './operate.ts'
import { effectiveOf, PolicyGuard, rulesOf } from './policy.ts'
import { withPort } from './ports.ts'
import { loadProject, type Project, withSecrets } from './project.ts'
import { resourceKinds } from './resource-kinds.ts'
import { SavedFiles } from './saved-files.ts'
import type { State } from './state.ts'
import { stateFolderOf } from './state-folder.ts'
import { watchProject } from './watch.ts'
import type { BootConfig } from './worker-boot.ts'

export interface StartOptions {
  workers?: number
  /** Gives the secrets that the project refers to, where there is no state. */
  secret?: ReferenceSources['secret']
  /** Keeps resources, secrets and administrative acts in this folder, and opens the admin API. */
  stateFolder?: string
  /** Where the node itself logs to, instead of standard output; workers have logs of their own. */
  log?: Logger
}

/** A project that runs. */
export interface RunningProject {
  node: Node
  project: Project
  deployer: Deployer
  /** Where the admin API listens; undefined where it does not. */
  admin: string | undefined
  /** Takes nothing new, finishes what is under way within `drainMs`, ends everything. */
  stop(drainMs?: number): Promise<void>
}

/**
 * Starts the node of a project, and deploys what is saved below its folder from then on. Rejects with
 * SIGNALBOX_POLICY_REFUSED when the security policy of its profile refuses it.
 */
export async function startProject(folder: string, options: StartOptions = {}): Promise<RunningProject> {
  const project = await loadProject(folder)
  const state = options.stateFolder === undefined ? undefined : await openRecordedState(options.stateFolder)
  try {
    return await run(project, options, state)
  } catch (error) {
    await state?.close()
    throw error
  }
}

async function run(
  written: Project,
  options: StartOptions,
  state: State | undefined,
): Promise<RunningProject> {
  const secret = state ? (name: string) => state.vault.get(name) : (options.secret ?? noSecrets)
  const project = await withSecrets(written, secret)
  const telemetry = telemetrySettings(
    project.telemetry as Static<typeof TelemetryOptions> | undefined,
    process.env,
    project.name,
  )
  const log = options.log ?? createLogger({ node: project.node }, telemetry.logs)
  const guard = new PolicyGuard(rulesOf(project), log)
  const running = () => node.host.workers.filter(({ state: its }) => its === 'ready')
  const live =
    state &&
    new LiveResources({
      store: state.store,
      kinds: resourceKinds,
      sources: { secret },
      root: project.root,
      enforce: resources => guard.enforceResources(resources),
      workers: running,
      keeper: () => node.host.startKeeper(),
      keptFolder: join(state.folder, 'messages'),
      audit: auditSettings(project.audit),
      log,
    })
  if (!live) {
    refuseKept(project)
    guard.enforceStart(written, effectiveOf(project))
  }
  const first = live ? await bootFromState(live, state, written, guard, log) : configOf(project)
  const config = {
    ...first,
    keepsState: live !== undefined,
    channels: await Promise.all(first.channels.map(withPort)),
  }
  const current = (): BootConfig => live?.current ?? config
  live?.begin(config)
  const workers = options.workers ?? project.workers
  let deployer: Deployer | undefined
  const node: Node = await startNode({
    nodeId: project.node,
    boot: siblingModule(import.meta.url, 'worker-boot'),
    config: current,
    ...(live && {
      keeper: {
        boot: siblingModule(import.meta.url, 'keeper-boot'),
        config: () => live.keeper,
        first: live.keepsMessages,
      },
    }),
    // Before the first workers are there nothing is known that they could have missed.
    onReady: async worker => deployer?.welcome(worker),
    log,
    telemetry,
    ...(workers !== undefined && { workers }),
    ...(project.limits && { limits: project.limits }),
    ...(project.network && { network: networkOf(project) }),
  })
  const roll = (files: string[]) => node.host.roll({ ...current(), mustLoad: files } satisfies BootConfig)
  deployer = new Deployer(project.root, { workers: running, roll }, log)
  await deployer.start()
  const files = new SavedFiles({ deployer, guard, acts: state && new Acts(state.acts), log })
  const watching = await watchProject(project.root, files, log)
  const admin = live && (await openAdmin({ node, project: written, deployer, live, guard, state, log }))
  const stop = async (drainMs?: number): Promise<void> => {
    admin?.beginStop()
    await watching.close()
    await node.stop(drainMs)
    await admin?.close()
    await state?.close()
  }
  return { node, project, deployer, admin: admin?.url, stop }
}

function configOf({ root, security, channels, connections }: Project): BootConfig {
  return { root, security, channels, connections, consumers: [] }
}

/** Without a folder for its state a node can keep nothing. */
function refuseKept({ resources }: Project): void {
  const kept = resources.find(({ kind }) => isKept(kind))
  if (!kept) return
  const message = `${kept.kind} ${kept.name} needs a folder to keep its messages in, and this node has none`
  throw new SignalboxError('SIGNALBOX_USAGE', message)
}

async function noSecrets(name: string): Promise<never> {
  const message = `the project refers to the secret ${name}, and this node has no store of secrets`
  throw new SignalboxError('SIGNALBOX_SECRET_UNKNOWN', message, { details: { name } })
}

function networkOf({ network }: Project) {
  const { publicKey, secretKey, host, port, peers, clients } = network!
  if (secretKey.length !== 40) {
    throw new SignalboxError(
      'SIGNALBOX_CONFIG_INVALID',
      'network.secretKey is not a CURVE key of 40 characters',
    )
  }
  return {
    host: host ?? '127.0.0.1',
    port,
    keys: { publicKey, secretKey },
    peers: peers ?? [],
    clients: clients ?? [],
  }
}

/** Runs a project until SIGTERM or SIGINT, and says where it is and what to try. */
export async function start(folder: string, options: StartOptions): Promise<void> {
  const starting = startProject(folder, { stateFolder: stateFolderOf(folder), ...options })
  // It may be told to stop before it has begun.
  stopOnSignals(async () => (await starting).stop())
  const { node, project, admin } = await starting
  console.log(await welcome(node, project, admin))
}

/** What a person wants to know of a node that has just started. */
async function welcome(node: Node, project: Project, admin: string | undefined): Promise<string> {
  const { workers } = await node.inspect()
  const lines = [
    `${project.name} runs on ${node.host.workers.length} workers (pid ${process.pid}). Stop it with Ctrl-C.`,
    '',
  ]
  for (const { name, type, options } of project.channels) {
    const address = `channel/${type}/${name}`
    const actor = workers
      .flatMap(({ actors }) => actors as { address: string; endpoint?: string }[])
      .find(other => other.address === address)
    lines.push(`  ${address}  ${actor?.endpoint ?? JSON.stringify(options)}`)
  }
  if (admin) lines.push(`  admin API  ${admin}  (signalbox ps, diff, apply, tail, ...)`)
  if (node.endpoint) lines.push(`  nodes and programs attach at ${node.endpoint}`)
  if (project.try.length > 0) lines.push('', 'Try:', ...project.try.map(command => `  ${command}`))
  return `${lines.join('\n')}\n`
}

/** Stops the node at SIGTERM or SIGINT; a second signal ends the process at once. */
export function stopOnSignals(end: () => Promise<void>): void {
  let stopping = false
  const stop = () => {
    if (stopping) process.exit(130)
    stopping = true
    end().then(
      () => process.exit(0),
      error => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
