/**
 * What the package `signalbox` gives to the author of a service or a transport.
 * Programs outside the bus use `signalbox/client`, tests of services `signalbox/test`.
 */
export { ERRORS, type ErrorCode, type ErrorOptions, SignalboxError } from './errors.ts'
export type { EdiGroup, EdiInterchange, EdiMessage } from './message/edi/dialect.ts'
export { type Hl7AckCode, type Hl7AckOptions, hl7Ack } from './message/edi/hl7-ack.ts'
export { hl7Get } from './message/edi/hl7-get.ts'
export type { Hl7Batch, Hl7Body, Hl7Message } from './message/edi/hl7-reader.ts'
export { type X12AckOptions, type X12Rejection, type X12SegmentError, x12Ack } from './message/edi/x12-ack.ts'
export {
  type BodyFormat,
  type BodyLimits,
  buildBody,
  codecOf,
  type FormatCodec,
  parseBody,
} from './message/formats.ts'
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
