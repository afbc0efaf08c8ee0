/** What a request is about, in the words of the chain of administrative acts. */
import type { AdminRoute } from './routes.ts'
import type { HandlerName } from './schemas.ts'

/** Longest target that is recorded of a request that was refused before it was checked. */
const MAX_TARGET_CHARS = 300

type Params = Readonly<Record<string, string | undefined>>

/** How targets of acts are named. */
export const targets = {
  workers: 'workers',
  file: 'signalbox.yaml',
  tail: 'tail',
  service: (name: string) => `service/${name}`,
  unitFile: (kind: 'service' | 'route', file: string) => `${kind}-file/${file}`,
  secret: (name: string) => `secret/${name}`,
  message: (id: string) => `message/${id}`,
}

const resource = ({ kind, type, name }: Params) => `${kind}/${type}/${name}`

const OF_HANDLER: { readonly [H in HandlerName]?: (params: Params) => string } = {
  scale: () => targets.workers,
  invoke: ({ name }) => targets.service(name!),
  deploy: params => targets.unitFile('service', params['*']!),
  undeploy: params => targets.unitFile('service', params['*']!),
  deployRoute: params => targets.unitFile('route', params['*']!),
  undeployRoute: params => targets.unitFile('route', params['*']!),
  resource,
  put: resource,
  remove: resource,
  ping: resource,
  diff: () => targets.file,
  apply: () => targets.file,
  setSecret: ({ name }) => targets.secret(name!),
  removeSecret: ({ name }) => targets.secret(name!),
  tail: () => targets.tail,
  messageBody: ({ id }) => targets.message(id!),
  replay: ({ id }) => targets.message(id!),
}

/** What a request to a route is about: a resource, a service, or else the path. Parameters need not be checked yet. */
export function targetOf({ handler, path }: AdminRoute, params: Params): string {
  const target = OF_HANDLER[handler as HandlerName]?.(params) ?? path
  return target.slice(0, MAX_TARGET_CHARS)
}
