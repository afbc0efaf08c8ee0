/**
 * What the package `signalbox` gives to the author of a service or a transport.
 * Programs outside the bus use `signalbox/client`, tests of services `signalbox/test`.
 */
export { ERRORS, type ErrorCode, type ErrorOptions, SignalboxError } from './errors.ts'
export {
  buildXml,
  DEFAULT_XML_LIMITS,
  type ElementParts,
  element,
  parseXml,
  type XmlAttribute,
  XmlElement,
  type XmlLimits,
  type XmlNode,
  type XmlValue,
  xmlToObject,
} from './message/xml.ts'
export type { Expression, RouteDefinition, RouteMessage, StepDefinition, StepList } from './route/options.ts'
export { type RouteBuilder, route, type StepBuilder } from './route/route.ts'
export { type Static, type TSchema, Type } from './schema.ts'
export {
  type CallOptions,
  type ChannelInfo,
  type FunctionService,
  type Identity,
  type KeepOptions,
  type ParallelCall,
  type ParallelResult,
  type Receipt,
  type Request,
  type ResponseHead,
  Service,
  type ServiceContext,
  type ServiceSettings,
  service,
} from './service/service.ts'
export type { Logger } from './telemetry/log.ts'
