/** The security policy: what a node finds in its configuration, and whether it may run with that. */
import { SignalboxError } from '../errors.ts'

/** What the policy does about one kind of risk. */
export type PolicyLevel = 'allowed' | 'warned' | 'refused'

/** A node that people try things on, or one that carries real messages. */
export type Profile = 'development' | 'production'

/** The kinds of risk. */
export type Risk = 'plainTextSecrets' | 'disabledTlsChecks' | 'openAdminPort' | 'codeDeployment'

/** A level for each kind of risk. */
export type Policy = Readonly<Record<Risk, PolicyLevel>>

/** The policy of a project: its profile, and the levels that it changes. */
export interface PolicyRules {
  profile: Profile
  changes?: { readonly [R in Risk]?: PolicyLevel | undefined } | undefined
}

/** What each profile does. Production refuses everything until an operator allows it by name. */
export const PROFILES: Readonly<Record<Profile, Policy>> = {
  development: {
    plainTextSecrets: 'warned',
    disabledTlsChecks: 'warned',
    openAdminPort: 'warned',
    codeDeployment: 'allowed',
  },
  production: {
    plainTextSecrets: 'refused',
    disabledTlsChecks: 'refused',
    openAdminPort: 'refused',
    codeDeployment: 'refused',
  },
}

/** What is so. What is left out is not there. */
export interface PolicyFacts {
  /** Places of secrets that are written down, e.g. `connection/http/partner /options/auth/basic/password`. */
  plainTextSecrets?: readonly string[]
  /** Places where the certificate of the other side is not verified. */
  disabledTlsChecks?: readonly string[]
  /** Where the admin API listens; undefined when it does not. */
  admin?: { host: string; port: number } | undefined
  /** By what code comes into the running node, e.g. `service-file/a.ts`. */
  codeDeployment?: readonly string[]
}

/** One risk that is there. */
export interface Finding {
  risk: Risk
  level: 'warned' | 'refused'
  /** What it is about: a place, a resource, an address. */
  subject: string
  why: string
  fix: string
}

/** The kinds of risk, what is wrong with each, and what to do. */
export const RISKS: Readonly<Record<Risk, { why: string; fix: string }>> = {
  plainTextSecrets: {
    why: 'A secret is written down in the configuration: whoever reads the file, its history or a backup has it.',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
    fix: 'Write ${env:NAME}, or store it with `signalbox secret set NAME` and write ${secret:NAME} in its place.',
  },
  disabledTlsChecks: {
    why: 'The certificate of the other side is not verified: anybody in between can read and change everything.',
    fix: 'Give the CA of the other side in tls.ca and leave verification on.',
  },
  openAdminPort: {
    why: 'The admin API listens on an address that other machines reach; it can do everything on the bus.',
    fix: 'Let it listen on 127.0.0.1 (admin.host) and put a VPN or an authenticating proxy before it.',
  },
  codeDeployment: {
    why: 'Code can be sent to the running node: whoever has that right runs code on it, with all its rights.',
    fix: 'Put the code in services/ and start the node again.',
  },
}

/** The level of one kind of risk under these rules. */
export function levelOf({ profile, changes }: PolicyRules, risk: Risk): PolicyLevel {
  return changes?.[risk] ?? PROFILES[profile][risk]
}

/** What the policy says to the facts, the refused findings first. */
export function checkPolicy(rules: PolicyRules, facts: PolicyFacts): Finding[] {
  const findings = (Object.keys(RISKS) as Risk[]).flatMap(risk => {
    const level = levelOf(rules, risk)
    if (level === 'allowed') return []
    return subjectsOf(risk, facts).map((subject): Finding => {
      const { why, fix } = RISKS[risk]
      const override = `Where it must be so: policy: { ${risk}: ${level === 'refused' ? 'warned' : 'allowed'} } in signalbox.yaml.`
      return { risk, level, subject, why, fix: `${fix} ${override}` }
    })
  })
  return findings.sort((a, b) => Number(b.level === 'refused') - Number(a.level === 'refused'))
}

/** Throws SIGNALBOX_POLICY_REFUSED with all findings that are refused, if there are any. `status`: that of its answer. */
export function enforcePolicy(findings: readonly Finding[], status?: number): void {
  const refused = findings.filter(({ level }) => level === 'refused')
  if (refused.length === 0) return
  const list = refused.map(({ risk, subject, why, fix }) => `${risk} (${subject}): ${why} ${fix}`).join('\n')
  throw new SignalboxError('SIGNALBOX_POLICY_REFUSED', `the security policy refuses:\n${list}`, {
    details: { findings: refused },
    ...(status !== undefined && { status }),
  })
}

function subjectsOf(risk: Risk, facts: PolicyFacts): readonly string[] {
  if (risk !== 'openAdminPort') return facts[risk] ?? []
  const { admin } = facts
  return admin === undefined || isLoopback(admin.host) ? [] : [`${admin.host}:${admin.port}`]
}

/** Only what certainly is: a name that a hosts file could send elsewhere is not, except localhost. */
function isLoopback(host: string): boolean {
  const octet = '(25[0-5]|2[0-4]\\d|1?\\d?\\d)'
  return new RegExp(`^(localhost|\\[?::1\\]?|127(\\.${octet}){3})$`, 'i').test(host)
}
