/**
 * Every route of the admin API: a table, from which the server, its OpenAPI description and the test of every role
 * against every route are made.
 */

import type { Permission } from '../../core/security/roles.ts'

/** What a role may be allowed to do; see core/security/roles.ts. `undefined`: no token is needed. */
export type RoutePermission = Permission | undefined

export interface AdminRoute {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** find-my-way path; `*` is the rest. */
  path: string
  permission: RoutePermission
  /** Name of the handler in handlers.ts. */
  handler: string
  summary: string
  /** Whether each request is recorded in the chain of administrative acts; one that is denied always is. */
  act?: true
  /** Default: `json` for PUT and POST, `none` for GET and DELETE. */
  body?: 'json' | 'text' | 'none'
}

// biome-ignore format: a table, one route a line
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  { method: 'GET', path: '/health/live', permission: undefined, handler: 'live', summary: 'Whether the node works at all' },
  { method: 'GET', path: '/health/ready', permission: undefined, handler: 'ready', summary: 'Whether the node takes messages' },
  { method: 'GET', path: '/metrics', permission: 'node.read', handler: 'metrics', summary: 'Metrics in Prometheus text format' },
  { method: 'GET', path: '/docs', permission: undefined, handler: 'docs', summary: 'A page that shows the API of the channels' },
  { method: 'GET', path: '/v1/openapi.json', permission: 'resource.read', handler: 'openapi', summary: 'OpenAPI 3.1 of the channels' },
  { method: 'GET', path: '/v1/admin.json', permission: undefined, handler: 'adminOpenapi', summary: 'OpenAPI 3.1 of this API' },
  { method: 'GET', path: '/v1/node', permission: 'node.read', handler: 'node', summary: 'The node, its workers and their actors' },
  { method: 'PUT', path: '/v1/workers', permission: 'node.scale', handler: 'scale', act: true, summary: 'Change the number of workers: {"count": 4}' },
  { method: 'GET', path: '/v1/services', permission: 'resource.read', handler: 'services', summary: 'The services that run' },
  { method: 'POST', path: '/v1/services/:name/invoke', permission: 'service.invoke', handler: 'invoke', act: true, summary: 'Call a service with the body as payload, if there is one; ?timeoutMs=' },
  { method: 'PUT', path: '/v1/service-files/*', permission: 'service.deploy', handler: 'deploy', act: true, summary: 'Deploy a service file', body: 'text' },
  { method: 'DELETE', path: '/v1/service-files/*', permission: 'service.deploy', handler: 'undeploy', act: true, summary: 'Remove a service file' },
  { method: 'PUT', path: '/v1/route-files/*', permission: 'service.deploy', handler: 'deployRoute', act: true, summary: 'Deploy a route file', body: 'text' },
  { method: 'DELETE', path: '/v1/route-files/*', permission: 'service.deploy', handler: 'undeployRoute', act: true, summary: 'Remove a route file' },
  { method: 'GET', path: '/v1/resources', permission: 'resource.read', handler: 'resources', summary: 'Everything configured; ?kind=' },
  { method: 'GET', path: '/v1/resources/:kind/:type/:name', permission: 'resource.read', handler: 'resource', summary: 'One resource' },
  { method: 'PUT', path: '/v1/resources/:kind/:type/:name', permission: 'resource.write', handler: 'put', act: true, summary: 'Create or change a resource: the body is its options; ?security= of a channel; If-Match: revision' },
  { method: 'DELETE', path: '/v1/resources/:kind/:type/:name', permission: 'resource.write', handler: 'remove', act: true, summary: 'Remove a resource; If-Match: revision' },
  { method: 'POST', path: '/v1/resources/:kind/:type/:name/ping', permission: 'resource.read', handler: 'ping', summary: 'Try a channel or connection', body: 'none' },
  { method: 'POST', path: '/v1/diff', permission: 'resource.read', handler: 'diff', summary: 'What applying this signalbox.yaml would change', body: 'text' },
  { method: 'POST', path: '/v1/apply', permission: 'resource.write', handler: 'apply', act: true, summary: 'Make the node match this signalbox.yaml; If-Match: etag of the difference', body: 'text' },
  { method: 'GET', path: '/v1/export', permission: 'resource.read', handler: 'export', summary: 'What runs, as signalbox.yaml' },
  { method: 'GET', path: '/v1/secrets', permission: 'secret.list', handler: 'secrets', summary: 'Names of the secrets' },
  { method: 'PUT', path: '/v1/secrets/:name', permission: 'secret.write', handler: 'setSecret', act: true, summary: 'Store a secret: the body is its value', body: 'text' },
  { method: 'DELETE', path: '/v1/secrets/:name', permission: 'secret.write', handler: 'removeSecret', act: true, summary: 'Remove a secret' },
  { method: 'GET', path: '/v1/tail', permission: 'message.read', handler: 'tail', act: true, summary: 'Messages as they pass, as Server-Sent Events; ?name=&cid=&outcome=' },
  { method: 'GET', path: '/v1/messages', permission: 'message.read', handler: 'messages', summary: 'Steps of messages that this node has recorded, newest first, without bodies; ?from=&to=&cid=&name=&kind=&outcome=&text=&limit=&after=' },
  { method: 'GET', path: '/v1/messages/:cid', permission: 'message.read', handler: 'trail', summary: 'The way of one message through this node, step by step' },
  { method: 'GET', path: '/v1/messages/:id/body', permission: 'message.read', handler: 'messageBody', act: true, summary: 'One recorded step with its body, where that was kept' },
  { method: 'POST', path: '/v1/messages/:id/replay', permission: 'message.replay', handler: 'replay', act: true, summary: 'Send a recorded message again to where it went; ?timeoutMs=', body: 'none' },
  { method: 'GET', path: '/v1/kept', permission: 'queue.read', handler: 'logs', summary: 'Queues and topics with their figures; ?kind=' },
  { method: 'GET', path: '/v1/kept/:kind/:name', permission: 'queue.read', handler: 'log', summary: 'One queue or topic with its subscriptions' },
  { method: 'GET', path: '/v1/kept/:kind/:name/messages', permission: 'queue.read', handler: 'keptMessages', summary: 'Messages without what they say; ?subscription=&state=&cid=&after=&limit=' },
  { method: 'POST', path: '/v1/kept/:kind/:name/messages', permission: 'message.write', handler: 'publish', act: true, summary: 'Publish a message: {"payload": ...}' },
  { method: 'GET', path: '/v1/kept/:kind/:name/messages/:seq', permission: 'message.read', handler: 'keptMessage', act: true, summary: 'One message with all that it says; ?subscription=' },
  { method: 'PUT', path: '/v1/kept/:kind/:name/messages/:seq', permission: 'message.write', handler: 'edit', act: true, summary: 'Change what a message says: {"payload": ...}' },
  { method: 'GET', path: '/v1/kept/:kind/:name/browse', permission: 'message.read', handler: 'browse', act: true, summary: 'Messages with what they say; as for messages, and ?search=' },
  { method: 'POST', path: '/v1/kept/:kind/:name/resend', permission: 'message.replay', handler: 'resend', act: true, summary: 'Deliver dead letters again: all of them, or {"seqs": [1, 2]}' },
  { method: 'POST', path: '/v1/kept/:kind/:name/drop', permission: 'message.delete', handler: 'drop', act: true, summary: 'Take messages away: {"seqs": [1, 2]}' },
  { method: 'POST', path: '/v1/kept/:kind/:name/purge', permission: 'message.delete', handler: 'purge', act: true, summary: 'Take all messages away: {}, or {"states": ["dead"]}' },
  { method: 'POST', path: '/v1/topics/:name/seek', permission: 'queue.write', handler: 'seek', act: true, summary: 'Send a subscription back or forward: {"to": {"at": "beginning"}}' },
  { method: 'GET', path: '/v1/schedules', permission: 'resource.read', handler: 'schedules', summary: 'Schedules with their next and last runs' },
  { method: 'GET', path: '/v1/schedules/:name/history', permission: 'resource.read', handler: 'scheduleHistory', summary: 'The last runs of a schedule, newest first; ?limit=' },
  { method: 'POST', path: '/v1/schedules/:name/run', permission: 'schedule.write', handler: 'runSchedule', act: true, summary: 'Run a schedule now; ?waitMs=', body: 'none' },
  { method: 'POST', path: '/v1/schedules/:name/pause', permission: 'schedule.write', handler: 'pauseSchedule', act: true, summary: 'Run a schedule no more until it is resumed', body: 'none' },
  { method: 'POST', path: '/v1/schedules/:name/resume', permission: 'schedule.write', handler: 'resumeSchedule', act: true, summary: 'Let a schedule that was paused run again', body: 'none' },
  { method: 'GET', path: '/v1/audit', permission: 'audit.read', handler: 'audit', summary: 'Administrative acts; ?after=&limit=' },
  { method: 'GET', path: '/v1/audit/verify', permission: 'audit.read', handler: 'verifyAudit', summary: 'Whether the chain of administrative acts is whole' },
]

/** What a route takes as body. */
export function bodyOf(route: AdminRoute): 'json' | 'text' | 'none' {
  return route.body ?? (route.method === 'GET' || route.method === 'DELETE' ? 'none' : 'json')
}
