/** XML for the bus and for services: parse, read, convert, build. */
export { buildXml } from './xml-build.ts'
export {
  type ElementParts,
  element,
  type XmlAttribute,
  XmlElement,
  type XmlNode,
} from './xml-element.ts'
export { DEFAULT_XML_LIMITS, type XmlLimits } from './xml-limits.ts'
export { type XmlValue, xmlToObject } from './xml-object.ts'
export { parseXml } from './xml-parse.ts'
