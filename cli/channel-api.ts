/** The OpenAPI description of what the HTTP channels of a node take. */
import {
  type ChannelApi,
  type ChannelRoute,
  channelOpenapi,
  type SecurityDefinition,
} from '../actors/admin/channel-openapi.ts'
import type { ServiceView } from '../actors/admin/operator.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import type { Resource } from '../core/resource/resource.ts'

/** What the description is made of. */
export interface ChannelApiParts {
  info: { title: string; version: string }
  channels: readonly EndpointConfig[]
  security: readonly Resource[]
  services: ServiceView[]
  /** Where the channels listen, by address. */
  endpoints: ReadonlyMap<string, string>
}

interface HttpOptions {
  routes: (ChannelRoute & { target?: string })[]
}

/** OpenAPI 3.1 of the HTTP channels. */
export function channelApi({ info, channels, security, services, endpoints }: ChannelApiParts): unknown {
  return channelOpenapi({
    info,
    channels: channels.filter(({ type }) => type === 'http').map(channel => apiOf(channel, endpoints)),
    securityDefinitions: Object.fromEntries(
      security.map(definition => [definition.name, openapiSecurity(definition)]),
    ),
    services,
  })
}

function apiOf(channel: EndpointConfig, endpoints: ReadonlyMap<string, string>): ChannelApi {
  const { name, type, options, security } = channel
  const routes = (options as HttpOptions).routes.map(route => ({
    ...route,
    service: route.service ?? /^service\/(.+)$/.exec(route.target ?? '')?.[1],
    security: route.security ?? security,
  }))
  return { name, endpoint: endpoints.get(`channel/${type}/${name}`) ?? 'http://localhost', routes }
}

/** A security definition in the words of OpenAPI. */
function openapiSecurity({ type, options }: Resource): SecurityDefinition {
  switch (type) {
    case 'apiKey':
      return { type: 'apiKey', in: 'header', name: (options as { header?: string }).header ?? 'x-api-key' }
    case 'basic':
      return { type: 'basic' }
    case 'jwt':
      return { type: 'bearer', format: 'JWT' }
    default:
      return { type: 'mutualTLS' }
  }
}
