/** The security policy at start-up: what a node finds in its configuration, and whether it may start with that. */
import { SignalboxError } from '../errors.ts'

/** What the policy does about one kind of risk. */
export type PolicyLevel = 'allowed' | 'warned' | 'refused'

/** A node that people try things on, or one that carries real messages. */
export type Profile = 'development' | 'production'

/** The kinds of risk. */
export type Risk = 'plainTextSecrets' | 'disabledTlsChecks' | 'openAdminPort' | 'codeDeployment'

/** A level for each kind of risk. */
export type Policy = Readonly<Record<Risk, PolicyLevel>>

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

/** What is so. */
export interface PolicyFacts {
  /** Places of secrets that are written down, e.g. `connection/http/partner /credentials/password`. */
  plainTextSecrets: readonly string[]
  /** Resources that do not verify the certificate of the other side. */
  disabledTlsChecks: readonly string[]
  /** Where the admin API listens; undefined when it does not. */
  admin: { host: string; port: number } | undefined
  /** Whether code can be sent to the running node. */
  codeDeployment: boolean
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

const TEXTS: Readonly<Record<Risk, { why: string; fix: string }>> = {
  plainTextSecrets: {
    why: 'A secret is written down in the configuration: whoever reads the file, its history or a backup has it.',
    fix: 'Store it with `signalbox secret put NAME` and write ${' + 'secret:NAME} in its place.',
  },
  disabledTlsChecks: {
    why: 'The certificate of the other side is not verified: anybody in between can read and change everything.',
    fix: 'Give the CA of the other side in tls.ca and leave verification on.',
  },
  openAdminPort: {
    why: 'The admin API listens on an address that other machines reach; it can do everything on the bus.',
    fix: 'Let it listen on 127.0.0.1 and put a VPN or an authenticating proxy before it.',
  },
  codeDeployment: {
    why: 'Code can be sent to the running node: whoever has that right runs code on it, with all its rights.',
    fix: 'Deploy with the configuration and set codeDeployment: false; or allow it in the policy.',
  },
}

/** What the policy says to the facts, the refused findings first. Levels in `changes` replace those of the profile. */
export function checkPolicy(profile: Profile, facts: PolicyFacts, changes: Partial<Policy> = {}): Finding[] {
  const policy: Policy = { ...PROFILES[profile], ...changes }
  const findings = (Object.keys(TEXTS) as Risk[]).flatMap(risk => {
    const level = policy[risk]
    if (level === 'allowed') return []
    return subjectsOf(risk, facts).map((subject): Finding => ({ risk, level, subject, ...TEXTS[risk] }))
  })
  return findings.sort((a, b) => Number(b.level === 'refused') - Number(a.level === 'refused'))
}

/** Throws SIGNALBOX_POLICY_REFUSED with all findings that are refused, if there are any. */
export function enforcePolicy(findings: readonly Finding[]): void {
  const refused = findings.filter(({ level }) => level === 'refused')
  if (refused.length === 0) return
  const list = refused.map(({ risk, subject, why, fix }) => `${risk} (${subject}): ${why} ${fix}`).join('\n')
  throw new SignalboxError(
    'SIGNALBOX_POLICY_REFUSED',
    `the security policy refuses this configuration:\n${list}`,
    {
      details: { findings: refused },
    },
  )
}

function subjectsOf(risk: Risk, facts: PolicyFacts): readonly string[] {
  switch (risk) {
    case 'plainTextSecrets':
      return facts.plainTextSecrets
    case 'disabledTlsChecks':
      return facts.disabledTlsChecks
    case 'openAdminPort':
      return facts.admin === undefined || isLoopback(facts.admin.host)
        ? []
        : [`${facts.admin.host}:${facts.admin.port}`]
    case 'codeDeployment':
      return facts.codeDeployment ? ['node'] : []
  }
}

/** Only what certainly is: a name that a hosts file could send elsewhere is not, except localhost. */
function isLoopback(host: string): boolean {
  const octet = '(25[0-5]|2[0-4]\\d|1?\\d?\\d)'
  return new RegExp(`^(localhost|\\[?::1\\]?|127(\\.${octet}){3})$`, 'i').test(host)
}
