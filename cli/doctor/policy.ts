/** Checks of what the security policy of the project's profile says: the same that a node looks at when it starts. */
import { levelOf, RISKS, type Risk } from '../../core/security/policy.ts'
import { effectiveOf, findingsOf, rulesOf } from '../policy.ts'
import type { Project } from '../project.ts'
import type { Check } from './check.ts'

const TITLES: Readonly<Record<Risk, { id: string; title: string; none: string }>> = {
  plainTextSecrets: { id: 'plain-secrets', title: 'secrets in signalbox.yaml', none: 'none in plain text' },
  disabledTlsChecks: { id: 'tls-checks', title: 'certificates of others', none: 'all are verified' },
  openAdminPort: { id: 'admin-port', title: 'admin API', none: 'no other machine reaches it' },
  codeDeployment: { id: 'code-deployment', title: 'code while it runs', none: 'none is taken' },
}

/** One check for each kind of risk. A refused one fails, because the node would not start. */
export function policyChecks(project: Project): Check[] {
  const rules = rulesOf(project)
  return (Object.keys(TITLES) as Risk[]).map(risk => {
    const { id, title, none } = TITLES[risk]
    return {
      id,
      title,
      run: async () => {
        const found = findingsOf(project, effectiveOf(project)).filter(finding => finding.risk === risk)
        const level = levelOf(rules, risk)
        const places = found.map(({ subject }) => subject).join(', ')
        return {
          status: found.length === 0 ? 'ok' : level === 'refused' ? 'fail' : 'warn',
          detail:
            level === 'allowed' ? 'allowed by the policy' : found.length > 0 ? `${level}: ${places}` : none,
          why: RISKS[risk].why,
          fix: found[0]?.fix ?? RISKS[risk].fix,
        }
      },
    }
  })
}
