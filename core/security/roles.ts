/** Who may do what: roles as a table of permissions. What the table does not allow is denied. */

/** Everything that can be allowed, with what it means. The names are `object.verb`. */
export const PERMISSIONS = {
  'resource.read': 'See resources and their options, secrets left out.',
  'resource.write': 'Create, change and delete resources, except security definitions and roles.',
  'security.write': 'Create, change and delete security definitions.',
  'service.invoke': 'Call any service through the admin API.',
  'service.deploy': 'Put new code on the bus. This is the right to run code on every node.',
  'node.read': 'See nodes, workers, actors, metrics and traces.',
  'node.scale': 'Change the number of workers; drain and restart workers.',
  'secret.list': 'See the names of secrets, never their values.',
  'secret.write': 'Store, replace and delete secrets; rotate the master key.',
  'queue.read': 'See queues, topics and subscriptions, without the bodies of messages.',
  'queue.write': 'Send subscriptions back to replay what is kept, or forward.',
  'message.read': 'See the bodies and headers of messages in queues and in the audit log.',
  'message.write': 'Publish messages to queues and topics, and edit those that are in them.',
  'message.replay': 'Send messages again from queues, dead letters and the audit log.',
  'message.delete': 'Take messages away from queues and topics: some, or all.',
  'schedule.write': 'Run schedules now, pause and resume them.',
  'audit.read': 'Read the chain of administrative acts.',
  'user.read': 'See users, their roles and their tokens, without the tokens themselves.',
  'user.write': 'Create, change and delete users and admin tokens; give roles.',
} as const

/** The name of one permission. */
export type Permission = keyof typeof PERMISSIONS

const VIEWER = ['resource.read', 'node.read', 'queue.read'] as const satisfies readonly Permission[]

const OPERATOR = [
  ...VIEWER,
  'node.scale',
  'queue.write',
  'message.read',
  'message.write',
  'message.replay',
  'message.delete',
  'schedule.write',
] as const satisfies readonly Permission[]

const DEVELOPER = [
  ...VIEWER,
  'resource.write',
  'service.invoke',
  'service.deploy',
  'secret.list',
  'message.read',
  'message.write',
  'message.replay',
  'schedule.write',
] as const satisfies readonly Permission[]

/** The roles and what each may do. */
export const ROLES = {
  viewer: VIEWER,
  operator: OPERATOR,
  developer: DEVELOPER,
  admin: Object.keys(PERMISSIONS) as Permission[],
} as const satisfies Record<string, readonly Permission[]>

/** The name of a role. */
export type Role = keyof typeof ROLES

const GRANTS: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(ROLES).map(([role, permissions]) => [role, new Set<string>(permissions)]),
)

/** Whether a text names a role. */
export function isRole(name: string): name is Role {
  return GRANTS.has(name)
}

/**
 * Whether any of the roles has the permission. Unknown roles and unknown permissions allow nothing, and neither
 * does having no role.
 */
export function may(roles: readonly string[] | undefined, permission: Permission): boolean {
  return roles?.some(role => GRANTS.get(role)?.has(permission) === true) ?? false
}

/** Every role with every permission, for documents and for tests that try each. */
export function roleMatrix(): { role: Role; permission: Permission; allowed: boolean }[] {
  const permissions = Object.keys(PERMISSIONS) as Permission[]
  return (Object.keys(ROLES) as Role[]).flatMap(role =>
    permissions.map(permission => ({ role, permission, allowed: may([role], permission) })),
  )
}
