/** What a document may ask for. A document beyond a limit is refused with SIGNALBOX_FORMAT_LIMIT. */
export interface XmlLimits {
  /** Bytes of the document (of a string: code units). Default 64 MiB. */
  maxBytes?: number
  /** Nesting of elements. Default 256. */
  maxDepth?: number
  /** Elements in all. Default 1,000,000. */
  maxElements?: number
  /** Attributes of one element, namespace declarations included. Default 256. */
  maxAttributes?: number
  /** Character and entity references in all, such as `&amp;` and `&#10;`. Default 100,000. */
  maxReferences?: number
  /** Different names of elements and attributes. Default 20,000. */
  maxNames?: number
}

/** The limits when none are given. */
export const DEFAULT_XML_LIMITS: Readonly<Required<XmlLimits>> = {
  maxBytes: 64 * 1024 * 1024,
  maxDepth: 256,
  maxElements: 1_000_000,
  maxAttributes: 256,
  maxReferences: 100_000,
  maxNames: 20_000,
}
