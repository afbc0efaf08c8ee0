/** The HTTP channels of a node as an OpenAPI 3.1 document, from their routes and the schemas of their services. */
import { SignalboxError } from '../../core/errors.ts'
import { isChannelMethod, operationOf } from './channel-operation.ts'
import { type PathTemplate, parameterNames, shapeOf, templatesOf, writeTemplate } from './channel-paths.ts'
import { embedSchema, type JsonSchema } from './openapi-schema.ts'
import type { ServiceView } from './operator.ts'
import { ProblemSchema } from './views.ts'

/** A route of an HTTP channel. */
export interface ChannelRoute {
  /** As find-my-way takes it: `/invoices/:id`, `/files/*`. */
  path: string
  method: string | readonly string[]
  /** Name of the service; undefined: something else handles it. */
  service?: string | undefined
  produces?: readonly string[] | undefined
  /** How the body is read. Default `auto`. */
  format?: string | undefined
  /** `body`: query and path parameters never stand in for a body. Default `auto`. */
  payload?: string | undefined
  /** Names of security definitions, any of which is enough. */
  security?: string | readonly string[] | undefined
}

export interface ChannelApi {
  name: string
  /** Where it listens, e.g. `http://127.0.0.1:7710`. */
  endpoint: string
  routes: readonly ChannelRoute[]
}

export type SecurityDefinition =
  | { type: 'apiKey'; name: string; in?: 'header' | 'query' | 'cookie'; description?: string }
  | { type: 'basic'; description?: string }
  | { type: 'bearer'; format?: string; description?: string }
  | { type: 'mutualTLS'; description?: string }

export interface ChannelOpenapiInput {
  info: { title: string; version: string; description?: string }
  channels: readonly ChannelApi[]
  services: readonly ServiceView[]
  securityDefinitions: Readonly<Record<string, SecurityDefinition>>
}

/** A route that OpenAPI cannot tell apart from another one, or whose method it does not know. */
interface Omitted {
  channel: string
  method: string
  path: string
  reason: string
}

interface PathEntry {
  template: string
  names: string[]
  item: Record<string, { servers: { url: string }[]; 'x-signalbox-service'?: string }>
}

/**
 * Makes the document. Two channels may serve the same path: when the service is the same too, the operation has both
 * servers; otherwise OpenAPI has no way to say it, and the later route is listed under `x-signalbox-omitted`.
 * Throws SIGNALBOX_CONFIG_INVALID when a route names a security definition that is not there.
 */
export function channelOpenapi(input: ChannelOpenapiInput): object {
  return new DocumentBuilder(input).build()
}

class DocumentBuilder {
  readonly #input: ChannelOpenapiInput
  readonly #services: ReadonlyMap<string, ServiceView>
  readonly #paths = new Map<string, PathEntry>()
  readonly #schemas: Record<string, JsonSchema | boolean> = { Problem: { ...ProblemSchema } }
  readonly #schemaNames = new Map<string, string>()
  readonly #operationIds = new Set<string>()
  readonly #omitted: Omitted[] = []
  readonly #tags = new Map<string, { name: string; description?: string }>()

  constructor(input: ChannelOpenapiInput) {
    this.#input = input
    this.#services = new Map(input.services.map(service => [service.name, service]))
  }

  build(): object {
    for (const channel of this.#input.channels) {
      for (const route of channel.routes) {
        for (const method of new Set([route.method].flat() as string[])) {
          for (const template of templatesOf(route.path)) this.#add(channel, route, method, template)
        }
      }
    }
    const schemes = Object.entries(this.#input.securityDefinitions).map(([name, definition]) => [
      componentName(name),
      schemeOf(definition),
    ])
    return {
      openapi: '3.1.1',
      info: this.#input.info,
      tags: [...this.#tags.values()],
      paths: Object.fromEntries(Array.from(this.#paths.values(), ({ template, item }) => [template, item])),
      components: { schemas: this.#schemas, securitySchemes: Object.fromEntries(schemes) },
      ...(this.#omitted.length > 0 && { 'x-signalbox-omitted': this.#omitted }),
    }
  }

  #add(channel: ChannelApi, route: ChannelRoute, method: string, template: PathTemplate): void {
    const shape = shapeOf(template)
    const names = this.#paths.get(shape)?.names ?? parameterNames(template)
    const entry = this.#paths.get(shape) ?? { template: writeTemplate(template, names), names, item: {} }
    const key = method.toLowerCase()
    const present = entry.item[key]
    const reason = whyOmitted(method, route, present)
    if (reason !== undefined) {
      this.#omitted.push({ channel: channel.name, method, path: route.path, reason })
      return
    }
    if (present !== undefined) {
      const isKnown = present.servers.some(server => server.url === channel.endpoint)
      if (!isKnown) present.servers.push({ url: channel.endpoint })
      return
    }
    this.#paths.set(shape, entry)
    entry.item[key] = this.#operation(channel, route, method, template, names)
  }

  #operation(
    channel: ChannelApi,
    route: ChannelRoute,
    method: string,
    template: PathTemplate,
    names: string[],
  ) {
    const service = route.service === undefined ? undefined : this.#services.get(route.service)
    const tag = route.service ?? channel.name
    const { description } = service ?? {}
    this.#tags.set(tag, { name: tag, ...(description && { description }) })
    const accepted = [route.security ?? []].flat() as string[]
    return {
      operationId: this.#operationId(route.service ?? `${channel.name}.${method.toLowerCase()}`, method),
      tags: [tag],
      ...(description && { summary: description }),
      ...(route.service !== undefined && { 'x-signalbox-service': route.service }),
      'x-signalbox-channel': channel.name,
      servers: [{ url: channel.endpoint }],
      ...(accepted.length > 0 && { security: accepted.map(name => this.#requirement(name, channel)) }),
      ...operationOf({
        route,
        method,
        template,
        names,
        inputSchema: service?.input,
        input: this.#schema(service, 'input'),
        outputSchema: service?.output,
        output: this.#schema(service, 'output'),
        isSecured: accepted.length > 0,
      }),
    }
  }

  #requirement(name: string, channel: ChannelApi): Record<string, string[]> {
    if (!Object.hasOwn(this.#input.securityDefinitions, name)) {
      // A document that leaves out a requirement would say that the route is open.
      throw new SignalboxError(
        'SIGNALBOX_CONFIG_INVALID',
        `channel ${channel.name}: there is no security definition '${name}'`,
      )
    }
    return { [componentName(name)]: [] }
  }

  /** Reference to the schema of a service, which is put among the components; undefined when it declares none. */
  #schema(service: ServiceView | undefined, side: 'input' | 'output'): { $ref: string } | undefined {
    const schema = service?.[side]
    if (service === undefined || schema === undefined) return undefined
    const id = `${service.name} ${side}`
    let name = this.#schemaNames.get(id)
    if (name === undefined) {
      name = unique(pascal(`${service.name}.${side}`), candidate => Object.hasOwn(this.#schemas, candidate))
      this.#schemaNames.set(id, name)
      this.#schemas[name] = embedSchema(schema, `#/components/schemas/${name}`)
    }
    return { $ref: `#/components/schemas/${name}` }
  }

  #operationId(from: string, method: string): string {
    const base = camel(from)
    const taken = (candidate: string) => this.#operationIds.has(candidate)
    const id = taken(base) ? unique(base + pascal(method.toLowerCase()), taken) : base
    this.#operationIds.add(id)
    return id
  }
}

function whyOmitted(
  method: string,
  route: ChannelRoute,
  present: PathEntry['item'][string] | undefined,
): string | undefined {
  if (!isChannelMethod(method)) return 'OpenAPI does not know the method'
  const isOther = present !== undefined && present['x-signalbox-service'] !== route.service
  return isOther ? 'the same method and path lead elsewhere' : undefined
}

function schemeOf(definition: SecurityDefinition): object {
  const description = definition.description === undefined ? {} : { description: definition.description }
  switch (definition.type) {
    case 'apiKey':
      return { type: 'apiKey', name: definition.name, in: definition.in ?? 'header', ...description }
    case 'basic':
      return { type: 'http', scheme: 'basic', ...description }
    case 'bearer':
      return {
        type: 'http',
        scheme: 'bearer',
        ...(definition.format && { bearerFormat: definition.format }),
        ...description,
      }
    case 'mutualTLS':
      return { type: 'mutualTLS', ...description }
  }
}

/** A name that may stand among the components. */
function componentName(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]/g, character => `_${character.charCodeAt(0).toString(16)}`)
}

function pascal(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter(Boolean)
  return words.map(word => word[0]!.toUpperCase() + word.slice(1)).join('') || 'Unnamed'
}

function camel(name: string): string {
  const text = pascal(name)
  return text[0]!.toLowerCase() + text.slice(1)
}

function unique(base: string, taken: (name: string) => boolean): string {
  let name = base
  for (let count = 2; taken(name); count++) name = `${base}${count}`
  return name
}
