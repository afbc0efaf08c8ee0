/** The security policy of a node that starts or runs: refuses what is refused, and warns of the rest once. */
import type { EffectiveResource } from '../core/resource/policy-facts.ts'
import { factsOfResources, factsOfSettings, joinFacts } from '../core/resource/policy-facts.ts'
import type { ResourceKind } from '../core/resource/resource.ts'
import type { Settings } from '../core/resource/settings.ts'
import {
  checkPolicy,
  enforcePolicy,
  type Finding,
  levelOf,
  type PolicyFacts,
  type PolicyRules,
} from '../core/security/policy.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { Project } from './project.ts'
import { resourceKinds } from './resource-kinds.ts'

/** The rules of a project. */
export function rulesOf({ profile, policy }: Pick<Project, 'profile' | 'policy'>): PolicyRules {
  return { profile, changes: policy }
}

/** What the policy says to a whole project; `resources` with the options that they will have. */
export function findingsOf(project: Project, resources: readonly EffectiveResource[]): Finding[] {
  const rules = rulesOf(project)
  // Where code is refused, the node takes none: that is no reason not to start.
  const takesCode = levelOf(rules, 'codeDeployment') !== 'refused'
  const facts = joinFacts(
    factsOfResources(resources, resourceKinds),
    factsOfSettings(project.settings, project.admin),
    { codeDeployment: takesCode ? ['files that are saved, and the admin API'] : [] },
  )
  return checkPolicy(rules, facts)
}

/** The options of a project as far as they are known without its secrets. */
export function effectiveOf({ resources, channels, connections, security }: Project): EffectiveResource[] {
  const configs = new Map<ResourceKind, readonly { name: string; options: unknown }[]>([
    ['channel', channels],
    ['connection', connections],
    ['security', security],
  ])
  return resources.map(resource => ({
    resource,
    options: configs.get(resource.kind)?.find(({ name }) => name === resource.name)?.options,
  }))
}

/** Holds a node to the policy that it was started with, whatever is applied to it later. */
export class PolicyGuard {
  readonly #rules: PolicyRules
  readonly #log: Logger
  readonly #warned = new Set<string>()

  constructor(rules: PolicyRules, log: Logger) {
    this.#rules = rules
    this.#log = log
  }

  /** Whether code may come in while the node runs. */
  get takesCode(): boolean {
    return levelOf(this.#rules, 'codeDeployment') !== 'refused'
  }

  /** For a start. Throws SIGNALBOX_POLICY_REFUSED with all that is refused. */
  enforceStart(project: Project, resources: readonly EffectiveResource[]): void {
    this.#act(findingsOf(project, resources))
  }

  /** For resources that are to be run. Throws SIGNALBOX_POLICY_REFUSED (403). */
  enforceResources(resources: readonly EffectiveResource[]): void {
    this.#enforce(factsOfResources(resources, resourceKinds))
  }

  /** For the settings of a file that is to be applied: the node would start with them the next time. */
  enforceSettings(settings: Readonly<Record<string, unknown>>, admin: Settings['admin']): void {
    const listens = admin && { host: admin.host ?? '127.0.0.1', port: admin.port }
    this.#enforce(factsOfSettings(settings, listens, {}))
  }

  /** For code that is to be run. Throws SIGNALBOX_POLICY_REFUSED (403). */
  enforceCode(target: string): void {
    // Of code that is taken the start has warned already.
    if (!this.takesCode) this.#enforce({ codeDeployment: [target] })
  }

  #enforce(facts: PolicyFacts): void {
    this.#act(checkPolicy(this.#rules, facts), 403)
  }

  #act(findings: readonly Finding[], status?: number): void {
    enforcePolicy(findings, status)
    for (const { risk, subject, why, fix } of findings) {
      const known = `${risk} ${subject}`
      if (this.#warned.has(known)) continue
      this.#warned.add(known)
      this.#log.warn({ risk, subject, fix }, `security policy: ${subject}: ${why}`)
    }
  }
}
