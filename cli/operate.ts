/** A node that is operated: it starts with what its store has, and opens the admin API. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authenticated } from '../actors/admin/auth.ts'
import type { TailEvent, TailFilter } from '../actors/admin/operator.ts'
import { AdminServer, DEFAULT_ADMIN_PORT } from '../actors/admin/server.ts'
import type { Deployer } from '../actors/deployer.ts'
import type { SignalboxError } from '../core/errors.ts'
import type { Node } from '../core/node.ts'
import { may } from '../core/security/roles.ts'
import type { Logger } from '../core/telemetry/log.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type Doer, objectsOfAll } from './acts.ts'
import type { LiveResources } from './live-resources.ts'
import { BusOperator } from './operator.ts'
import type { PolicyGuard } from './policy.ts'
import type { Project } from './project.ts'
import { resourceKinds } from './resource-kinds.ts'
import { openState, type State } from './state.ts'
import { TOKEN_FILE, URL_FILE } from './state-folder.ts'
import type { BootConfig } from './worker-boot.ts'

const APPLIED = 'applied-file'
/** The node itself, when it starts. */
const START: Doer = { who: 'start' }

/** Opens the state of a node, and records it when that has made the master key. */
export async function openRecordedState(folder: string): Promise<State> {
  const keyFile = join(folder, 'master.key')
  const hadKey = existsSync(keyFile)
  const state = await openState(folder)
  if (!hadKey && existsSync(keyFile)) {
    const target = `master-key/${state.vault.keyIds[0]}`
    await state.acts.append({ ...START, what: 'secret.write', target, result: 'ok' })
  }
  return state
}

/**
 * What the node runs: what it ran before, or what signalbox.yaml says when that has changed since it was last applied.
 * Rejects with SIGNALBOX_POLICY_REFUSED before anything is stored.
 */
export async function bootFromState(
  live: LiveResources,
  state: State,
  project: Project,
  guard: PolicyGuard,
  log: Logger,
): Promise<BootConfig> {
  await live.load()
  const text = await readFile(join(project.root, 'signalbox.yaml'), 'utf8')
  const hash = createHash('sha256').update(text).digest('hex')
  const applied = await state.store.get<string>('node', APPLIED)
  const current = live.list().map(({ value }) => value)
  const isNew = applied?.value !== hash
  guard.enforceStart(project, await live.effective(isNew ? project.resources : current))
  if (isNew) {
    const changes = await live.seed(project.resources)
    await state.store.put('node', APPLIED, hash)
    if (changes.length > 0) {
      const ids = changes.map(({ id }) => id)
      const objects = objectsOfAll(resourceKinds, ids, current, project.resources)
      const act = { ...START, what: 'resource.write', target: 'signalbox.yaml', ...objects, result: 'ok' }
      await state.acts.append(act)
      if (applied) log.info({ changes: changes.length }, 'signalbox.yaml has changed and was applied')
    }
  }
  return live.bootConfig()
}

export interface AdminParts {
  node: Node
  project: Project
  deployer: Deployer
  live: LiveResources
  guard: PolicyGuard
  state: State
  log: Logger
}

export interface OpenAdmin {
  url: string | undefined
  /** The node is not ready for new messages any more. */
  beginStop(): void
  close(): Promise<void>
}

/** Opens the admin API, and makes its first token. Where its port is taken the node goes on without, and says so. */
export async function openAdmin(parts: AdminParts): Promise<OpenAdmin> {
  const { node, project, deployer, live, guard, state, log } = parts
  if ((await state.tokens.first(join(state.folder, TOKEN_FILE))) !== undefined) {
    const after = { name: 'admin', role: 'admin' }
    await state.acts.append({
      ...START,
      what: 'user.write',
      target: 'admin-token/admin',
      after,
      result: 'ok',
    })
  }
  const operator = new BusOperator({
    node,
    name: project.name,
    version: packageJson.version,
    settings: project.settings,
    deployer,
    resources: live,
    guard,
    kinds: resourceKinds,
    state,
    telemetry: {
      metrics: () => node.telemetry.prometheus(),
      tail: (filter, listener) => tailOf(node, filter, listener, log),
    },
    log,
  })
  const server = new AdminServer({
    operator,
    host: project.admin?.host ?? '127.0.0.1',
    port: project.admin?.port ?? DEFAULT_ADMIN_PORT,
    authenticate: token => actorOf(state, token),
    may,
    log,
  })
  const url = await listen(server, project, log)
  const urlFile = join(state.folder, URL_FILE)
  // What a node that was killed has left would lead elsewhere.
  if (url === undefined) await rm(urlFile, { force: true })
  else await writeFile(urlFile, `${reachable(url)}\n`, { mode: 0o600 })
  return {
    url,
    beginStop: () => {
      operator.draining = true
    },
    close: async () => {
      if (url !== undefined) await rm(urlFile, { force: true })
      await server.close()
    },
  }
}

/** An address of this machine that leads to one which stands for all of them. */
function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

async function listen(server: AdminServer, project: Project, log: Logger): Promise<string | undefined> {
  try {
    return (await server.start()).url
  } catch (error) {
    // Asked for by name it must be there; the default may be taken by another node of this machine.
    if (project.admin) throw error
    const { code, message } = error as SignalboxError
    log.warn(
      { code },
      `the admin API is not open: ${message}; give this node another port: admin: { port: 7701 }`,
    )
    return undefined
  }
}

async function actorOf(state: State, token: string | undefined): Promise<Authenticated | undefined> {
  const found = token === undefined ? undefined : await state.tokens.identify(token)
  if (found === undefined) return undefined
  const { name, roles = [] } = found.identity
  return { name, roles, ...(found.expired && { expired: true }) }
}

/** Hands the live events of all workers to a listener, until it has enough. */
function tailOf(
  node: Node,
  filter: TailFilter,
  listener: (event: TailEvent) => void,
  log: Logger,
): () => void {
  const stop = new AbortController()
  const read = async () => {
    for await (const { events } of node.telemetry.tail(filter, stop.signal)) {
      for (const event of events) {
        listener({ node: node.id, address: event.to ?? event.from ?? '', ...event })
      }
    }
  }
  read().catch(error => {
    if (!stop.signal.aborted) log.warn({ err: error }, 'the tail has ended')
  })
  return () => stop.abort()
}
