/**
 * What the package `signalbox` gives to the author of a service or a transport.
 * Programs outside the bus use `signalbox/client`, tests of services `signalbox/test`.
 */
export { ERRORS, type ErrorCode, type ErrorOptions, SignalboxError } from './errors.ts'
export { type CompiledJsonata, compileJsonata, type JsonataOptions } from './message/jsonata/compile.ts'
export {
  compileMapping,
  type Mapping,
  type MappingOptions,
  type MappingReport,
  type Problem as MappingProblem,
} from './message/map/compile.ts'
export {
  type Fields as MappingFields,
  type MappingDefinition,
  MappingSchema,
  mapping,
  type Rule as MappingRule,
  type TypedMapping,
} from './message/map/definition.ts'
export type { MappingFunction } from './message/map/functions.ts'
export { type LoadedMapping, loadMapping } from './message/map/load.ts'
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
export { type Static, type TSchema, Type } from './schema.ts'
export {
  type CallOptions,
  type ChannelInfo,
  type FunctionService,
  type Identity,
  type ParallelCall,
  type ParallelResult,
  type Request,
  type ResponseHead,
  Service,
  type ServiceContext,
  type ServiceSettings,
  service,
} from './service/service.ts'
export type { Logger } from './telemetry/log.ts'
