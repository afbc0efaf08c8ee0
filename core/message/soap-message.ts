/**
 * SOAP 1.1 (W3C note of 8 May 2000) and SOAP 1.2 (W3C recommendation, second edition) envelopes as one kind of value.
 */
import { type Static, Type } from '../schema.ts'
import type { XmlElement } from './xml-element.ts'

export type SoapVersion = '1.1' | '1.2'

/** Namespace of the envelope of each version. */
export const SOAP_NAMESPACES: Readonly<Record<SoapVersion, string>> = {
  '1.1': 'http://schemas.xmlsoap.org/soap/envelope/',
  '1.2': 'http://www.w3.org/2003/05/soap-envelope',
}

/** An element as data (one property, as `xmlToObject` gives it, with the namespaces that hold for it) or as a tree. */
export type SoapData = { [name: string]: unknown } | XmlElement

/** A child of the body. */
export interface SoapBlock {
  /** Local name; what parsing says, not needed to build. */
  name?: string
  /** Namespace; what parsing says, not needed to build. */
  namespace?: string
  data: SoapData
}

/** A child of the header. Its namespace must not be empty. */
export interface SoapHeader extends SoapBlock {
  /** Whoever it is meant for must understand it or answer with the fault MustUnderstand. Default false. */
  mustUnderstand?: boolean
  /** URI of whom it is meant for: `actor` of SOAP 1.1, `role` of SOAP 1.2. Absent: the last receiver. */
  role?: string
  /** SOAP 1.2 alone: passed on by an intermediary that does not process it. */
  relay?: boolean
}

/** A qualified name. */
export interface SoapName {
  namespace: string
  name: string
}

/**
 * A fault in the terms of SOAP 1.2. In SOAP 1.1 Sender is `Client`, Receiver is `Server`, subcodes are what follows
 * after dots, and a code of one's own is `Custom` with its name as the only subcode. SOAP 1.1 has no place for `node`,
 * for more than the first reason and for the namespaces of other subcodes: they are left out.
 */
export interface SoapFault {
  code: 'Sender' | 'Receiver' | 'VersionMismatch' | 'MustUnderstand' | 'DataEncodingUnknown' | 'Custom'
  /** From the general one to the special one. */
  subcodes: SoapName[]
  /** For people, in one language each (`lang` as in `xml:lang`; '' when none was said). At least one. */
  reasons: { text: string; lang: string }[]
  /** URI of the node that failed; SOAP 1.2. */
  node?: string
  /** URI of the role the node acted in; `faultactor` in SOAP 1.1. */
  role?: string
  /** What is inside of the detail; texts only where a sender put one there. Absent: no detail. */
  detail?: (SoapData | string)[]
}

/** A message. `body` is empty when there is a `fault`. */
export interface SoapMessage {
  version: SoapVersion
  headers: SoapHeader[]
  body: SoapBlock[]
  fault?: SoapFault
}

export const SoapOptions = Type.Object(
  {
    as: Type.Union([Type.Literal('object'), Type.Literal('element')], {
      default: 'object',
      description:
        'Headers, body and detail as plain data, or as trees: with order, mixed content and places.',
    }),
  },
  { additionalProperties: false },
)
export type SoapOptions = Static<typeof SoapOptions>
