/** A project: a folder with `signalbox.yaml` and `services/`. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { SecurityConfig } from '../actors/channel-security.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import { SignalboxError } from '../core/errors.ts'
import { withFilePaths } from '../core/resource/file-paths.ts'
import { resolveOptions } from '../core/resource/option-values.ts'
import { type ParsedProjectFile, parseProjectFile } from '../core/resource/project-file.ts'
import { idOf, type Resource, type ResourceKind } from '../core/resource/resource.ts'
import type { Settings } from '../core/resource/settings.ts'
import type { Profile } from '../core/security/policy.ts'
import { type ReferenceSources, resolveReferences } from '../core/security/references.ts'
import { TelemetryOptions } from '../core/telemetry/options.ts'
import { resourceKinds } from './resource-kinds.ts'

/**
 * A project with options that are valid and complete. Secrets are references until {@link withSecrets} has put their
 * values in their place.
 */
export interface Project {
  /** Absolute path of the folder. */
  root: string
  name: string
  node: string
  profile: Profile
  /** Levels of the security policy in the place of those of the profile. */
  policy: Settings['policy']
  workers: number | undefined
  limits: Settings['limits']
  network: Settings['network']
  /** Where the admin API listens; undefined when it does not. */
  admin: { host: string; port: number } | undefined
  telemetry: unknown
  audit: Settings['audit']
  /** Commands to show when it has started. */
  try: string[]
  channels: EndpointConfig[]
  connections: EndpointConfig[]
  security: SecurityConfig[]
  /** Everything but the resources, as it was written. */
  settings: Record<string, unknown>
  /** Everything that is configured, as it was written. */
  resources: Resource[]
}

/** Reads a project. Throws SIGNALBOX_CONFIG_INVALID with the line of what is wrong. */
export async function loadProject(folder: string): Promise<Project> {
  const root = resolve(folder)
  const path = join(root, 'signalbox.yaml')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    const message = `${path} cannot be read: a project is a folder with a signalbox.yaml`
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', message, { cause })
  }
  return parseProject(text, root, path)
}

/** Parses the text of a `signalbox.yaml`. Throws SIGNALBOX_CONFIG_INVALID with everything that is wrong. */
export function parseProject(text: string, root: string, path = 'signalbox.yaml'): Project {
  const file = parseProjectFile(text, path, resourceKinds, { telemetry: TelemetryOptions })
  const { effective } = file
  return {
    root,
    name: effective.name ?? 'signalbox',
    node: effective.node ?? 'node',
    profile: effective.profile ?? 'development',
    policy: effective.policy,
    workers: effective.workers,
    limits: effective.limits,
    network: effective.network,
    admin: effective.admin && { host: effective.admin.host ?? '127.0.0.1', port: effective.admin.port },
    telemetry: effective.telemetry,
    audit: effective.audit,
    try: effective.try ?? [],
    channels: configsOf('channel', file),
    connections: configsOf('connection', file),
    security: configsOf('security', file),
    settings: file.settings,
    resources: file.resources,
  }
}

/**
 * The project with all secrets filled in, to be run and never to be shown; `resources` stay as they were written.
 * Rejects with SIGNALBOX_SECRET_UNKNOWN, and with SIGNALBOX_OPTIONS_INVALID when a secret does not fit its place.
 */
export async function withSecrets(project: Project, secret: ReferenceSources['secret']): Promise<Project> {
  const sources: ReferenceSources = { secret }
  const [channels, connections, security, network, telemetry] = await Promise.all([
    resolved('channel', project, sources),
    resolved('connection', project, sources),
    resolved('security', project, sources),
    resolveReferences(project.network, sources, '/network'),
    resolveReferences(project.telemetry, sources, '/telemetry'),
  ])
  return { ...project, channels, connections, security, network, telemetry }
}

function configsOf(kind: ResourceKind, { resources, options }: ParsedProjectFile): EndpointConfig[] {
  return ofKind(kind, resources).map(resource => configOf(resource, options.get(idOf(resource))))
}

function resolved(kind: ResourceKind, { resources, root }: Project, sources: ReferenceSources) {
  return Promise.all(
    ofKind(kind, resources).map(async resource => {
      const schema = resourceKinds.schemaOf(kind, resource.type)!
      const options = await resolveOptions(schema, resource.options, idOf(resource), sources)
      return configOf(resource, withFilePaths(schema, options, root))
    }),
  )
}

function ofKind(kind: ResourceKind, resources: readonly Resource[]): Resource[] {
  return resources.filter(resource => resource.kind === kind)
}

function configOf({ name, type, security }: Resource, options: unknown): EndpointConfig {
  return { name, type, options, ...(security && { security }) }
}
