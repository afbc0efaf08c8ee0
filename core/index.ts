/**
 * What the package `signalbox` gives to the author of a service or a transport.
 * Programs outside the bus use `signalbox/client`, tests of services `signalbox/test`.
 */
export { ERRORS, type ErrorCode, type ErrorOptions, SignalboxError } from './errors.ts'
export { readSoapHeaders, type SoapHead, soapHeaders } from './message/soap-media.ts'
export type {
  SoapBlock,
  SoapData,
  SoapFault,
  SoapHeader,
  SoapMessage,
  SoapName,
  SoapVersion,
} from './message/soap-message.ts'
export { type CompileExpression, declaredRules } from './message/validate/declared-rules.ts'
export { type Rule, rules } from './message/validate/rules.ts'
export { type ValidatorOptions, validator } from './message/validate/validator.ts'
export {
  assertValid,
  type ValidationContext,
  type Validator,
  type Violation,
} from './message/validate/violation.ts'
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
export { joinXml, splitXml, type XmlOptions } from './message/xml-split.ts'
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
